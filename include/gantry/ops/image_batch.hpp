// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "gantry/ops/operation.hpp"

namespace gantry::inline v0::ops {

/// Added to an image's position: its left is taken for its right.
inline constexpr std::uint32_t mirrored = std::uint32_t{1} << 31;

/// y = some of a set's images of 8 bits per channel, which are in the backend's memory: pixel p
/// becomes p / 127.5 - 1, so that 0 .. 255 fills [-1, 1].
template <hwc Shape>
struct image_batch {
  static constexpr std::string_view name = "image_batch";
  template <class S>
  struct params {
    const std::uint8_t* images;   ///< [any number][height][width][channels]
    const std::uint32_t* chosen;  ///< [n]: the position of each image of y, perhaps mirrored
    batch_of<S> y;
  };
};

}  // namespace gantry::ops
