// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Results that each gather some numbers: sums over squares and pixels, bilinear and filtered
// images, their adjoints, and 3 x 3 kernels as 4 x 4 ones (ops/kernel_fold.hpp). A body has
// value(i), result i.
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

/// What an enlarged image reads on an axis of Extent pixels.
template <int Extent, int Factor>
struct bilinear_axis {
  /// Output o reads `low` and, where `share` is not 0, `high` with that weight.
  struct tap {
    int low, high;
    float share;
  };
  __device__ static tap of(int o) {
    const int twice = 2 * o + 1 - Factor;  // the place in the input, times 2 Factor
    const int place = twice < 0 ? 0 : twice, low = place / (2 * Factor);
    const float share = static_cast<float>(place % (2 * Factor)) / (2 * Factor);
    return {low, low + 1 < Extent ? low + 1 : Extent - 1, share};
  }
  /// The weight of input i in output o.
  __device__ static float weight(int i, int o) {
    const tap t = of(o);
    return (t.low == i ? 1.0f - t.share : 0.0f) + (t.high == i ? t.share : 0.0f);
  }
};

/// Images of H x W x C enlarged by Factor.
template <int H, int W, int C, int Factor>
struct bilinear_body {
  const float* x;
  float* y;
  std::size_t count;

  __device__ float value(std::size_t i) const {
    const std::size_t pixel = i / C, sample = pixel / (W * Factor) / (H * Factor);
    const auto rows =
        bilinear_axis<H, Factor>::of(static_cast<int>(pixel / (W * Factor) % (H * Factor)));
    const auto columns = bilinear_axis<W, Factor>::of(static_cast<int>(pixel % (W * Factor)));
    const float* first = x + sample * (H * W * C) + i % C;
    const auto in_row = [&](int row) {
      const float* start = first + row * W * C;
      const float near = (1.0f - columns.share) * start[columns.low * C];
      return columns.share > 0 ? near + columns.share * start[columns.high * C] : near;
    };
    const float near = (1.0f - rows.share) * in_row(rows.low);
    return rows.share > 0 ? near + rows.share * in_row(rows.high) : near;
  }
};

/// Its adjoint: results are the small images', each of which looks at the outputs around it.
template <int H, int W, int C, int Factor>
struct bilinear_adjoint_body {
  const float* x;
  float* y;
  std::size_t count;

  __device__ float value(std::size_t i) const {
    const std::size_t pixel = i / C;
    const int row = static_cast<int>(pixel / W % H), column = static_cast<int>(pixel % W);
    const float* first = x + pixel / W / H * (H * W * C * Factor * Factor) + i % C;
    float sum = 0;
    for (int y_o = from(row); y_o < to(row, H); ++y_o) {
      const float by_row = bilinear_axis<H, Factor>::weight(row, y_o);
      for (int x_o = from(column); by_row != 0 && x_o < to(column, W); ++x_o) {
        const float weight = by_row * bilinear_axis<W, Factor>::weight(column, x_o);
        if (weight != 0) sum += weight * first[(y_o * W * Factor + x_o) * C];
      }
    }
    return sum;
  }

 private:
  __device__ static int from(int i) { return i == 0 ? 0 : (i - 1) * Factor; }
  __device__ static int to(int i, int extent) {
    const int end = (i + 2) * Factor;
    return end < extent * Factor ? end : extent * Factor;
  }
};

/// The low-pass filter's weight of tap k on an axis.
__device__ inline float filter_weight(int k) { return k == 0 || k == 3 ? 0.125f : 0.375f; }

/// Large images of H x W x C; results are the small images'.
template <int H, int W, int C>
struct filter_halve_body {
  const float* x;
  float* y;
  std::size_t count;
  float scale;

  __device__ float value(std::size_t i) const {
    constexpr int h = H / 2, w = W / 2;
    const std::size_t pixel = i / C;
    const int row = 2 * static_cast<int>(pixel / w % h) - 1;
    const int column = 2 * static_cast<int>(pixel % w) - 1;
    const float* first = x + pixel / w / h * (H * W * C) + i % C;
    float sum = 0;
    for (int k = 0; k < 16; ++k) {
      const int from_row = row + k / 4, from_column = column + k % 4;
      if (from_row < 0 || from_row >= H || from_column < 0 || from_column >= W) continue;
      sum += filter_weight(k / 4) * filter_weight(k % 4) * first[(from_row * W + from_column) * C];
    }
    return scale * sum;
  }
};

/// Its adjoint: results are the large images', each of which lies in up to two windows of an axis.
template <int H, int W, int C>
struct filter_double_body {
  const float* x;
  float* y;
  std::size_t count;
  float scale;

  __device__ float value(std::size_t i) const {
    constexpr int h = H / 2, w = W / 2;
    const std::size_t pixel = i / C;
    const int row = static_cast<int>(pixel / W % H), column = static_cast<int>(pixel % W);
    const float* first = x + pixel / W / H * (h * w * C) + i % C;
    float sum = 0;
    for (int from_row = (row + 1) / 2 - 1; from_row <= (row + 1) / 2; ++from_row)
      for (int from_column = (column + 1) / 2 - 1; from_column <= (column + 1) / 2; ++from_column) {
        if (from_row < 0 || from_row >= h || from_column < 0 || from_column >= w) continue;
        sum += filter_weight(row + 1 - 2 * from_row) * filter_weight(column + 1 - 2 * from_column) *
               first[(from_row * w + from_column) * C];
      }
    return scale * sum;
  }
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
