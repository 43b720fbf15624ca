// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Gradients of a convolution whose input is thin (an image): few channels, so a window is unfolded
// to one row of kernel * kernel * c numbers per sample, which fits the first-level cache.
#pragma once

#include <algorithm>
#include <cstddef>

#include "gantry/backend/cpu/backend.hpp"
#include "gantry/backend/cpu/conv2d.hpp"
#include "gantry/backend/cpu/tile.hpp"
#include "gantry/backend/cpu/transpose.hpp"
#include "gantry/ops/conv2d.hpp"

namespace gantry::inline v0::backend::detail {

/// dx = the adjoint applied to dy, for a thin input and 16 or more filters. First each row of dy
/// becomes `kernel` rows of partial images, [ky][n][w][c] with room for the windows that stick out;
/// then each row of dx is the sum of those that meet it.
template <conv_geometry G>
struct thin_data_gradient {
  static constexpr hwc out = G.out();
  static constexpr int blocks = blocked::blocks(out), window = G.kernel * G.in.c;
  static constexpr int columns = ceil_div(G.taps(), 16);
  /// Pixels of a partial row: those of the input and what the first and last window add to them.
  static constexpr int left = G.pad,
                       width = std::max(G.in.w + left, (out.w - 1) * G.stride + G.kernel);
  static constexpr int row = width * G.in.c;
  static std::size_t partial_row(int n) { return static_cast<std::size_t>(n) * row; }

  /// Weights are [filter][taps]: the right operand as it stands, but for its columns in blocks of
  /// 16: [column block][filter][16].
  static void pack(const float* weight, float* to) {
    for (int j = 0; j < columns; ++j)
      for (int f = 0; f < out.c; ++f) {
        const int count = std::min(16, G.taps() - j * 16);
        float* block = to + (j * out.c + f) * 16;
        std::copy_n(weight + static_cast<std::size_t>(f) * G.taps() + j * 16, count, block);
        std::fill_n(block + count, 16 - count, 0.0f);
      }
  }

  /// Adds the windows of one pixel, [n][columns * 16], to the partial rows.
  static void scatter(const float* windows, int ox, int n, float* partial) {
    for (int ky = 0; ky < G.kernel; ++ky)
      for (int i = 0; i < n; ++i) {
        const float* from = windows + i * columns * 16 + ky * window;
        float* to = partial + (static_cast<std::size_t>(ky) * n + i) * row + ox * G.stride * G.in.c;
        for (int k = 0; k < window; ++k) to[k] += from[k];
      }
  }

  static void run(cpu& b, const layer_product& p) {
    const float *dy = p.x, *weight = p.weight, *bias = p.bias;
    float* dx = p.y;
    const int n = p.n;
    const std::size_t rows = static_cast<std::size_t>(out.h) * G.kernel;
    float* packed = scratch(scratch_use::op, std::size_t{16} * columns * out.c);
    float* partial = scratch(scratch_use::op_output, rows * partial_row(n));
    pack(weight, packed);
    const std::ptrdiff_t block = std::ptrdiff_t{16} * n;
    b.for_each(out.h, [=](int oy) {
      float* windows = scratch(scratch_use::piece, static_cast<std::size_t>(n) * columns * 16);
      float* own = partial + static_cast<std::size_t>(oy) * G.kernel * partial_row(n);
      std::fill_n(own, G.kernel * partial_row(n), 0.0f);
      const reduction_shape shape{.length = out.c,
                                  .column_stride = std::ptrdiff_t{16} * out.c,
                                  .a_stride = 16,
                                  .a_group = block};
      for (int ox = 0; ox < out.w; ++ox) {
        for_each_column_group(0, columns, [&](int j, int count) {
          const reduction_run run{dy + (oy * out.w + ox) * blocks * block,
                                  packed + static_cast<std::size_t>(j) * out.c * 16};
          multiply({&run, 1}, shape, n, count, {windows + j * 16, columns * 16, 16}, false);
        });
        scatter(windows, ox, n, own);
      }
    });
    b.for_each(G.in.h, [=, end = p.end](int y) {
      constexpr int size = G.in.w * G.in.c;
      float* to = dx + static_cast<std::size_t>(y) * n * size;
      for (int i = 0; i < n; ++i)
        for (int k = 0; k < size; ++k) to[i * size + k] = bias ? bias[k % G.in.c] : 0.0f;
      for (int ky = 0; ky < G.kernel; ++ky) {
        const int s = y + G.pad - ky;
        if (s < 0 || s % G.stride != 0 || s / G.stride >= out.h) continue;
        const float* from =
            partial + (static_cast<std::size_t>(s / G.stride) * G.kernel + ky) * partial_row(n);
        for (int i = 0; i < n; ++i)
          for (int k = 0; k < size; ++k) to[i * size + k] += from[i * row + left * G.in.c + k];
      }
      end(to, static_cast<std::size_t>(to - dx), static_cast<std::size_t>(n) * size);
    });
  }
};

/// dweight += the gradient for a thin input and 16 or more filters. A piece is a fixed share of the
/// rows of dy with a sum of its own, [taps][filters]; the shares are added up in order.
template <conv_geometry G>
struct thin_weight_gradient {
  static constexpr hwc out = G.out();
  static constexpr int blocks = blocked::blocks(out), window = G.kernel * G.in.c;
  static constexpr int depth = round_up(G.taps(), 16), shares = std::min(out.h, 8);
  static constexpr std::size_t share_size = std::size_t{16} * blocks * G.taps();

  /// The windows of a pixel as rows: to[i][ky][kx][c], zero outside of the image.
  static void unfold(const float* x, int oy, int ox, int n, float* to) {
    const int y0 = oy * G.stride - G.pad, x0 = ox * G.stride - G.pad;
    const int from = std::clamp(-x0, 0, G.kernel) * G.in.c,
              end = std::clamp(G.in.w - x0, from / G.in.c, G.kernel) * G.in.c;
    for (int ky = 0; ky < G.kernel; ++ky) {
      const bool inside = y0 + ky >= 0 && y0 + ky < G.in.h;
      const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(y0 + ky) * n * G.in.w * G.in.c;
      for (int i = 0; i < n; ++i) {
        float* row = to + i * depth + ky * window;
        if (!inside || from > 0 || end < window) std::fill_n(row, window, 0.0f);
        if (inside)
          std::copy_n(x + start + (static_cast<std::ptrdiff_t>(i) * G.in.w + x0) * G.in.c + from,
                      end - from, row + from);
      }
    }
  }

  static void run(cpu& b, const float* x, const float* dy, int n, float* dweight) {
    float* sums = scratch(scratch_use::op, shares * share_size);
    const std::ptrdiff_t block = std::ptrdiff_t{16} * n;
    b.for_each(shares, [=](int share) {
      float* rows = scratch(scratch_use::piece, static_cast<std::size_t>(n) * depth);
      float* own = sums + share * share_size;
      std::fill_n(own, share_size, 0.0f);
      const reduction_shape shape{
          .length = n, .column_stride = block, .a_stride = depth, .b_stride = 16};
      for (int oy = out.h * share / shares; oy < out.h * (share + 1) / shares; ++oy)
        for (int ox = 0; ox < out.w; ++ox) {
          unfold(x, oy, ox, n, rows);
          for_each_column_group(0, blocks, [&](int j, int count) {
            const reduction_run run{rows, dy + ((oy * out.w + ox) * blocks + j) * block};
            multiply_transposed({&run, 1}, shape, G.taps(), count, {own + j * 16, blocks * 16, 16},
                                true);
          });
        }
    });
    b.split(out.c, 16, [=](std::size_t first, std::size_t last) {
      for (int share = 0; share < shares; ++share)
        for (std::size_t f = first; f < last; ++f)
          for (int k = 0; k < G.taps(); ++k)
            dweight[f * G.taps() + k] +=
                sums[share * share_size + static_cast<std::size_t>(k) * blocks * 16 + f];
    });
  }
};

}  // namespace gantry::backend::detail
