// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Random changes of images, see ops/augment.hpp. Every thread draws its sample's numbers itself:
// arithmetic is free where memory is the limit.
#pragma once

#include "gantry/kernels/augment/policy.hpp"
#include "gantry/kernels/common/rows.cuh"
#include "gantry/kernels/common/stream.cuh"
#include "gantry/ops/augment.hpp"

namespace gantry::inline v0::kernels {

template <int Pixels, int C>
struct augment_color_body {
  static constexpr int sums = 1, terms = Pixels * C, results = Pixels;
  struct change {
    augmentation::color color;
    float mean;
  };
  const float* x;
  float* y;
  int rows;
  float probability;
  stream_id stream;
  bool shift;

  __device__ void add(int row, int k, float (&s)[1]) const {
    s[0] += x[static_cast<std::size_t>(row) * (Pixels * C) + k];
  }
  __device__ change facts(int row, const row_sums<1>& s) const {
    change f{augmentation::draw_color(stream, row, probability),
             static_cast<float>(s.v[0] / (Pixels * C))};
    if (!shift) f.color.brightness = 0;
    return f;
  }
  /// A pixel, all of whose channels are read before one is written.
  __device__ void write(int row, int pixel, const change& f) const {
    const std::size_t first = (static_cast<std::size_t>(row) * Pixels + pixel) * C;
    float sum = 0;
    for (int c = 0; f.color.changes && c < C; ++c) sum += x[first + c];
    const float contrast = f.color.contrast, saturation = f.color.saturation;
    const float same = contrast * (1.0f - saturation) * (sum / C) + (1.0f - contrast) * f.mean +
                       f.color.brightness;
    for (int c = 0; c < C; ++c)
      y[first + c] = f.color.changes ? contrast * saturation * x[first + c] + same : x[first + c];
  }
};

/// y(row, column) = x(row + down, column + right), or back; y is not x.
template <int H, int W, int C>
struct augment_translation_body {
  const float* x;
  float* y;
  std::size_t count;
  float probability, ratio;
  stream_id stream;
  bool transposed;
  int first_sample;  ///< that x and y begin with

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const std::size_t pixel = i / C;
    const int sample = static_cast<int>(pixel / (H * W));
    const auto d =
        augmentation::draw_offset({H, W, C}, stream, first_sample + sample, probability, ratio);
    const int down = transposed ? -d.down : d.down, right = transposed ? -d.right : d.right;
    const int row = static_cast<int>(pixel / W % H) + down;
    const int column = static_cast<int>(pixel % W) + right;
    const bool inside = row >= 0 && row < H && column >= 0 && column < W;
    y[i] =
        inside ? x[((static_cast<std::size_t>(sample) * H + row) * W + column) * C + i % C] : 0.0f;
  }
};

template <int H, int W, int C>
struct augment_cutout_body {
  const float* x;
  float* y;
  std::size_t count;
  float probability, ratio;
  stream_id stream;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const std::size_t pixel = i / C;
    const auto cut = augmentation::draw_rectangle(
        {H, W, C}, stream, static_cast<int>(pixel / (H * W)), probability, ratio);
    const int row = static_cast<int>(pixel / W % H), column = static_cast<int>(pixel % W);
    y[i] = cut.holds(row, column) ? 0.0f : x[i];
  }
};

/// A thread takes a number and its mirror image, so that y may be x: columns of the left half and
/// the middle one.
template <int H, int W, int C>
struct augment_flip_body {
  static constexpr int half = (W + 1) / 2;
  const float* x;
  float* y;
  std::size_t count;  ///< of such numbers
  float probability;
  stream_id stream;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const std::size_t line = i / (half * C), in_line = i % (half * C);
    const int sample = static_cast<int>(line / H), column = static_cast<int>(in_line / C);
    const std::size_t left = line * (W * C) + in_line;
    const std::size_t right = left + static_cast<std::size_t>(W - 1 - 2 * column) * C;
    const float a = x[left], b = x[right];
    const bool flips = augmentation::draw_flip(stream, sample, probability);
    y[left] = flips ? b : a;
    y[right] = flips ? a : b;
  }
};

/// y = x, on the way to a translation in place.
struct augment_copy_body {
  const float* x;
  float* y;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    y[i] = x[i];
  }
};

}  // namespace gantry::kernels
