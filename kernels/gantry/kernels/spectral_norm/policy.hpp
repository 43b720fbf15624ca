// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/common/policy.hpp"

namespace gantry::inline v0::kernels {

/// Blocks of the products with u and v, and of the passes over the matrix, all of one size because
/// each of them adds up a vector first.
struct spectral_policy {
  int threads;
  int numbers;  ///< of the matrix that a thread handles, before a further block is worth it
  int most_blocks;
  friend constexpr bool operator==(const spectral_policy&, const spectral_policy&) = default;
};

struct spectral_policy_selector {
  constexpr spectral_policy operator()() const { return {256, 8, 264}; }
};

}  // namespace gantry::kernels
