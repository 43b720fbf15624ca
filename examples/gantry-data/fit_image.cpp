// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <vector>

#include "fit_image.hpp"

namespace {

using namespace gantry;

/// Weights of the input pixels from `first` on for one output pixel.
struct taps {
  int first{};
  std::vector<double> weights;
};

double sinc(double x) {
  return x == 0 ? 1 : std::sin(std::numbers::pi * x) / (std::numbers::pi * x);
}

double kernel(int filter, double x) {
  x = std::abs(x);
  if (filter == 0) return x < 3 ? sinc(x) * sinc(x / 3) : 0;
  if (filter == 1)  // Keys with a = -0.5
    return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
  return filter == 2 ? std::max(0.0, 1 - x) : x <= 0.5 ? 1 : 0;
}

std::vector<taps> taps_of(int in, int out, int filter) {
  constexpr double supports[] = {3, 2, 1, 0.5};
  const double scale = static_cast<double>(in) / out, wide = std::max(scale, 1.0);
  const double support = supports[filter] * wide;
  std::vector<taps> all;
  for (int i = 0; i < out; ++i) {
    const double centre = (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(centre - support + 0.5));
    const int last = std::min(in, static_cast<int>(centre + support + 0.5));
    taps one{first, {}};
    double sum = 0;
    for (int x = first; x < last; ++x) {
      one.weights.push_back(kernel(filter, (x + 0.5 - centre) / wide));
      sum += one.weights.back();
    }
    for (double& w : one.weights) w /= sum;
    all.push_back(std::move(one));
  }
  return all;
}

std::uint8_t rounded(double x) {
  return static_cast<std::uint8_t>(std::clamp(std::floor(x + 0.5), 0.0, 255.0));
}

/// One axis: `lines` lines of `in` pixels at `pitch`, each pixel `run` bytes that stay together.
void resample(const std::uint8_t* from, std::uint8_t* to, int lines, int in, int out, int run,
              const std::vector<taps>& all) {
  for (int line = 0; line < lines; ++line)
    for (int i = 0; i < out; ++i) {
      const taps& t = all[static_cast<std::size_t>(i)];
      for (int k = 0; k < run; ++k) {
        const std::uint8_t* at =
            from + (static_cast<std::ptrdiff_t>(line) * in + t.first) * run + k;
        double sum = 0;
        for (const double w : t.weights) {
          sum += w * *at;
          at += run;
        }
        *to++ = rounded(sum);
      }
    }
}

}  // namespace

image_fitter::image_fitter(const pack_settings& settings)
    : crops_(settings.crop == "centre"),
      filter_(static_cast<int>(std::ranges::find(filter_names(), settings.filter) -
                               filter_names().begin())) {}

void image_fitter::operator()(const image8& from, hwc extents, std::span<std::uint8_t> out) {
  int height = from.height, width = from.width;
  if (crops_) {  // the largest part in the middle that has the proportions of the target
    height = static_cast<int>(std::min<std::int64_t>(
        from.height, std::max<std::int64_t>(1, std::int64_t{from.width} * extents.h / extents.w)));
    width = static_cast<int>(std::min<std::int64_t>(
        from.width, std::max<std::int64_t>(1, std::int64_t{from.height} * extents.w / extents.h)));
  }
  const int top = (from.height - height) / 2, left = (from.width - width) / 2;
  const int channels = extents.c == 1 ? 1 : from.channels;
  cut_.pixels.clear();
  for (int y = 0; y < height; ++y) {
    const std::uint8_t* row =
        from.pixels.data() +
        (static_cast<std::ptrdiff_t>(top + y) * from.width + left) * from.channels;
    for (int x = 0; x < width; ++x, row += from.channels) {
      if (channels == from.channels)
        cut_.pixels.insert(cut_.pixels.end(), row, row + channels);
      else  // ITU-R 601 luma, as Pillow's mode L
        cut_.pixels.push_back(static_cast<std::uint8_t>(
            (row[0] * 19595 + row[1] * 38470 + row[2] * 7471 + 0x8000) >> 16));
    }
  }
  narrow_.pixels.resize(static_cast<std::size_t>(height) * static_cast<std::size_t>(extents.w) *
                        static_cast<std::size_t>(channels));
  resample(cut_.pixels.data(), narrow_.pixels.data(), height, width, extents.w, channels,
           taps_of(width, extents.w, filter_));
  cut_.pixels.resize(static_cast<std::size_t>(extents.h) * static_cast<std::size_t>(extents.w) *
                     static_cast<std::size_t>(channels));
  resample(narrow_.pixels.data(), cut_.pixels.data(), 1, height, extents.h, extents.w * channels,
           taps_of(height, extents.h, filter_));
  auto to = out.begin();
  for (const std::uint8_t value : cut_.pixels) to = std::fill_n(to, extents.c / channels, value);
}

image_fitter fitter_of(const pack_settings& settings) { return image_fitter(settings); }

const std::vector<std::string>& crop_names() {
  static const std::vector<std::string> names{"centre", "none"};
  return names;
}

const std::vector<std::string>& filter_names() {
  static const std::vector<std::string> names{"lanczos", "bicubic", "bilinear", "box"};
  return names;
}
