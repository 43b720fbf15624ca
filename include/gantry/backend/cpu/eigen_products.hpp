// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Dense layers and convolutions as products of Eigen; convolutions through im2col on a few images
// at a time, so that the unfolded patch matrix stays in the cache. On canonical samples: the plain
// path, and the one for extents that no kernel of our own covers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include <Eigen/Core>

#include "gantry/backend/cpu/backend.hpp"
#include "gantry/ops/conv2d.hpp"
#include "gantry/ops/linear.hpp"

namespace gantry::inline v0::backend {

namespace detail {

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using const_map = Eigen::Map<const matrix, Eigen::Unaligned, Eigen::OuterStride<>>;
using map = Eigen::Map<matrix, Eigen::Unaligned, Eigen::OuterStride<>>;

inline const_map view(const float* data, std::ptrdiff_t rows, std::ptrdiff_t cols,
                      std::ptrdiff_t stride) {
  return {data, rows, cols, Eigen::OuterStride<>(stride)};
}
inline map view(float* data, std::ptrdiff_t rows, std::ptrdiff_t cols, std::ptrdiff_t stride) {
  return {data, rows, cols, Eigen::OuterStride<>(stride)};
}

/// c[m][n] = a[m][k] b[n][k]^T (+ bias[n]).
inline void multiply_transposed(const_map a, const_map b, const float* bias, map c) {
  c.noalias() = a * b.transpose();
  if (bias) c.rowwise() += Eigen::Map<const Eigen::RowVectorXf>(bias, c.cols());
}

/// Columns (or rows) of a product that one piece of work computes.
inline constexpr std::size_t product_grain = 64;

/// Images whose patch matrix fits into about a quarter of a megabyte.
constexpr int images_per_piece(const conv_geometry& g) {
  const int floats = g.out().pixels() * g.taps();
  return floats >= 65536 ? 1 : 65536 / floats;
}

/// Unfolds rows ky of the kernel, ky_begin <= ky < ky_end, for n images: patches[n * out
/// pixels][(ky_end - ky_begin) * kernel * c].
inline void unfold(const conv_geometry& g, const float* x, int n, int ky_begin, int ky_end,
                   float* patches) {
  const hwc out = g.out();
  const int run = g.kernel * g.in.c, c = g.in.c;
  for (int i = 0; i < n; ++i)
    for (int oy = 0; oy < out.h; ++oy)
      for (int ox = 0; ox < out.w; ++ox)
        for (int ky = ky_begin; ky < ky_end; ++ky, patches += run) {
          const int y = oy * g.stride - g.pad + ky, x0 = ox * g.stride - g.pad;
          const int skip = std::min(std::max(0, -x0), g.kernel);
          const int stop = std::max(skip, std::min(g.kernel, g.in.w - x0));
          if (y < 0 || y >= g.in.h || skip == stop) {
            std::memset(patches, 0, sizeof(float) * static_cast<std::size_t>(run));
            continue;
          }
          const float* row =
              x + (static_cast<std::size_t>(i) * g.in.pixels() + y * g.in.w + x0 + skip) * c;
          std::fill_n(patches, skip * c, 0.0f);
          std::copy_n(row, (stop - skip) * c, patches + skip * c);
          std::fill_n(patches + stop * c, (g.kernel - stop) * c, 0.0f);
        }
}

/// Adds patches back to the pixels they came from: the adjoint of unfold over all kernel rows.
inline void fold(const conv_geometry& g, const float* patches, int n, float* x) {
  const hwc out = g.out();
  const int run = g.kernel * g.in.c, c = g.in.c;
  for (int i = 0; i < n; ++i)
    for (int oy = 0; oy < out.h; ++oy)
      for (int ox = 0; ox < out.w; ++ox)
        for (int ky = 0; ky < g.kernel; ++ky, patches += run) {
          const int y = oy * g.stride - g.pad + ky, x0 = ox * g.stride - g.pad;
          if (y < 0 || y >= g.in.h) continue;
          const int skip = std::max(0, -x0), stop = std::min(g.kernel, g.in.w - x0);
          float* row = x + (static_cast<std::size_t>(i) * g.in.pixels() + y * g.in.w) * c + x0 * c;
          for (int k = skip * c; k < stop * c; ++k) row[k] += patches[k];
        }
}

template <kernel_set K>
void convolve(basic_cpu<K>& b, const conv_geometry& g, batch_view<const float, nhwc> x,
              const float* weight, const float* bias, float* y) {
  const int pixels = g.out().pixels(), taps = g.taps();
  b.split(static_cast<std::size_t>(x.n), static_cast<std::size_t>(images_per_piece(g)),
          [&](std::size_t begin, std::size_t end) {
            const int n = static_cast<int>(end - begin);
            const std::ptrdiff_t rows = static_cast<std::ptrdiff_t>(n) * pixels;
            float* patches = scratch(scratch_use::piece, static_cast<std::size_t>(rows) * taps);
            unfold(g, x.data + begin * g.in.size(), n, 0, g.kernel, patches);
            multiply_transposed(view(static_cast<const float*>(patches), rows, taps, taps),
                                view(weight, g.filters, taps, taps), bias,
                                view(y + begin * pixels * g.filters, rows, g.filters, g.filters));
          });
}

template <kernel_set K>
void convolve_backward(basic_cpu<K>& b, const conv_geometry& g, batch_view<const float, nhwc> dy,
                       const float* weight, const float* bias, float* dx) {
  const int pixels = g.out().pixels(), taps = g.taps();
  b.split(static_cast<std::size_t>(dy.n), static_cast<std::size_t>(images_per_piece(g)),
          [&](std::size_t begin, std::size_t end) {
            const int n = static_cast<int>(end - begin);
            const std::ptrdiff_t rows = static_cast<std::ptrdiff_t>(n) * pixels;
            float* patches = scratch(scratch_use::piece, static_cast<std::size_t>(rows) * taps);
            view(patches, rows, taps, taps).noalias() =
                view(dy.data + begin * pixels * g.filters, rows, g.filters, g.filters) *
                view(weight, g.filters, taps, taps);
            map image = view(dx + begin * g.in.size(),
                             static_cast<std::ptrdiff_t>(n) * g.in.pixels(), g.in.c, g.in.c);
            image.setZero();
            if (bias) image.rowwise() += Eigen::Map<const Eigen::RowVectorXf>(bias, g.in.c);
            fold(g, patches, n, dx + begin * g.in.size());
          });
}

/// One piece of work is one row of the kernel for a block of filters: pieces write disjoint
/// weights, and each adds up the images in order.
template <kernel_set K>
void convolve_backward_weights(basic_cpu<K>& b, const conv_geometry& g,
                               batch_view<const float, nhwc> x, const float* dy, float* dweight) {
  const int pixels = g.out().pixels(), run = g.kernel * g.in.c,
            group = images_per_piece(g) * g.kernel;
  b.split(static_cast<std::size_t>(g.kernel), 1, [&](std::size_t ky, std::size_t) {
    for (int first = 0; first < x.n; first += group) {
      const int n = std::min(group, x.n - first);
      const std::ptrdiff_t rows = static_cast<std::ptrdiff_t>(n) * pixels;
      float* patches = scratch(scratch_use::piece, static_cast<std::size_t>(rows) * run);
      unfold(g, x.data + static_cast<std::size_t>(first) * g.in.size(), n, static_cast<int>(ky),
             static_cast<int>(ky) + 1, patches);
      view(dweight + ky * run, g.filters, run, g.taps()).noalias() +=
          view(dy + static_cast<std::size_t>(first) * pixels * g.filters, rows, g.filters,
               g.filters)
              .transpose() *
          view(static_cast<const float*>(patches), rows, run, run);
    }
  });
}

}  // namespace detail

template <linear_geometry G>
void launch(cpu_eigen& b, ops::linear_forward<G>,
            const typename ops::linear_forward<G>::template params<cpu_eigen::storage>& p) {
  constexpr int inputs = G.in.size();
  b.split(G.out, detail::product_grain, [&](std::size_t begin, std::size_t end) {
    detail::multiply_transposed(
        detail::view(p.x.data, p.x.n, inputs, inputs),
        detail::view(p.weight + begin * inputs, static_cast<std::ptrdiff_t>(end - begin), inputs,
                     inputs),
        p.bias ? p.bias + begin : nullptr,
        detail::view(p.y.data + begin, p.x.n, static_cast<std::ptrdiff_t>(end - begin), G.out));
  });
}

template <linear_geometry G>
void launch(cpu_eigen& b, ops::linear_backward_data<G>,
            const typename ops::linear_backward_data<G>::template params<cpu_eigen::storage>& p) {
  constexpr int inputs = G.in.size();
  b.split(inputs, detail::product_grain, [&](std::size_t begin, std::size_t end) {
    const std::ptrdiff_t cols = static_cast<std::ptrdiff_t>(end - begin);
    detail::map dx = detail::view(p.dx.data + begin, p.dy.n, cols, inputs);
    const auto product = detail::view(p.dy.data, p.dy.n, G.out, G.out) *
                         detail::view(p.weight + begin, G.out, cols, inputs);
    if (p.accumulate)
      dx.noalias() += product;
    else
      dx.noalias() = product;
  });
}

template <linear_geometry G>
void launch(
    cpu_eigen& b, ops::linear_backward_weights<G>,
    const typename ops::linear_backward_weights<G>::template params<cpu_eigen::storage>& p) {
  constexpr int inputs = G.in.size();
  b.split(inputs, detail::product_grain, [&](std::size_t begin, std::size_t end) {
    const std::ptrdiff_t cols = static_cast<std::ptrdiff_t>(end - begin);
    detail::view(p.dweight + begin, G.out, cols, inputs).noalias() +=
        detail::view(p.dy.data, p.dy.n, G.out, G.out).transpose() *
        detail::view(p.x.data + begin, p.x.n, cols, inputs);
  });
}

template <conv_geometry G>
void launch(cpu_eigen& b, ops::conv2d_forward<G>,
            const typename ops::conv2d_forward<G>::template params<cpu_eigen::storage>& p) {
  detail::convolve(b, G, p.x, p.weight, p.bias, p.y.data);
}

template <conv_geometry G>
void launch(cpu_eigen& b, ops::conv2d_backward_data<G>,
            const typename ops::conv2d_backward_data<G>::template params<cpu_eigen::storage>& p) {
  detail::convolve_backward(b, G, p.dy, p.weight, p.bias, p.dx.data);
}

template <conv_geometry G>
void launch(
    cpu_eigen& b, ops::conv2d_backward_weights<G>,
    const typename ops::conv2d_backward_weights<G>::template params<cpu_eigen::storage>& p) {
  detail::convolve_backward_weights(b, G, p.x, p.dy.data, p.dweight);
}

}  // namespace gantry::backend
