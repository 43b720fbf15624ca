// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Resizing with antialiasing as Pillow 3.3 to 12 does it (src/libImaging/Resample.c, 8 bits per
// channel), with which the data sets and the FIDs of papers are made. The support of the filter
// grows with the ratio, so that each input pixel counts; columns first, then rows, rounded in
// between. Pillow 13 takes rows first where an image shrinks much more in height than in width.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/image_source.hpp"

namespace gantry::inline v0::data {

/// Pillow's filters; `lanczos` has three lobes, `bicubic` a = -0.5.
enum class resize_filter { box, bilinear, bicubic, lanczos };

/// A filter by its name. @throws usage_error for another one
inline resize_filter parse_resize_filter(const std::string& name) {
  if (name == "box") return resize_filter::box;
  if (name == "bilinear") return resize_filter::bilinear;
  if (name == "bicubic") return resize_filter::bicubic;
  if (name == "lanczos") return resize_filter::lanczos;
  throw usage_error("expected a resize filter box, bilinear, bicubic or lanczos, found \"" + name +
                    "\"; choose one of them");
}

namespace detail {

/// Distance at which a filter becomes 0, in input pixels when enlarging.
inline double filter_support(resize_filter filter) {
  switch (filter) {
    case resize_filter::box:
      return 0.5;
    case resize_filter::bilinear:
      return 1.0;
    case resize_filter::bicubic:
      return 2.0;
    default:
      return 3.0;
  }
}

inline double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

inline double filter_weight(resize_filter filter, double x) {
  constexpr double a = -0.5;
  const double d = std::abs(x);
  switch (filter) {
    case resize_filter::box:
      return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
    case resize_filter::bilinear:
      return d < 1.0 ? 1.0 - d : 0.0;
    case resize_filter::bicubic:
      if (d < 1.0) return ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
      return d < 2.0 ? (((d - 5.0) * d + 8.0) * d - 4.0) * a : 0.0;
    default:
      return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
  }
}

/// Fraction bits of a weight: 8 of 32 are the pixel's, 2 are room for sums above 255.
inline constexpr int weight_bits = 32 - 8 - 2;

/// What one output row or column is made of: weights of the inputs from `first` on.
struct resize_tap {
  int first{};
  std::vector<std::int32_t> weights;
};

inline std::vector<resize_tap> resize_taps(int in, int out, resize_filter filter) {
  const double scale = static_cast<double>(in) / out;
  const double stretch = std::max(scale, 1.0);
  const double support = filter_support(filter) * stretch;
  std::vector<resize_tap> taps(static_cast<std::size_t>(out));
  std::vector<double> weights;
  for (int i = 0; i < out; ++i) {
    const double centre = (i + 0.5) * scale;
    const int first = std::max(static_cast<int>(centre - support + 0.5), 0);
    const int count = std::min(static_cast<int>(centre + support + 0.5), in) - first;
    weights.assign(static_cast<std::size_t>(count), 0.0);
    double sum = 0.0;
    for (int x = 0; x < count; ++x) {
      const double w = filter_weight(filter, (x + first - centre + 0.5) * (1.0 / stretch));
      weights[static_cast<std::size_t>(x)] = w;
      sum += w;
    }
    resize_tap& tap = taps[static_cast<std::size_t>(i)];
    tap.first = first;
    for (double w : weights) {
      if (sum != 0.0) w /= sum;
      const double fixed = w * (1 << weight_bits);
      tap.weights.push_back(static_cast<std::int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
    }
  }
  return taps;
}

inline std::uint8_t from_fixed(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> weight_bits, 0, 255));
}

inline image8 resize_columns(const image8& in, int width, resize_filter filter) {
  image8 out{in.height, width, in.channels, {}};
  const auto channels = static_cast<std::size_t>(in.channels);
  const std::size_t pitch = static_cast<std::size_t>(in.width) * channels;
  out.pixels.resize(static_cast<std::size_t>(in.height) * static_cast<std::size_t>(width) *
                    channels);
  const std::vector<resize_tap> taps = resize_taps(in.width, width, filter);
  std::uint8_t* to = out.pixels.data();
  for (int y = 0; y < in.height; ++y) {
    const std::uint8_t* row = in.pixels.data() + static_cast<std::size_t>(y) * pitch;
    for (const resize_tap& tap : taps)
      for (std::size_t c = 0; c < channels; ++c) {
        const std::uint8_t* from = row + static_cast<std::size_t>(tap.first) * channels + c;
        std::int32_t sum = 1 << (weight_bits - 1);
        for (const std::int32_t weight : tap.weights) {
          sum += *from * weight;
          from += channels;
        }
        *to++ = from_fixed(sum);
      }
  }
  return out;
}

inline image8 resize_rows(const image8& in, int height, resize_filter filter) {
  image8 out{height, in.width, in.channels, {}};
  const std::size_t pitch =
      static_cast<std::size_t>(in.width) * static_cast<std::size_t>(in.channels);
  out.pixels.resize(static_cast<std::size_t>(height) * pitch);
  std::vector<std::int32_t> sums(pitch);
  std::uint8_t* to = out.pixels.data();
  for (const resize_tap& tap : resize_taps(in.height, height, filter)) {
    std::ranges::fill(sums, 1 << (weight_bits - 1));
    const std::uint8_t* from = in.pixels.data() + static_cast<std::size_t>(tap.first) * pitch;
    for (const std::int32_t weight : tap.weights)
      for (std::size_t x = 0; x < pitch; ++x) sums[x] += *from++ * weight;
    to = std::ranges::transform(sums, to, from_fixed).out;
  }
  return out;
}

}  // namespace detail

/// The image at other extents, as Image.resize((width, height), filter) of Pillow before 13.
/// @throws usage_error if an extent is not positive, data_error if the image between both steps,
/// image.height x width, would have more than 2^26 pixels
inline image8 resize(const image8& image, int height, int width, resize_filter filter) {
  expects(height > 0 && width > 0 && image.height > 0 && image.width > 0,
          "resizing needs an image and a positive height and width; check the target extents");
  if (width == image.width)
    return height == image.height ? image : detail::resize_rows(image, height, filter);
  constexpr std::int64_t most = std::int64_t{1} << 26;  // a thin image has few pixels but many rows
  if (image.height > most / width)
    throw data_error("expected an image of at most " + std::to_string(most / width) +
                     " rows to resize to a width of " + std::to_string(width) + ", found " +
                     std::to_string(image.height) + "; cut it or remove it");
  image8 narrow = detail::resize_columns(image, width, filter);
  return height == image.height ? narrow : detail::resize_rows(narrow, height, filter);
}

/// The middle of an image; where a margin is odd, its smaller half is above and to the left.
/// @throws usage_error unless 0 < height <= image.height and the same for the width
inline image8 centre_crop(const image8& image, int height, int width) {
  expects(height > 0 && width > 0 && height <= image.height && width <= image.width,
          "a crop needs a positive height and width within the image; choose smaller ones");
  image8 out{height, width, image.channels, {}};
  const auto channels = static_cast<std::size_t>(image.channels);
  const std::size_t from_row = static_cast<std::size_t>(image.width) * channels;
  const std::size_t to_row = static_cast<std::size_t>(width) * channels;
  const auto top = static_cast<std::size_t>((image.height - height) / 2);
  const auto left = static_cast<std::size_t>((image.width - width) / 2);
  out.pixels.resize(static_cast<std::size_t>(height) * to_row);
  for (std::size_t y = 0; y < static_cast<std::size_t>(height); ++y)
    std::copy_n(image.pixels.data() + (top + y) * from_row + left * channels, to_row,
                out.pixels.data() + y * to_row);
  return out;
}

}  // namespace gantry::data
