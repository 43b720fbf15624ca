// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Whole-set conversions, done once after reading, that bring images to the extents of a network.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/data/image_set.hpp"

namespace gantry::inline v0::data {

namespace detail {

/// Set with the same labels and name, other extents, and all pixels 0.
inline image_set blank_copy(const image_set& set, int height, int width, int channels) {
  image_set out{height, width, channels, {}, set.labels, set.name, set.files};
  out.pixels.resize(set.size() * out.sample_size());
  return out;
}

}  // namespace detail

/// Surrounds each image with zeros up to height x width; an odd remainder goes below and right.
/// @throws usage_error if the target is smaller than the images
inline image_set pad_to(const image_set& set, int height, int width) {
  if (height < set.height || width < set.width)
    throw usage_error("padding needs a target of at least " + std::to_string(set.height) + " x " +
                      std::to_string(set.width) + " but got " + std::to_string(height) + " x " +
                      std::to_string(width) + "; use resize_bilinear to make images smaller");
  image_set out = detail::blank_copy(set, height, width, set.channels);
  const std::size_t channels = static_cast<std::size_t>(set.channels);
  const std::size_t from_row = static_cast<std::size_t>(set.width) * channels;
  const std::size_t to_row = static_cast<std::size_t>(width) * channels;
  const std::size_t top = static_cast<std::size_t>((height - set.height) / 2);
  const std::size_t left = static_cast<std::size_t>((width - set.width) / 2);
  for (std::size_t i = 0; i < set.size(); ++i) {
    const std::uint8_t* from = set.image(i).data();
    std::uint8_t* to = out.pixels.data() + i * out.sample_size() + top * to_row + left * channels;
    for (int y = 0; y < set.height; ++y, from += from_row, to += to_row)
      std::copy_n(from, from_row, to);
  }
  return out;
}

/// Grey images with their one channel repeated; a set that has `channels` already is copied.
/// @throws usage_error for any other conversion
inline image_set to_channels(const image_set& set, int channels) {
  if (channels == set.channels) return set;
  if (set.channels != 1 || channels < 1)
    throw usage_error("only images of 1 channel can be spread over several but got " +
                      std::to_string(set.channels) + " channels to turn into " +
                      std::to_string(channels) + "; convert the images before loading them");
  image_set out = detail::blank_copy(set, set.height, set.width, channels);
  auto to = out.pixels.begin();
  for (const std::uint8_t grey : set.all_pixels()) to = std::fill_n(to, channels, grey);
  return out;
}

namespace detail {

/// Where an output row or column reads from: (1 - weight) * input[low] + weight * input[high].
struct bilinear_tap {
  std::size_t low{}, high{};
  float weight{};
};

inline std::vector<bilinear_tap> bilinear_taps(int in, int out) {
  std::vector<bilinear_tap> taps(static_cast<std::size_t>(out));
  const double scale = static_cast<double>(in) / out;
  for (int i = 0; i < out; ++i) {
    const double at = std::max(0.0, (i + 0.5) * scale - 0.5);
    const int low = std::min(static_cast<int>(at), in - 1);
    taps[static_cast<std::size_t>(i)] = {static_cast<std::size_t>(low),
                                         static_cast<std::size_t>(std::min(low + 1, in - 1)),
                                         static_cast<float>(at - low)};
  }
  return taps;
}

}  // namespace detail

/// Bilinear resize with half-pixel centres and no antialiasing, rounded to the nearest integer
/// (PyTorch's interpolate with align_corners=False); meant for enlarging. @throws usage_error
inline image_set resize_bilinear(const image_set& set, int height, int width) {
  expects(height > 0 && width > 0 && set.size() > 0,
          "resizing needs images and a positive height and width; check the target extents");
  image_set out = detail::blank_copy(set, height, width, set.channels);
  const std::vector<detail::bilinear_tap> rows = detail::bilinear_taps(set.height, height);
  const std::vector<detail::bilinear_tap> columns = detail::bilinear_taps(set.width, width);
  const std::size_t channels = static_cast<std::size_t>(set.channels);
  const std::size_t pitch = static_cast<std::size_t>(set.width) * channels;
  std::uint8_t* to = out.pixels.data();
  for (std::size_t i = 0; i < set.size(); ++i) {
    const std::uint8_t* from = set.image(i).data();
    for (const auto& y : rows)
      for (const auto& x : columns)
        for (std::size_t c = 0; c < channels; ++c) {
          const auto blend = [&](std::size_t row) {
            const float a = from[row * pitch + x.low * channels + c];
            const float b = from[row * pitch + x.high * channels + c];
            return a + x.weight * (b - a);
          };
          const float above = blend(y.low), below = blend(y.high);
          *to++ = static_cast<std::uint8_t>(std::lround(above + y.weight * (below - above)));
        }
  }
  return out;
}

}  // namespace gantry::data
