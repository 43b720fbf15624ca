// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// 4 x 4 convolutions of stride 2 by Winograd's minimal filtering. On the even and odd sub-images
// ("phases") such a convolution is a sum of four 2 x 2 ones of stride 1, and its adjoint is four
// independent ones, one per parity of the result. F(2 x 2, 2 x 2) computes a 2 x 2 tile of results
// with 9 products instead of 16:
//   y0 = (d0 - d1) g0 + d1 (g0 + g1),  y1 = d1 (g0 + g1) - (d1 - d2) g1   (per axis)
// and the weight gradient has the same form with results and weights exchanged. Its coefficients
// are 0 and +-1, so it rounds like the direct sum (docs/05_cpu_kernels.md).
#pragma once

#include <algorithm>
#include <array>

#include "gantry/backend/cpu/conv2d.hpp"

namespace gantry::inline v0::backend::detail {

/// True where the transforms pay: even maps of at least 4 x 4 results, 64 channels or more.
constexpr bool fits_winograd(const conv_geometry& g) {
  const hwc out = g.out();
  return g.kernel == 4 && g.stride == 2 && g.pad == 1 && g.in.h % 4 == 0 && g.in.w % 4 == 0 &&
         out.h >= 4 && out.w >= 4 && g.in.c >= 64 && g.in.c % 16 == 0 && g.filters >= 64 &&
         g.filters % 16 == 0;
}

/// The transform of 3 x 3 blocks of numbers for one of the nine points: a difference of neighbours
/// along an axis whose index is 0 or 2, the middle where it is 1.
struct winograd_input {
  std::array<const float*, 4> term;  ///< (term[0] - term[1]) - (term[2] - term[3])
  int terms;

  /// `at(y, x)` is the block at that place of the 3 x 3, or a block of zeros.
  template <class At>
  winograd_input(int point, At&& at) {
    const int py = point / 3, px = point % 3;
    const int y0 = py == 2 ? 1 : py, x0 = px == 2 ? 1 : px;
    term = {at(y0, x0), nullptr, nullptr, nullptr};
    terms = 1;
    if (px != 1) term[static_cast<std::size_t>(terms++)] = at(y0, x0 + 1);
    if (py == 1) return;
    term[static_cast<std::size_t>(terms++)] = at(y0 + 1, x0);
    if (px != 1) term[static_cast<std::size_t>(terms++)] = at(y0 + 1, x0 + 1);
  }

  /// The transformed block: `to`, or where it lies already.
  const float* apply(std::size_t size, float* to) const {
    const float *a = term[0], *b = term[1], *c = term[2], *d = term[3];
    if (terms == 1) return a;
    using simd::load;
    for (std::size_t i = 0; i < size; i += simd::lanes)
      simd::store(to + i, terms == 2 ? load(a + i) - load(b + i)
                                     : (load(a + i) - load(b + i)) - (load(c + i) - load(d + i)));
    return to;
  }
};

/// The transform of a 2 x 2 block for one of the nine points: g0, g0 + g1 or g1 along each axis.
struct winograd_filter {
  std::array<const float*, 4> term{};
  int terms{};

  template <class At>
  winograd_filter(int point, At&& at) {
    for (int y = 0; y < 2; ++y)
      for (int x = 0; x < 2; ++x)
        if ((point / 3 == 1 || point / 3 == 2 * y) && (point % 3 == 1 || point % 3 == 2 * x))
          term[static_cast<std::size_t>(terms++)] = at(y, x);
  }
  [[nodiscard]] const float* apply(std::size_t size, float* to) const {
    const float *a = term[0], *b = term[1], *c = term[2], *d = term[3];
    if (terms == 1) return a;
    using simd::load;
    for (std::size_t i = 0; i < size; i += simd::lanes)
      simd::store(to + i, terms == 2 ? load(a + i) + load(b + i)
                                     : (load(a + i) + load(b + i)) + (load(c + i) + load(d + i)));
    return to;
  }
};

/// From nine products to a 2 x 2 block: m0 + m1 and m1 - m2 along each axis. Blocks of products are
/// `stride` apart; `size` is a multiple of 16.
inline void winograd_output(const float* m, std::size_t stride, std::size_t size,
                            const std::array<float*, 4>& y) {
  for (std::size_t i = 0; i < size; i += simd::lanes) {
    const auto at = [&](std::size_t p) { return simd::load(m + p * stride + i); };
    const simd::vec upper0 = at(0) + at(3), upper1 = at(1) + at(4), upper2 = at(2) + at(5);
    const simd::vec lower0 = at(3) - at(6), lower1 = at(4) - at(7), lower2 = at(5) - at(8);
    simd::store(y[0] + i, upper0 + upper1);
    simd::store(y[1] + i, upper1 - upper2);
    simd::store(y[2] + i, lower0 + lower1);
    simd::store(y[3] + i, lower1 - lower2);
  }
}

template <conv_geometry G>
struct winograd {
  static constexpr hwc in = G.in, out = G.out();
  static constexpr int taps = 16, in_blocks = in.c / 16, out_blocks = out.c / 16;
  static constexpr int tiles_x = out.w / 2, tiles = out.h / 2 * tiles_x;
  /// Weights of one phase at one point.
  static constexpr std::size_t panel = static_cast<std::size_t>(in.c) * out.c;
  static constexpr std::size_t packed = 36 * panel;

  /// Tap of phase or parity p that is place u of its 2 x 2 filter.
  template <bool Backward>
  static constexpr int tap(int p, int u) {
    return Backward ? (u == 0 ? 3 : 1) - p : 2 * u + p;
  }

  /// Transformed weights: [point][phase][target block][source channel][16].
  template <bool Backward>
  static void pack(cpu& b, const float* weight, float* to) {
    constexpr int source_c = Backward ? out.c : in.c, blocks = Backward ? in_blocks : out_blocks;
    b.for_each(4 * blocks, [=](int piece) {
      const int phase = piece / blocks, block = piece % blocks;
      for (int k = 0; k < source_c; k += 16)
        for (int point = 0; point < 9; ++point) {
          float* rows = to + (point * 4 + phase) * panel +
                        (static_cast<std::size_t>(block) * source_c + k) * 16;
          // 16 x 16 weights of a tap, in the order [filter][channel].
          alignas(64) float sum[256];
          const int filter = Backward ? k : block * 16, channel = Backward ? block * 16 : k;
          for (int f = 0; f < 16; ++f) {
            const winograd_filter terms(point, [&](int y, int x) {
              const int t = tap<Backward>(phase / 2, y) * 4 + tap<Backward>(phase % 2, x);
              return weight + (static_cast<std::size_t>(filter + f) * taps + t) * in.c + channel;
            });
            const float* row = terms.apply(16, sum + f * 16);
            if (row != sum + f * 16) std::copy_n(row, 16, sum + f * 16);
          }
          if constexpr (Backward)
            std::copy_n(sum, 256, rows);
          else
            transpose_block(sum, 16, rows, 16);
        }
    });
  }

  /// Tiles of one piece of work: enough rows to use the weights of a point more than once.
  static int tiles_per_piece(int n) { return std::clamp(64 / n, 1, 8); }

  static void forward(cpu& b, const float* x, int n, const float* weight, float* y) {
    float* weights = scratch(scratch_use::op, packed);
    pack<false>(b, weight, weights);
    const std::size_t source = static_cast<std::size_t>(in.c) * n,
                      target = static_cast<std::size_t>(out.c) * n;
    b.split(tiles, static_cast<std::size_t>(tiles_per_piece(n)),
            [=](std::size_t first, std::size_t last) {
              const int count = static_cast<int>(last - first);
              float* inputs =
                  scratch(scratch_use::piece, (4 * static_cast<std::size_t>(count) + 1) * source);
              float* products = scratch(scratch_use::piece_output, 9 * count * target);
              float* zeros = inputs + 4 * count * source;
              std::fill_n(zeros, source, 0.0f);
              for (int point = 0; point < 9; ++point) {
                std::array<const float*, 4 * 8> a;
                for (int t = 0; t < count; ++t)
                  for (int phase = 0; phase < 4; ++phase) {
                    const int tile = static_cast<int>(first) + t;
                    const winograd_input block(point, [&](int dy, int dx) {
                      const int iy = 4 * (tile / tiles_x) + 2 * dy + phase / 2 - 1,
                                ix = 4 * (tile % tiles_x) + 2 * dx + phase % 2 - 1;
                      const bool inside = iy >= 0 && iy < in.h && ix >= 0 && ix < in.w;
                      return inside ? x + (iy * in.w + ix) * source : zeros;
                    });
                    a[t * 4 + phase] = block.apply(source, inputs + (t * 4 + phase) * source);
                  }
                multiply_point<in.c, out_blocks, 4>(a.data(), count, n, weights + point * 4 * panel,
                                                    products + point * target, 9 * target);
              }
              for (int t = 0; t < count; ++t) {
                const int tile = static_cast<int>(first) + t;
                float* corner = y + (2 * (tile / tiles_x) * out.w + 2 * (tile % tiles_x)) * target;
                winograd_output(products + 9 * t * target, target, target,
                                {corner, corner + target, corner + out.w * target,
                                 corner + (out.w + 1) * target});
              }
            });
  }

  static void backward_data(cpu& b, const float* dy, int n, const float* weight, float* dx) {
    float* weights = scratch(scratch_use::op, packed);
    pack<true>(b, weight, weights);
    const std::size_t source = static_cast<std::size_t>(out.c) * n,
                      target = static_cast<std::size_t>(in.c) * n;
    const int together = tiles_per_piece(n), pieces = ceil_div(tiles, together);
    b.for_each(4 * pieces, [=](int piece) {
      const int parity = piece / pieces, first = piece % pieces * together;
      const int count = std::min(together, tiles - first), py = parity / 2, px = parity % 2;
      float* inputs = scratch(scratch_use::piece, (static_cast<std::size_t>(count) + 1) * source);
      float* products = scratch(scratch_use::piece_output, 9 * count * target);
      float* zeros = inputs + count * source;
      std::fill_n(zeros, source, 0.0f);
      for (int point = 0; point < 9; ++point) {
        std::array<const float*, 8> a;
        for (int t = 0; t < count; ++t) {
          const int ty = (first + t) / tiles_x, tx = (first + t) % tiles_x;
          const winograd_input block(point, [&](int y, int x) {
            const int oy = 2 * ty + y + py - 1, ox = 2 * tx + x + px - 1;
            const bool inside = oy >= 0 && oy < out.h && ox >= 0 && ox < out.w;
            return inside ? dy + (oy * out.w + ox) * source : zeros;
          });
          a[t] = block.apply(source, inputs + t * source);
        }
        multiply_point<out.c, in_blocks, 1>(a.data(), count, n,
                                            weights + (point * 4 + parity) * panel,
                                            products + point * target, 9 * target);
      }
      for (int t = 0; t < count; ++t) {
        const int ty = (first + t) / tiles_x, tx = (first + t) % tiles_x;
        float* corner = dx + ((4 * ty + py) * in.w + 4 * tx + px) * target;
        winograd_output(products + 9 * t * target, target, target,
                        {corner, corner + 2 * target, corner + 2 * in.w * target,
                         corner + (2 * in.w + 2) * target});
      }
    });
  }

  /// One point of `count` tiles: their results, `result_stride` apart, are the sums over Phases
  /// blocks of Source channels each.
  template <int Source, int Blocks, int Phases>
  static void multiply_point(const float* const* a, int count, int n, const float* weights,
                             float* results, std::size_t result_stride) {
    const std::ptrdiff_t block = std::ptrdiff_t{16} * n;
    constexpr int parts = channel_parts(Source), part = Source / parts;
    constexpr int together = std::max(1, 256 / part);  // phases whose weights share the cache
    const reduction_shape shape{.length = part,
                                .column_stride = std::ptrdiff_t{16} * Source,
                                .a_stride = 16,
                                .a_group = block};
    for (int q = 0; q < Phases * parts; q += together)
      for_each_column_group(0, Blocks, [&](int j, int width) {
        for (int t = 0; t < count; ++t) {
          std::array<reduction_run, static_cast<std::size_t>(together)> runs;
          const int last = std::min(q + together, Phases * parts);
          for (int r = q; r < last; ++r)
            runs[static_cast<std::size_t>(r - q)] = {
                a[t * Phases + r / parts] + static_cast<std::size_t>(r % parts) * part * n,
                weights + r / parts * panel + (j * Source + r % parts * part) * 16};
          multiply({runs.data(), last - q}, shape, n, width,
                   {results + t * result_stride + j * block, 16, block}, q > 0);
        }
      });
  }

  /// Adds dy x^T of all tiles in the transformed domain, then transforms back and adds to dweight.
  static void backward_weights(cpu& b, const float* x, const float* dy, int n, float* dweight) {
    float* sums = scratch(scratch_use::op, packed);  // [point][phase][filter][channel]
    const std::size_t channels = static_cast<std::size_t>(in.c) * n,
                      filters = static_cast<std::size_t>(out.c) * n;
    b.for_each(36, [=](int piece) {
      const int point = piece / 4, phase = piece % 4;
      constexpr int most = 8;
      const int together = std::clamp(128 / n, 1, most);
      float* inputs = scratch(scratch_use::piece, (together + 1) * channels);
      float* results = scratch(scratch_use::piece_output, together * filters);
      float* zeros = inputs + together * channels;
      std::fill_n(zeros, channels, 0.0f);
      std::array<reduction_run, most> blocks;
      for (int first = 0; first < tiles; first += together) {
        const int count = std::min(together, tiles - first);
        for (int t = 0; t < count; ++t) {
          const int ty = (first + t) / tiles_x, tx = (first + t) % tiles_x;
          const winograd_filter result(point, [&](int y, int x2) {
            return dy + ((2 * ty + y) * out.w + 2 * tx + x2) * filters;
          });
          const winograd_input input(point, [&](int y, int x2) {
            const int iy = 4 * ty + 2 * y + phase / 2 - 1, ix = 4 * tx + 2 * x2 + phase % 2 - 1;
            const bool inside = iy >= 0 && iy < in.h && ix >= 0 && ix < in.w;
            return inside ? x + (iy * in.w + ix) * channels : zeros;
          });
          blocks[t] = {result.apply(filters, results + t * filters),
                       input.apply(channels, inputs + t * channels)};
        }
        add_tiles(blocks.data(), count, n, sums + piece * panel, first > 0);
      }
    });
    b.split(out.c, 8, [=](std::size_t first, std::size_t last) {
      alignas(64) float block[4 * in.c];
      for (std::size_t f = first; f < last; ++f)
        for (int phase = 0; phase < 4; ++phase) {
          winograd_output(sums + phase * panel + f * in.c, 4 * panel, in.c,
                          {block, block + in.c, block + 2 * in.c, block + 3 * in.c});
          for (int u = 0; u < 4; ++u) {
            const int t = tap<false>(phase / 2, u / 2) * 4 + tap<false>(phase % 2, u % 2);
            float* to = dweight + (f * taps + t) * in.c;
            for (int c = 0; c < in.c; ++c) to[c] += block[u * in.c + c];
          }
        }
    });
  }

  /// sum (+)= the products of transformed results and inputs of some tiles.
  static void add_tiles(const reduction_run* tile, int count, int n, float* sum, bool accumulate) {
    const std::ptrdiff_t block = std::ptrdiff_t{16} * n;
    const reduction_shape shape{
        .length = n, .column_stride = block, .a_stride = 16, .b_stride = 16};
    std::array<reduction_run, 8> runs;
    for (int f = 0; f < out_blocks; ++f)
      for_each_column_group(0, in_blocks, [&](int j, int width) {
        for (int t = 0; t < count; ++t) runs[t] = {tile[t].a + f * block, tile[t].b + j * block};
        multiply_transposed({runs.data(), count}, shape, 16, width,
                            {sum + f * 16 * in.c + j * 16, in.c, 16}, accumulate);
      });
  }
};

}  // namespace gantry::backend::detail
