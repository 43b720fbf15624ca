// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>

#include "gantry/kernels/common/policy.hpp"

namespace gantry::inline v0::kernels {

/// A kernel that adds up per channel over samples and pixels.
struct channel_policy {
  int threads;
  int channels;                   ///< of a block: neighbouring threads
  int rows;                       ///< that a thread adds before a further block is worth it
  int blocks_per_multiprocessor;  ///< of all groups of channels together
  [[nodiscard]] constexpr int lines() const { return threads / channels; }
  friend constexpr bool operator==(const channel_policy&, const channel_policy&) = default;
};

/// A warp reads 32 channels of a pixel; where there are fewer, several pixels.
template <int Channels>
struct channel_policy_selector {
  constexpr channel_policy operator()() const {
    constexpr int few = static_cast<int>(std::bit_ceil(static_cast<unsigned>(Channels)));
    return {256, few < 32 ? few : 32, 16, 4};
  }
};

using batch_norm_policy_selector = stream_policy_selector;

}  // namespace gantry::kernels
