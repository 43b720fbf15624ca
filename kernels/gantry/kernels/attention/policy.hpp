// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "gantry/kernels/common/policy.hpp"

namespace gantry::inline v0::kernels {

/// A warp per row (or column) of the softmax, which keeps some numbers per pixel in shared memory:
/// as many warps in a block as have room for theirs in the memory that needs no permission.
template <int Positions, int Arrays>
struct attention_policy_selector {
  constexpr row_policy operator()() const {
    constexpr int room = (48 << 10) / (Positions * Arrays * 4);
    return {32 * std::clamp(room, 1, 8), 32};
  }
};

using scaled_copy_policy_selector = stream_policy_selector;

/// The gradient of a scaled copy: a partial sum per block.
struct scaled_gradient_policy {
  int threads;
  int numbers;  ///< of a thread, before a further block is worth its last stage
  int most_blocks;
  friend constexpr bool operator==(const scaled_gradient_policy&,
                                   const scaled_gradient_policy&) = default;
};

struct scaled_gradient_policy_selector {
  constexpr scaled_gradient_policy operator()() const { return {256, 16, 256}; }
};

}  // namespace gantry::kernels
