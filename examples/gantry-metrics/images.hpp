// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Images that are scored, whatever they come from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "gantry/data/image_set.hpp"
#include "gantry/tensor/shape.hpp"

#include "options.hpp"

/// Images 0 .. count - 1 of one size.
struct image_stream {
  std::string description;
  gantry::hwc shape;
  std::size_t count{};
  int classes{};  ///< of labels that a generator was asked for; 0: none
  /// Images first, first + 1, ... in [-1, 1], [n][h][w][c]; `first` is a multiple of 256 and n at
  /// most 256.
  std::function<void(std::size_t first, std::span<float> images)> read;
};

/// The label that a generator is asked for in image i: all in turn.
inline std::uint8_t label_of(std::size_t i, int classes) {
  return classes == 0 ? std::uint8_t{0}
                      : static_cast<std::uint8_t>(i % static_cast<std::size_t>(classes));
}

/// All images of a path. @throws gantry::data_error if they are missing, damaged or of several
/// sizes
gantry::data::image_set read_image_path(const std::string& path);

/// The first `count` images of a set, all for 0. @throws gantry::data_error if there are fewer
image_stream stream_of(std::shared_ptr<const gantry::data::image_set> set, std::size_t count,
                       const std::string& flag);

/// So many images of the generator in a checkpoint, of latents that follow from the seed.
image_stream generated_stream(const metrics_options& o);
