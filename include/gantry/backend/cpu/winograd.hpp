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
#include <cstddef>

#include "gantry/backend/cpu/conv2d.hpp"

namespace gantry::inline v0::backend::detail {

/// True where the transforms pay: at least 4 x 4 results of an even map, 64 channels or more.
constexpr bool fits_winograd(const conv_geometry& g) {
  const hwc out = g.out();
  return g.kernel == 4 && g.stride == 2 && g.pad == 1 && g.in.h % 2 == 0 && g.in.w % 2 == 0 &&
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

/// winograd_input for the three points of row py at once: fewer loads. Where they lie: one after
/// the other in `to`, but for the one that is a block of the source. The last only where `all`.
template <class At>
std::array<const float*, 3> winograd_inputs(int py, bool all, std::size_t size, float* to,
                                            At&& at) {
  using simd::load;
  const int y = py == 2 ? 1 : py;
  const float *a0 = at(y, 0), *a1 = at(y, 1), *a2 = at(y, 2);
  float *second = to + size, *third = second + size;
  if (py == 1) {
    for (std::size_t i = 0; i < size; i += simd::lanes) {
      const simd::vec middle = load(a1 + i);
      simd::store(to + i, load(a0 + i) - middle);
      if (all) simd::store(third + i, middle - load(a2 + i));
    }
    return {to, a1, third};
  }
  const float *b0 = at(y + 1, 0), *b1 = at(y + 1, 1), *b2 = at(y + 1, 2);
  for (std::size_t i = 0; i < size; i += simd::lanes) {
    const simd::vec middle = load(a1 + i) - load(b1 + i);
    simd::store(to + i, (load(a0 + i) - load(b0 + i)) - middle);
    simd::store(second + i, middle);
    if (all) simd::store(third + i, middle - (load(a2 + i) - load(b2 + i)));
  }
  return {to, second, third};
}

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

/// Adds the bias to the 2 x 2 pixels of a tile and ends them, but for those that lie `outside`. A
/// pixel of y has `channels` of n samples.
inline void finish_tile(const layer_product& p, std::size_t channels,
                        const std::array<float*, 4>& pixels, const float* outside) {
  if (!p.bias && !p.end.change) return;
  const auto n = static_cast<std::size_t>(p.n);
  for (float* pixel : pixels) {
    if (pixel == outside) continue;
    if (p.bias)
      for (std::size_t c = 0; c < channels; c += 16)
        for (std::size_t i = 0; i < n; ++i)
          for (std::size_t j = 0; j < 16; ++j) pixel[c * n + i * 16 + j] += p.bias[c + j];
    p.end(pixel, static_cast<std::size_t>(pixel - p.y), channels * n);
  }
}

template <conv_geometry G>
struct winograd {
  static constexpr hwc in = G.in, out = G.out();
  static constexpr int taps = 16, in_blocks = in.c / 16, out_blocks = out.c / 16;
  static constexpr int tiles_x = ceil_div(out.w, 2), tiles = ceil_div(out.h, 2) * tiles_x;
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
      alignas(64) float taps_of_phase[4][256];  // in the order of the right operand
      for (int k = 0; k < source_c; k += 16) {
        const int filter = Backward ? k : block * 16, channel = Backward ? block * 16 : k;
        for (int u = 0; u < 4; ++u) {
          const int t = tap<Backward>(phase / 2, u / 2) * 4 + tap<Backward>(phase % 2, u % 2);
          const float* from =
              weight + (static_cast<std::size_t>(filter) * taps + t) * in.c + channel;
          if constexpr (Backward)
            for (int f = 0; f < 16; ++f)
              std::copy_n(from + std::ptrdiff_t{f} * taps * in.c, 16, taps_of_phase[u] + f * 16);
          else
            transpose_block(from, std::ptrdiff_t{taps} * in.c, taps_of_phase[u], 16);
        }
        for (int point = 0; point < 9; ++point) {
          float* rows = to + (point * 4 + phase) * panel +
                        (static_cast<std::size_t>(block) * source_c + k) * 16;
          const winograd_filter terms(point,
                                      [&](int y, int x) { return taps_of_phase[2 * y + x]; });
          const float* sum = terms.apply(256, rows);
          if (sum != rows) std::copy_n(sum, 256, rows);
        }
      }
    });
  }

  template <bool Backward>
  static const float* packed_form_of(cpu& b, const float* weight) {
    return packed_once<winograd, Backward>(b, weight, static_cast<std::size_t>(G.weights()), packed,
                                           [&](float* to) { pack<Backward>(b, weight, to); });
  }

  /// Whether result (y, x) of a tile lies on the map; the last tiles of an odd one stick out.
  static constexpr bool inside(int tile, int y, int x) {
    return 2 * (tile / tiles_x) + y < out.h && 2 * (tile % tiles_x) + x < out.w;
  }
  /// Whether results of a tile need this point: number 2 of an axis serves the second result only.
  static constexpr bool needs(int tile, int point) {
    return inside(tile, point / 3 == 2 ? 1 : 0, point % 3 == 2 ? 1 : 0);
  }
  /// Where the 2 x 2 results of a tile go.
  template <class At>
  static std::array<float*, 4> results_of(int tile, float* outside, At&& at) {
    std::array<float*, 4> all;
    for (int u = 0; u < 4; ++u)
      all[static_cast<std::size_t>(u)] =
          inside(tile, u / 2, u % 2)
              ? at(2 * (tile / tiles_x) + u / 2, 2 * (tile % tiles_x) + u % 2)
              : outside;
    return all;
  }

  /// Tiles of one piece of work: enough rows to use the weights of a point more than once.
  static int tiles_per_piece(int n) { return std::clamp(64 / n, 1, 8); }

  struct tile_range {
    int first, count;
  };

  /// All points of some tiles, [tile][point][target]: row by row of points, and for as many phases
  /// at once as have their weights in the cache together.
  static void forward_products(const float* x, int n, tile_range range, const float* weights,
                               float* products) {
    constexpr int group = std::clamp(256 / (in.c / channel_parts(in.c)), 1, 4);
    constexpr int phases = 4 % group == 0 ? group : 2;
    const std::size_t source = static_cast<std::size_t>(in.c) * n,
                      target = static_cast<std::size_t>(out.c) * n;
    const std::size_t most = static_cast<std::size_t>(range.count) * phases * 3;
    float* inputs = scratch(scratch_use::piece, (most + 1) * source);
    float* zeros = inputs + most * source;
    std::fill_n(zeros, source, 0.0f);
    for (int py = 0; py < 3; ++py)
      for (int begin = 0; begin < 4; begin += phases) {
        std::array<std::array<const float*, 3>, 4 * 8> rows;
        for (int r = 0; r < range.count * phases; ++r) {
          const int tile = range.first + r / phases, phase = begin + r % phases;
          if (!needs(tile, py * 3)) continue;
          rows[r] = winograd_inputs(
              py, needs(tile, py * 3 + 2), source, inputs + 3 * r * source, [&](int dy, int dx) {
                const int iy = 4 * (tile / tiles_x) + 2 * dy + phase / 2 - 1,
                          ix = 4 * (tile % tiles_x) + 2 * dx + phase % 2 - 1;
                const bool seen = iy >= 0 && iy < in.h && ix >= 0 && ix < in.w;
                return seen ? x + (iy * in.w + ix) * source : zeros;
              });
        }
        for (int point = py * 3; point < py * 3 + 3; ++point) {
          point_inputs<phases> a;
          for (int t = 0; t < range.count; ++t)
            if (needs(range.first + t, point)) {
              for (int i = 0; i < phases; ++i)
                a.block[a.count][i] = rows[t * phases + i][point % 3];
              a.result[a.count++] = products + (9 * t + point) * target;
            }
          multiply_point<in.c, out_blocks>(a, n, weights + (point * 4 + begin) * panel, begin > 0);
        }
      }
  }

  static void forward(cpu& b, const layer_product& p) {
    const float *x = p.x, *weights = packed_form_of<false>(b, p.weight);
    const int n = p.n;
    const std::size_t target = static_cast<std::size_t>(out.c) * n;
    b.split(tiles, static_cast<std::size_t>(tiles_per_piece(n)),
            [=, &p](std::size_t first, std::size_t last) {
              const int count = static_cast<int>(last - first);
              const int begin = static_cast<int>(first);
              float* products = scratch(scratch_use::piece_output, (9 * count + 1) * target);
              forward_products(x, n, {begin, count}, weights, products);
              for (int t = 0; t < count; ++t) {
                const int tile = begin + t;
                float* outside = products + 9 * count * target;
                const auto pixels = results_of(tile, outside, [&](int oy, int ox) {
                  return p.y + (oy * out.w + ox) * target;
                });
                winograd_output(products + 9 * t * target, target, target, pixels);
                finish_tile(p, out.c, pixels, outside);
              }
            });
  }

  static void backward_data(cpu& b, const layer_product& p) {
    const float *dy = p.x, *weights = packed_form_of<true>(b, p.weight);
    const int n = p.n;
    const std::size_t source = static_cast<std::size_t>(out.c) * n,
                      target = static_cast<std::size_t>(in.c) * n;
    const int together = tiles_per_piece(n), pieces = ceil_div(tiles, together);
    b.for_each(4 * pieces, [=, &p](int piece) {
      const int parity = piece / pieces, first = piece % pieces * together;
      const int count = std::min(together, tiles - first), py = parity / 2, px = parity % 2;
      float* inputs =
          scratch(scratch_use::piece, (3 * static_cast<std::size_t>(count) + 1) * source);
      float* products = scratch(scratch_use::piece_output, (9 * count + 1) * target);
      float* zeros = inputs + 3 * count * source;
      std::fill_n(zeros, source, 0.0f);
      for (int row = 0; row < 3; ++row) {
        std::array<std::array<const float*, 3>, 8> rows;
        for (int t = 0; t < count; ++t) {
          if (!needs(first + t, row * 3)) continue;
          const int ty = (first + t) / tiles_x, tx = (first + t) % tiles_x;
          rows[t] = winograd_inputs(row, needs(first + t, row * 3 + 2), source,
                                    inputs + 3 * t * source, [&](int y, int x) {
                                      const int oy = 2 * ty + y + py - 1, ox = 2 * tx + x + px - 1;
                                      const bool seen =
                                          oy >= 0 && oy < out.h && ox >= 0 && ox < out.w;
                                      return seen ? dy + (oy * out.w + ox) * source : zeros;
                                    });
        }
        for (int point = row * 3; point < row * 3 + 3; ++point) {
          point_inputs<1> a;
          for (int t = 0; t < count; ++t)
            if (needs(first + t, point)) {
              a.block[a.count][0] = rows[t][point % 3];
              a.result[a.count++] = products + (9 * t + point) * target;
            }
          multiply_point<out.c, in_blocks>(a, n, weights + (point * 4 + parity) * panel, false);
        }
      }
      for (int t = 0; t < count; ++t) {
        float* outside = products + 9 * count * target;
        const auto pixels = results_of(first + t, outside, [&](int y, int x) {
          return p.y + ((2 * y + py) * in.w + 2 * x + px) * target;
        });
        winograd_output(products + 9 * t * target, target, target, pixels);
        finish_tile(p, in.c, pixels, outside);
      }
    });
  }

  /// What one point of up to 8 tiles reads, a block for each of some phases, and writes.
  template <int Phases>
  struct point_inputs {
    std::array<std::array<const float*, Phases>, 8> block;
    std::array<float*, 8> result;
    int count{};
  };

  /// One point of some tiles: results are sums over phases of Source channels each, with the
  /// weights of the first phase at `weights`.
  template <int Source, int Blocks, int Phases>
  static void multiply_point(const point_inputs<Phases>& a, int n, const float* weights,
                             bool accumulate) {
    const std::ptrdiff_t block = std::ptrdiff_t{16} * n;
    constexpr int parts = channel_parts(Source), part = Source / parts;
    constexpr int together = std::max(1, 256 / part);  // phases whose weights share the cache
    const reduction_shape shape{.length = part,
                                .column_stride = std::ptrdiff_t{16} * Source,
                                .a_stride = 16,
                                .a_group = block};
    for (int q = 0; q < Phases * parts; q += together)
      for_each_column_group(0, Blocks, [&](int j, int width) {
        for (int t = 0; t < a.count; ++t) {
          std::array<reduction_run, static_cast<std::size_t>(together)> runs;
          const int last = std::min(q + together, Phases * parts);
          for (int r = q; r < last; ++r)
            runs[static_cast<std::size_t>(r - q)] = {
                a.block[t][r / parts] + static_cast<std::size_t>(r % parts) * part * n,
                weights + r / parts * panel + (j * Source + r % parts * part) * 16};
          multiply({runs.data(), last - q}, shape, n, width, {a.result[t] + j * block, 16, block},
                   accumulate || q > 0);
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
      float* inputs =
          scratch(scratch_use::piece, together * channels + std::max(channels, filters));
      float* results = scratch(scratch_use::piece_output, together * filters);
      float* zeros = inputs + together * channels;
      std::fill_n(zeros, std::max(channels, filters), 0.0f);
      std::array<reduction_run, most> blocks;
      bool begun = false;
      for (int next = 0; next < tiles;) {
        int count = 0;
        for (; next < tiles && count < together; ++next) {
          if (!needs(next, point)) continue;
          const int ty = next / tiles_x, tx = next % tiles_x;
          const winograd_filter result(point, [&](int y, int x2) {
            return inside(next, y, x2) ? dy + ((2 * ty + y) * out.w + 2 * tx + x2) * filters
                                       : zeros;
          });
          const winograd_input input(point, [&](int y, int x2) {
            const int iy = 4 * ty + 2 * y + phase / 2 - 1, ix = 4 * tx + 2 * x2 + phase % 2 - 1;
            const bool seen = iy >= 0 && iy < in.h && ix >= 0 && ix < in.w;
            return seen ? x + (iy * in.w + ix) * channels : zeros;
          });
          blocks[count] = {result.apply(filters, results + count * filters),
                           input.apply(channels, inputs + count * channels)};
          ++count;
        }
        if (count > 0) add_tiles(blocks.data(), count, n, sums + piece * panel, begun);
        begun = true;
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
