// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Convolutions on the blocked layout, forward and both gradients, without unfolding anything: the
// [n][16] blocks of a pixel are the operands. Each target pixel sums exactly the taps that are
// inside the source, so padding costs nothing, and a transposed convolution is the same sum with
// another list of taps. Weights are packed when they have changed, for all pixels and samples.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>

#include "gantry/backend/cpu/backend.hpp"
#include "gantry/backend/cpu/epilogue.hpp"
#include "gantry/backend/cpu/tile.hpp"
#include "gantry/backend/cpu/transpose.hpp"
#include "gantry/ops/conv2d.hpp"

namespace gantry::inline v0::backend::detail {

/// Parts of a pixel's channels that are multiplied at once, so that the packed weights of a run
/// stay in the first-level cache: all of them, or the fewest equal parts of at most 256.
constexpr int channel_parts(int channels) {
  for (int parts = 1; parts * 16 <= channels; ++parts)
    if (channels % (16 * parts) == 0 && channels / parts <= 256) return parts;
  return 1;
}

/// What a target pixel sums: runs whose right operands are those of column block 0.
template <int Most>
struct pixel_sum {
  std::array<reduction_run, Most> runs;
  int count{}, length{};
};

/// The sums of a convolution from blocks of 16 channels to blocks of 16 channels. `Backward` reads
/// the geometry backwards: the source has the extents of G.out().
template <conv_geometry G, bool Backward>
struct block_sums {
  static constexpr hwc source = Backward ? G.out() : G.in, target = Backward ? G.in : G.out();
  static constexpr int taps = G.kernel * G.kernel, parts = channel_parts(source.c);
  static constexpr int length = source.c / parts;
  static constexpr std::size_t weights = static_cast<std::size_t>(G.weights());
  using sum_type = pixel_sum<taps * parts>;
  static constexpr reduction_shape shape(int n) {
    return {.length = length,
            .column_stride = std::ptrdiff_t{16} * source.c,
            .a_stride = 16,
            .a_group = std::ptrdiff_t{16} * n};
  }

  /// Floats of the packed weights: [tap][target block][source channel][16].
  static constexpr std::size_t packed = std::size_t{16} * taps * blocked::blocks(target) * source.c;

  static void pack(cpu& b, const float* weight, float* to) {
    constexpr int blocks = blocked::blocks(target);
    b.for_each(taps * blocks, [=](int piece) {
      const int tap = piece / blocks, first = piece % blocks * 16;
      float* rows = to + static_cast<std::size_t>(piece) * source.c * 16;
      const int width = std::min(16, target.c - first);
      if (width < 16) std::fill_n(rows, source.c * 16, 0.0f);
      if constexpr (Backward) {  // weights are [source channel][tap][target channel]
        for (int k = 0; k < source.c; ++k)
          std::copy_n(weight + (static_cast<std::size_t>(k) * taps + tap) * target.c + first, width,
                      rows + k * 16);
      } else {  // [target channel][tap][source channel]
        for (int k = 0; k < source.c; k += 16)
          transpose_part(weight + (static_cast<std::size_t>(first) * taps + tap) * source.c + k,
                         std::ptrdiff_t{taps} * source.c, width, std::min(16, source.c - k),
                         rows + k * 16, 16);
      }
    });
  }

  /// The target pixel that comes i-th: those that use the same taps follow one another.
  static int ordered(int i) {
    if constexpr (!Backward || G.stride == 1) return i;
    for (int phase = 0; phase < G.stride * G.stride; ++phase) {
      const int y = phase / G.stride, x = phase % G.stride;
      const int h = ceil_div(std::max(0, target.h - y), G.stride),
                w = ceil_div(std::max(0, target.w - x), G.stride);
      if (i < h * w) return (y + i / w * G.stride) * target.w + x + i % w * G.stride;
      i -= h * w;
    }
    return i;
  }

  /// Source coordinate that tap k of target coordinate t reads, or -1.
  static constexpr int source_of(int t, int k, int extent) {
    if (!Backward) {
      const int s = t * G.stride - G.pad + k;
      return s < extent ? s : -1;
    }
    const int s = t + G.pad - k;
    return s >= 0 && s % G.stride == 0 && s / G.stride < extent ? s / G.stride : -1;
  }

  static sum_type sum_of(int pixel, const float* x, int n, const float* packed_weights) {
    constexpr int blocks = blocked::blocks(source), target_blocks = blocked::blocks(target);
    const int ty = pixel / target.w, tx = pixel % target.w;
    sum_type sum;
    sum.length = length;
    for (int ky = 0; ky < G.kernel; ++ky) {
      const int y = source_of(ty, ky, source.h);
      if (y < 0) continue;
      for (int kx = 0; kx < G.kernel; ++kx) {
        const int sx = source_of(tx, kx, source.w);
        if (sx < 0) continue;
        const float* a = x + static_cast<std::size_t>(y * source.w + sx) * blocks * 16 * n;
        const float* w = packed_weights + static_cast<std::size_t>(ky * G.kernel + kx) *
                                              target_blocks * source.c * 16;
        for (int part = 0; part < parts; ++part)
          sum.runs[static_cast<std::size_t>(sum.count++)] = {
              a + static_cast<std::size_t>(part) * length * n, w + part * length * 16};
      }
    }
    return sum;
  }
};

/// The sums of a forward convolution of a thin source: a row of the window is one run.
template <conv_geometry G>
struct thin_sums {
  static constexpr hwc source = G.in, target = G.out();
  using sum_type = pixel_sum<G.kernel>;
  static constexpr std::size_t weights = static_cast<std::size_t>(G.weights());
  static constexpr std::size_t packed = std::size_t{16} * blocked::blocks(target) * G.taps();
  static constexpr reduction_shape shape(int) {
    return {.length = 0,
            .column_stride = std::ptrdiff_t{16} * G.taps(),
            .a_stride = std::ptrdiff_t{source.w} * source.c,
            .a_group = 16};
  }
  /// [target block][ky][kx][c][16]
  static void pack(cpu& b, const float* weight, float* to) {
    b.for_each(blocked::blocks(target), [=](int block) {
      float* rows = to + static_cast<std::size_t>(block) * G.taps() * 16;
      const int width = std::min(16, target.c - block * 16);
      if (width < 16) std::fill_n(rows, G.taps() * 16, 0.0f);
      for (int k = 0; k < G.taps(); k += 16)
        transpose_part(weight + static_cast<std::size_t>(block) * 16 * G.taps() + k, G.taps(),
                       width, std::min(16, G.taps() - k), rows + k * 16, 16);
    });
  }
  static int ordered(int i) { return i; }

  static sum_type sum_of(int pixel, const float* x, int n, const float* packed_weights) {
    const int y0 = pixel / target.w * G.stride - G.pad, x0 = pixel % target.w * G.stride - G.pad;
    const int from = std::max(0, -x0), to = std::min(G.kernel, source.w - x0);
    sum_type sum;
    if (from >= to) return sum;
    sum.length = (to - from) * source.c;
    for (int ky = 0; ky < G.kernel; ++ky) {
      const int y = y0 + ky;
      if (y < 0 || y >= source.h) continue;
      sum.runs[static_cast<std::size_t>(sum.count++)] = {
          x + static_cast<std::size_t>(y) * n * source.w * source.c + (x0 + from) * source.c,
          packed_weights + (ky * G.kernel + from) * source.c * 16};
    }
    return sum;
  }
};

/// Target pixels of one piece of work: enough rows to use the packed weights more than once.
inline int pixels_per_piece(int n) { return std::clamp(64 / n, 1, 16); }

/// y = the sums (+ bias per target channel).
template <class Sums>
void gather(cpu& b, const layer_product& p) {
  const float *x = p.x, *weight = p.weight, *bias = p.bias;
  float* y = p.y;
  const int n = p.n;
  constexpr int blocks = blocked::blocks(Sums::target), pixels = Sums::target.pixels();
  const float* packed = packed_once<Sums, false>(b, weight, Sums::weights, Sums::packed,
                                                 [&](float* to) { Sums::pack(b, weight, to); });
  const std::ptrdiff_t block = std::ptrdiff_t{16} * n;
  const int together = pixels_per_piece(n);
  b.split(pixels, static_cast<std::size_t>(together), [&](std::size_t first, std::size_t last) {
    const int count = static_cast<int>(last - first);
    std::array<typename Sums::sum_type, 16> sums;
    std::array<product_target, 16> targets;
    int steps = 0;
    reduction_shape shape = Sums::shape(n);
    for (int i = 0; i < count; ++i) {
      const int pixel = Sums::ordered(static_cast<int>(first) + i);
      sums[i] = Sums::sum_of(pixel, x, n, packed);
      targets[i] = {y + pixel * blocks * block, 16, block};
      steps = std::max(steps, sums[i].count);
      if (bias || sums[i].count == 0)
        for (int j = 0; j < blocks; ++j)
          for (int r = 0; r < n; ++r)
            for (int c = 0; c < 16; ++c)
              targets[i].c[j * block + r * 16 + c] =
                  bias && j * 16 + c < Sums::target.c ? bias[j * 16 + c] : 0.0f;
    }
    // Runs are taken in groups whose packed weights stay in the cache while all pixels use them.
    const int group = std::max(1, 256 / std::max(1, sums[0].length));
    for (int q = 0; q < steps; q += group)
      for_each_column_group(0, blocks, [&](int j, int width) {
        for (int i = 0; i < count; ++i) {
          const int runs = std::min(group, sums[i].count - q);
          if (runs <= 0) continue;
          std::array<reduction_run, std::tuple_size_v<decltype(sums[i].runs)>> part;
          for (int r = 0; r < runs; ++r) {
            part[r] = sums[i].runs[q + r];
            part[r].b += j * shape.column_stride;
          }
          shape.length = sums[i].length;
          multiply({part.data(), runs}, shape, n, width, targets[i].from_column(j),
                   q > 0 || bias != nullptr);
        }
      });
    for (int i = 0; i < count; ++i)
      p.end(targets[i].c, static_cast<std::size_t>(targets[i].c - y),
            static_cast<std::size_t>(blocks * block));
  });
}

/// dweight += sum over target pixels of dy x^T for blocks of 16 channels on both sides. A piece is
/// one tap for some blocks of filters; it adds up the pixels in order.
template <conv_geometry G>
void block_weight_gradient(cpu& b, const float* x, const float* dy, int n, float* dweight) {
  constexpr hwc out = G.out();
  constexpr int taps = G.kernel * G.kernel, in_blocks = G.in.c / 16, tail = G.in.c % 16;
  constexpr int out_blocks = blocked::blocks(out), piece_blocks = std::min(out_blocks, 4);
  constexpr int pieces = ceil_div(out_blocks, piece_blocks), most = 8;
  const std::ptrdiff_t block = std::ptrdiff_t{16} * n;
  const int together = std::clamp(128 / n, 1, most);
  b.for_each(taps * pieces, [=](int piece) {
    const int tap = piece / pieces, first = piece % pieces * piece_blocks;
    const int last = std::min(first + piece_blocks, out_blocks);
    const reduction_shape shape{
        .length = n, .column_stride = block, .a_stride = 16, .b_stride = 16};
    std::array<reduction_run, most> pixels, runs;
    int count = 0;
    const auto flush = [&] {
      const auto add = [&](int cob, int j, int columns) {
        for (int r = 0; r < count; ++r)
          runs[r] = {pixels[r].a + cob * block, pixels[r].b + j * block};
        add_product({runs.data(), count}, shape, std::min(16, out.c - cob * 16), columns,
                    {dweight + (static_cast<std::size_t>(cob) * 16 * taps + tap) * G.in.c + j * 16,
                     std::ptrdiff_t{taps} * G.in.c, 16});
      };
      for (int cob = first; cob < last; ++cob) {
        for_each_column_group(0, in_blocks, [&](int j, int width) { add(cob, j, width * 16); });
        if constexpr (tail > 0) add(cob, in_blocks, tail);
      }
      count = 0;
    };
    for (int oy = 0; oy < out.h; ++oy) {
      const int y = oy * G.stride - G.pad + tap / G.kernel;
      if (y < 0 || y >= G.in.h) continue;
      for (int ox = 0; ox < out.w; ++ox) {
        const int ix = ox * G.stride - G.pad + tap % G.kernel;
        if (ix < 0 || ix >= G.in.w) continue;
        pixels[count++] = {dy + (oy * out.w + ox) * out_blocks * block,
                           x + (y * G.in.w + ix) * blocked::blocks(G.in) * block};
        if (count == together) flush();
      }
    }
    if (count > 0) flush();
  });
}

}  // namespace gantry::backend::detail
