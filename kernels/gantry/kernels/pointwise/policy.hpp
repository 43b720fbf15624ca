// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/common/policy.hpp"

namespace gantry::inline v0::kernels {

using pointwise_policy_selector = stream_policy_selector;

/// A loss has a number per sample: few, so one block as a rule, and no need for packs.
struct loss_policy {
  int threads;
  int terms;  ///< of a thread, before a second block is worth its last stage
  int most_blocks;
  friend constexpr bool operator==(const loss_policy&, const loss_policy&) = default;
};

struct loss_policy_selector {
  constexpr loss_policy operator()() const { return {256, 4, 64}; }
};

}  // namespace gantry::kernels
