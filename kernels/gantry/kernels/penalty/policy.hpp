// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/common/policy.hpp"

namespace gantry::inline v0::kernels {

/// A kernel with a block per sample, or with few blocks over all numbers of a batch.
struct penalty_policy {
  int threads;
  int numbers;  ///< of a thread, before a further block is worth its last stage
  int most_blocks;
  friend constexpr bool operator==(const penalty_policy&, const penalty_policy&) = default;
};

struct penalty_policy_selector {
  constexpr penalty_policy operator()() const { return {256, 16, 256}; }
};

using points_policy_selector = stream_policy_selector;

}  // namespace gantry::kernels
