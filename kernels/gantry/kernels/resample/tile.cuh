// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Results that each gather some numbers: sums over squares and pixels, their adjoints, and 3 x 3
// kernels as 4 x 4 ones (ops/kernel_fold.hpp). A body has value(i), result i.
#pragma once

#include "gantry/kernels/common/stream.cuh"
#include "gantry/kernels/resample/policy.hpp"
#include "gantry/ops/kernel_fold.hpp"

namespace gantry::inline v0::kernels {

/// Images of H x W x C, squares of Factor x Factor. Results are the small images'.
template <int H, int W, int C, int Factor>
struct sum_squares_body {
  const float* x;
  float* y;
  std::size_t count;
  float scale;

  __device__ float value(std::size_t i) const {
    constexpr int h = H / Factor, w = W / Factor;
    const std::size_t c = i % C, pixel = i / C;
    const std::size_t column = pixel % w, row = pixel / w % h, sample = pixel / w / h;
    const float* first = x + ((sample * H + row * Factor) * W + column * Factor) * C + c;
    float sum = 0;
    for (int dy = 0; dy < Factor; ++dy)
      for (int dx = 0; dx < Factor; ++dx) sum += first[(dy * W + dx) * C];
    return scale * sum;
  }
};

/// Results are the large images'.
template <int H, int W, int C, int Factor>
struct spread_squares_body {
  const float* x;
  float* y;
  std::size_t count;
  float scale;

  __device__ float value(std::size_t i) const {
    constexpr int h = H / Factor, w = W / Factor;
    const std::size_t c = i % C, pixel = i / C;
    const std::size_t column = pixel % W / Factor, row = pixel / W % H / Factor;
    if (row >= h || column >= w) return 0.0f;
    return scale * x[((pixel / W / H * h + row) * w + column) * C + c];
  }
};

template <int Pixels, int C>
struct sum_pixels_body {
  const float* x;
  float* y;
  std::size_t count;
  float scale;

  __device__ float value(std::size_t i) const {
    const float* first = x + i / C * (Pixels * C) + i % C;
    float sum = 0;
    for (int pixel = 0; pixel < Pixels; ++pixel) sum += first[pixel * C];
    return scale * sum;
  }
};

template <int Pixels, int C>
struct spread_pixels_body {
  const float* x;
  float* y;
  std::size_t count;
  float scale;

  __device__ float value(std::size_t i) const { return scale * x[i / (Pixels * C) * C + i % C]; }
};

/// Results are [filter][tap of 4 x 4][channel], stored where the geometry says.
template <fold_kind Kind, int Filters, int Channels>
struct fold_kernel_body {
  const float* weight;
  float* y;
  std::size_t count;

  __device__ float value(std::size_t i) const {
    constexpr fold_geometry g{Kind, Filters, Channels};
    const int c = static_cast<int>(i) % Channels, tap = static_cast<int>(i) / Channels % 16;
    const int filter = static_cast<int>(i) / Channels / 16;
    float sum = 0;
#pragma unroll
    for (int t = 0; t < 9; ++t)
      if (g.sums(tap, t)) sum += weight[(filter * 9 + t) * Channels + c];
    return sum * g.scale();
  }
  __device__ std::size_t place(std::size_t i) const {
    constexpr fold_geometry g{Kind, Filters, Channels};
    const int c = static_cast<int>(i) % Channels, tap = static_cast<int>(i) / Channels % 16;
    return static_cast<std::size_t>(g.folded_offset(static_cast<int>(i) / Channels / 16, tap, c));
  }
};

/// Adds to the weights' gradient, [filter][tap of 3 x 3][channel].
template <fold_kind Kind, int Filters, int Channels>
struct unfold_gradient_body {
  const float* dfolded;
  float* y;
  std::size_t count;

  __device__ float value(std::size_t i) const {
    constexpr fold_geometry g{Kind, Filters, Channels};
    const int c = static_cast<int>(i) % Channels, t = static_cast<int>(i) / Channels % 9;
    const int filter = static_cast<int>(i) / Channels / 9;
    float sum = 0;
#pragma unroll
    for (int tap = 0; tap < 16; ++tap)
      if (g.sums(tap, t)) sum += dfolded[g.folded_offset(filter, tap, c)];
    return y[i] + sum * g.scale();
  }
};

/// The loop over results.
template <class Body>
struct gather_body {
  Body body;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    static_assert(Width == 1, "the unit of these bodies is a number");
    if constexpr (requires { body.place(i); })
      body.y[body.place(i)] = body.value(i);
    else
      body.y[i] = body.value(i);
  }
};

}  // namespace gantry::kernels
