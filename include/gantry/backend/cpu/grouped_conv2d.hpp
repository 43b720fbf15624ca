// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Convolutions in groups. Where a group has whole blocks of 16 channels and filters, each group is
// a direct convolution (conv2d.hpp) between its own blocks of every pixel; otherwise its channels
// are copied out, go through Eigen and are copied back.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>

#include "gantry/backend/cpu/conv2d.hpp"
#include "gantry/backend/cpu/eigen_products.hpp"
#include "gantry/backend/cpu/transfer.hpp"
#include "gantry/ops/grouped_conv2d.hpp"

namespace gantry::inline v0::backend {

namespace detail {

template <grouped_geometry G, kernel_set K>
inline constexpr bool groups_are_blocks =
    K == kernel_set::own&& G.part().in.c % blocked::block == 0 && G.part().filters % blocked::block
                                                                      == 0;

/// The sums of one group between pixels that hold the blocks of all groups.
template <grouped_geometry G, bool Backward>
struct group_sums {
  using part = block_sums<G.part(), Backward>;
  using sum_type = typename part::sum_type;
  static constexpr int source_blocks = blocked::blocks(part::source),
                       target_blocks = blocked::blocks(part::target);

  static sum_type sum_of(int pixel, const float* x, int n, const float* packed_weights) {
    const int ty = pixel / part::target.w, tx = pixel % part::target.w;
    const std::ptrdiff_t block = std::ptrdiff_t{16} * n;
    sum_type sum;
    sum.length = part::length;
    for (int ky = 0; ky < G.kernel; ++ky)
      for (int kx = 0; kx < G.kernel; ++kx) {
        const int y = part::source_of(ty, ky, part::source.h);
        const int sx = part::source_of(tx, kx, part::source.w);
        if (y < 0 || sx < 0) continue;
        const float* a = x + (y * part::source.w + sx) * G.groups * source_blocks * block;
        const float* w = packed_weights + static_cast<std::ptrdiff_t>(ky * G.kernel + kx) *
                                              target_blocks * part::source.c * 16;
        for (int i = 0; i < part::parts; ++i)
          sum.runs[static_cast<std::size_t>(sum.count++)] = {
              a + static_cast<std::ptrdiff_t>(i) * part::length * n, w + i * part::length * 16};
      }
    return sum;
  }

  /// The products of some target pixels of a group; all pointers are those of its first block.
  struct piece {
    const float *x, *packed, *bias;
    float* y;
    int n, first, count;
  };
  static void run_piece(const piece& p) {
    const std::ptrdiff_t block = std::ptrdiff_t{16} * p.n;
    std::array<sum_type, 16> sums;
    std::array<product_target, 16> targets;
    int steps = 0;
    for (int i = 0; i < p.count; ++i) {
      const int pixel = part::ordered(p.first + i);
      sums[i] = sum_of(pixel, p.x, p.n, p.packed);
      targets[i] = {p.y + pixel * G.groups * target_blocks * block, 16, block};
      steps = std::max(steps, sums[i].count);
      if (p.bias || sums[i].count == 0)
        for (int j = 0; j < target_blocks; ++j)
          for (int r = 0; r < p.n; ++r)
            for (int c = 0; c < 16; ++c)
              targets[i].c[j * block + r * 16 + c] = p.bias ? p.bias[j * 16 + c] : 0.0f;
    }
    reduction_shape shape = part::shape(p.n);
    shape.length = part::length;
    // As in gather: some runs at a time, whose weights all pixels use while they are cached.
    constexpr int group = std::max(1, 256 / part::length);
    for (int q = 0; q < steps; q += group)
      for_each_column_group(0, target_blocks, [&](int j, int width) {
        for (int i = 0; i < p.count; ++i) {
          const int runs = std::min(group, sums[i].count - q);
          if (runs <= 0) continue;
          std::array<reduction_run, std::tuple_size_v<decltype(sums[i].runs)>> some;
          for (int r = 0; r < runs; ++r) {
            some[r] = sums[i].runs[q + r];
            some[r].b += j * shape.column_stride;
          }
          multiply({some.data(), runs}, shape, p.n, width, targets[i].from_column(j),
                   q > 0 || p.bias != nullptr);
        }
      });
  }

  static void run(cpu& b, const float* x, int n, const float* weight, const float* bias, float* y) {
    const std::ptrdiff_t block = std::ptrdiff_t{16} * n;
    float* packed = scratch(scratch_use::op, G.groups * part::packed);
    for (int g = 0; g < G.groups; ++g)
      part::pack(b, weight + static_cast<std::ptrdiff_t>(g) * G.part().weights(),
                 packed + g * part::packed);
    constexpr int pixels = part::target.pixels();
    const int together = pixels_per_piece(n), pieces = ceil_div(pixels, together);
    b.for_each(G.groups * pieces, [=](int i) {
      const int g = i / pieces, first = i % pieces * together;
      run_piece({x + g * source_blocks * block, packed + g * part::packed,
                 bias ? bias + g * part::target.c : nullptr, y + g * target_blocks * block, n,
                 first, std::min(together, pixels - first)});
    });
  }
};

/// dweight += sum over target pixels of dy x^T, group by group. A piece is one tap of a group for
/// some blocks of filters; it adds up the pixels in order.
template <grouped_geometry G>
struct group_weight_gradient {
  static constexpr conv_geometry part = G.part();
  static constexpr hwc out = part.out();
  static constexpr int taps = part.kernel * part.kernel, in_blocks = part.in.c / 16;
  static constexpr int out_blocks = blocked::blocks(out), piece_blocks = std::min(out_blocks, 4);
  static constexpr int pieces = ceil_div(out_blocks, piece_blocks), most = 8;

  static void run_piece(const float* x, const float* dy, int n, int piece, float* dweight) {
    const int tap = piece / pieces, first = piece % pieces * piece_blocks;
    const int last = std::min(first + piece_blocks, out_blocks);
    const std::ptrdiff_t block = std::ptrdiff_t{16} * n;
    const int together = std::clamp(128 / n, 1, most);
    const reduction_shape shape{
        .length = n, .column_stride = block, .a_stride = 16, .b_stride = 16};
    std::array<reduction_run, most> pixels, runs;
    int count = 0;
    const auto flush = [&] {
      for (int cob = first; cob < last; ++cob)
        for_each_column_group(0, in_blocks, [&](int j, int width) {
          for (int r = 0; r < count; ++r)
            runs[r] = {pixels[r].a + cob * block, pixels[r].b + j * block};
          add_product(
              {runs.data(), count}, shape, 16, width * 16,
              {dweight + (static_cast<std::ptrdiff_t>(cob) * 16 * taps + tap) * part.in.c + j * 16,
               std::ptrdiff_t{taps} * part.in.c, 16});
        });
      count = 0;
    };
    for (int oy = 0; oy < out.h; ++oy)
      for (int ox = 0; ox < out.w; ++ox) {
        const int y = oy * part.stride - part.pad + tap / part.kernel;
        const int ix = ox * part.stride - part.pad + tap % part.kernel;
        if (y < 0 || y >= part.in.h || ix < 0 || ix >= part.in.w) continue;
        pixels[count++] = {dy + (oy * out.w + ox) * G.groups * out_blocks * block,
                           x + (y * part.in.w + ix) * G.groups * in_blocks * block};
        if (count == together) flush();
      }
    if (count > 0) flush();
  }

  static void run(cpu& b, const float* x, const float* dy, int n, float* dweight) {
    const std::ptrdiff_t block = std::ptrdiff_t{16} * n;
    b.for_each(G.groups * taps * pieces, [=](int i) {
      const int g = i / (taps * pieces);
      run_piece(x + g * in_blocks * block, dy + g * out_blocks * block, n, i % (taps * pieces),
                dweight + static_cast<std::ptrdiff_t>(g) * part.weights());
    });
  }
};

/// Channels from `first` on of a batch as canonical samples of extents Part, and back.
template <hwc Whole, hwc Part, kernel_set K>
batch_view<const float, nhwc> take_channels(basic_cpu<K>& b, scratch_use use, const float* x, int n,
                                            int first) {
  using layout = typename basic_cpu<K>::storage::layout;
  float* to = scratch(use, nhwc::elements(Part, n));
  split_samples<Whole>(b, n, [=](int i) {
    for (int k = 0; k < Part.size(); ++k)
      to[nhwc::offset(Part, n, i, k)] =
          x[layout::offset(Whole, n, i, k / Part.c * Whole.c + first + k % Part.c)];
  });
  return {to, n};
}
template <hwc Whole, hwc Part, kernel_set K>
void put_channels(basic_cpu<K>& b, const float* from, int n, int first, float* y) {
  using layout = typename basic_cpu<K>::storage::layout;
  split_samples<Whole>(b, n, [=](int i) {
    for (int k = 0; k < Part.size(); ++k)
      y[layout::offset(Whole, n, i, k / Part.c * Whole.c + first + k % Part.c)] =
          from[nhwc::offset(Part, n, i, k)];
  });
}

}  // namespace detail

template <kernel_set K, grouped_geometry G>
void launch(
    basic_cpu<K>& b, ops::grouped_conv2d_forward<G>,
    const typename ops::grouped_conv2d_forward<G>::template params<typename basic_cpu<K>::storage>&
        p) {
  if constexpr (detail::groups_are_blocks<G, K>) {
    detail::group_sums<G, false>::run(b, p.x.data, p.x.n, p.weight, p.bias, p.y.data);
  } else {
    constexpr conv_geometry part = G.part();
    for (int g = 0; g < G.groups; ++g) {
      const auto x =
          detail::take_channels<G.in, part.in>(b, scratch_use::op, p.x.data, p.x.n, g * part.in.c);
      float* y = scratch(scratch_use::op_output, nhwc::elements(part.out(), p.x.n));
      detail::convolve(b, part, x, p.weight + static_cast<std::ptrdiff_t>(g) * part.weights(),
                       p.bias ? p.bias + g * part.filters : nullptr, y);
      detail::put_channels<G.out(), part.out()>(b, y, p.x.n, g * part.filters, p.y.data);
    }
  }
}

template <kernel_set K, grouped_geometry G>
void launch(basic_cpu<K>& b, ops::grouped_conv2d_backward_data<G>,
            const typename ops::grouped_conv2d_backward_data<G>::template params<
                typename basic_cpu<K>::storage>& p) {
  if constexpr (detail::groups_are_blocks<G, K>) {
    detail::group_sums<G, true>::run(b, p.dy.data, p.dy.n, p.weight, nullptr, p.dx.data);
  } else {
    constexpr conv_geometry part = G.part();
    for (int g = 0; g < G.groups; ++g) {
      const auto dy = detail::take_channels<G.out(), part.out()>(b, scratch_use::op, p.dy.data,
                                                                 p.dy.n, g * part.filters);
      float* dx = scratch(scratch_use::op_output, nhwc::elements(part.in, p.dy.n));
      detail::convolve_backward(
          b, part, dy, p.weight + static_cast<std::ptrdiff_t>(g) * part.weights(), nullptr, dx);
      detail::put_channels<G.in, part.in>(b, dx, p.dy.n, g * part.in.c, p.dx.data);
    }
  }
}

template <kernel_set K, grouped_geometry G>
void launch(basic_cpu<K>& b, ops::grouped_conv2d_backward_weights<G>,
            const typename ops::grouped_conv2d_backward_weights<G>::template params<
                typename basic_cpu<K>::storage>& p) {
  if constexpr (detail::groups_are_blocks<G, K>) {
    detail::group_weight_gradient<G>::run(b, p.x.data, p.dy.data, p.x.n, p.dweight);
  } else {
    constexpr conv_geometry part = G.part();
    for (int g = 0; g < G.groups; ++g) {
      const auto x =
          detail::take_channels<G.in, part.in>(b, scratch_use::op, p.x.data, p.x.n, g * part.in.c);
      const auto dy = detail::take_channels<G.out(), part.out()>(
          b, scratch_use::op_output, p.dy.data, p.x.n, g * part.filters);
      detail::convolve_backward_weights(
          b, part, x, dy.data, p.dweight + static_cast<std::ptrdiff_t>(g) * part.weights());
    }
  }
}

}  // namespace gantry::backend
