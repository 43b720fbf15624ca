// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// 3 x 3 convolutions of stride 1 and padding 1 by Winograd's minimal filtering (Lavin and Gray,
// arXiv 1509.09308): F(2 x 2, 3 x 3) computes a 2 x 2 tile of results with 16 products instead of
// 36. Per axis, with d the input, g the filter and m the four products:
//   d0 - d2, d1 + d2, d2 - d1, d1 - d3;   g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2;
//   y0 = m0 + m1 + m2, y1 = m1 - m2 - m3
// The input gradient is the same with the filter turned round, the weight gradient its transpose.
// Extents are run-time numbers here, so that all layers of a program share the code.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "gantry/backend/cpu/winograd.hpp"

namespace gantry::inline v0::backend::detail {

/// True where the transforms pay: at least 4 x 4 pixels, 64 channels or more on both sides.
constexpr bool fits_winograd_3x3(const conv_geometry& g) {
  return g.kernel == 3 && g.stride == 1 && g.pad == 1 && g.in.h >= 4 && g.in.w >= 4 &&
         g.in.c >= 64 && g.in.c % 16 == 0 && g.filters >= 64 && g.filters % 16 == 0;
}

/// A sum of up to four blocks of numbers with signs.
class signed_sum {
 public:
  void add(const float* block, int sign) {
    term_[count_] = block;
    sign_[count_++] = static_cast<float>(sign);
  }
  /// Where the sum is: `to`, or where it lies already.
  const float* apply(std::size_t size, float* to) const {
    if (count_ == 1 && sign_[0] > 0) return term_[0];
    for (std::size_t i = 0; i < size; i += simd::lanes) {
      simd::vec sum{};
      for (std::size_t t = 0; t < count_; ++t) sum += sign_[t] * simd::load(term_[t] + i);
      simd::store(to + i, sum);
    }
    return to;
  }

 private:
  std::array<const float*, 4> term_{};
  std::array<float, 4> sign_{};
  std::size_t count_{};
};

/// The places and signs of which point p of an axis is the sum.
struct winograd_axis {
  int first, second;  ///< -1: none
  int first_sign, second_sign;
  static constexpr winograd_axis input(int p) {
    return std::array<winograd_axis, 4>{
        {{0, 2, 1, -1}, {1, 2, 1, 1}, {2, 1, 1, -1}, {1, 3, 1, -1}}}[static_cast<std::size_t>(p)];
  }
  static constexpr winograd_axis result(int p) {
    return std::array<winograd_axis, 4>{
        {{0, -1, 1, 0}, {0, 1, 1, 1}, {0, 1, 1, -1}, {1, -1, -1, 0}}}[static_cast<std::size_t>(p)];
  }
  [[nodiscard]] int place(int i) const { return i == 0 ? first : second; }
  [[nodiscard]] int sign(int i) const { return i == 0 ? first_sign : second_sign; }
};

/// Both axes: `at(y, x)` is a block, or null for zeros.
template <class At>
signed_sum winograd_terms(winograd_axis y, winograd_axis x, At&& at) {
  signed_sum sum;
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 2; ++j) {
      if (y.place(i) < 0 || x.place(j) < 0) continue;
      if (const float* block = at(y.place(i), x.place(j))) sum.add(block, y.sign(i) * x.sign(j));
    }
  return sum;
}

/// The four points of row py of a 4 x 4 block of inputs, one after the other in `to`.
template <class At>
void winograd_3x3_inputs(int py, std::size_t size, float* to, At&& at) {
  using simd::load;
  const winograd_axis axis = winograd_axis::input(py);
  std::array<const float*, 4> a, b;
  for (int j = 0; j < 4; ++j) {
    a[static_cast<std::size_t>(j)] = at(axis.first, j);
    b[static_cast<std::size_t>(j)] = at(axis.second, j);
  }
  const float sign = static_cast<float>(axis.second_sign);
  for (std::size_t i = 0; i < size; i += simd::lanes) {
    const auto row = [&](std::size_t j) { return load(a[j] + i) + sign * load(b[j] + i); };
    const simd::vec d0 = row(0), d1 = row(1), d2 = row(2), d3 = row(3);
    simd::store(to + i, d0 - d2);
    simd::store(to + size + i, d1 + d2);
    simd::store(to + 2 * size + i, d2 - d1);
    simd::store(to + 3 * size + i, d1 - d3);
  }
}

/// From sixteen products, `stride` apart, to a 2 x 2 block; `size` is a multiple of 16.
inline void winograd_3x3_output(const float* m, std::size_t stride, std::size_t size,
                                const std::array<float*, 4>& y) {
  for (std::size_t i = 0; i < size; i += simd::lanes) {
    simd::vec upper[4], lower[4];
    simd::unroll<4>([&](auto j) __attribute__((always_inline)) {
      const auto at = [&](int row) {
        return simd::load(m + static_cast<std::size_t>(4 * row + j) * stride + i);
      };
      const simd::vec second = at(1), third = at(2);
      upper[j] = at(0) + second + third;
      lower[j] = second - third - at(3);
    });
    simd::store(y[0] + i, upper[0] + upper[1] + upper[2]);
    simd::store(y[1] + i, upper[1] - upper[2] - upper[3]);
    simd::store(y[2] + i, lower[0] + lower[1] + lower[2]);
    simd::store(y[3] + i, lower[1] - lower[2] - lower[3]);
  }
}

/// From three taps to four points, along one axis.
[[gnu::always_inline]] inline void winograd_3x3_filter(const simd::vec (&g)[3],
                                                       simd::vec (&to)[4]) {
  const simd::vec outer = 0.5f * (g[0] + g[2]), middle = 0.5f * g[1];
  to[0] = g[0];
  to[1] = outer + middle;
  to[2] = outer - middle;
  to[3] = g[2];
}
/// Its transpose: from four sums to the gradient of three taps.
[[gnu::always_inline]] inline void winograd_3x3_taps(const simd::vec (&s)[4], simd::vec (&to)[3]) {
  const simd::vec even = 0.5f * (s[1] + s[2]);
  to[0] = s[0] + even;
  to[1] = 0.5f * (s[1] - s[2]);
  to[2] = even + s[3];
}

class winograd_3x3 {
 public:
  explicit winograd_3x3(const conv_geometry& g) : in_(g.in), filters_(g.filters) {}

  /// Floats of the transformed weights, [point][target block][source channel][16].
  [[nodiscard]] std::size_t packed() const { return 16 * panel(); }

  template <bool Backward>
  void pack(cpu& b, const float* weight, float* to) const {
    const int source = Backward ? filters_ : in_.c, target = Backward ? in_.c : filters_;
    const std::ptrdiff_t filter_stride = std::ptrdiff_t{9} * in_.c;
    b.for_each(target / 16, [=, this](int block) {
      alignas(64) float taps[9][256];  // in the order of the right operand
      for (int k = 0; k < source; k += 16) {
        const int filter = Backward ? k : block * 16, channel = Backward ? block * 16 : k;
        for (int t = 0; t < 9; ++t) {
          const float* from =
              weight + filter * filter_stride + (Backward ? 8 - t : t) * in_.c + channel;
          if constexpr (Backward)
            for (int f = 0; f < 16; ++f)
              std::copy_n(from + f * filter_stride, 16, taps[t] + f * 16);
          else
            transpose_block(from, filter_stride, taps[t], 16);
        }
        transform(taps, to + (static_cast<std::size_t>(block) * source + k) * 16);
      }
    });
  }

  /// y = the sums over the source's channels, with packed weights of the same direction.
  template <bool Backward>
  void convolve(cpu& b, const layer_product& p, const float* weights) const {
    const int n = p.n, source_c = Backward ? filters_ : in_.c;
    const std::size_t target_c = static_cast<std::size_t>(Backward ? in_.c : filters_);
    const std::size_t target = target_c * n;
    const int together = std::clamp(64 / n, 1, 8), w = in_.w;
    b.split(static_cast<std::size_t>(tiles()), static_cast<std::size_t>(together),
            [=, this, &p](std::size_t first, std::size_t last) {
              const int begin = static_cast<int>(first), count = static_cast<int>(last - first);
              float* products = scratch(scratch_use::piece_output, (16 * count + 1) * target);
              float* outside = products + 16 * count * target;
              multiply_tiles({p.x, n, source_c, begin, count}, weights, target, products);
              for (int t = 0; t < count; ++t) {
                const int ty = (begin + t) / tiles_x() * 2, tx = (begin + t) % tiles_x() * 2;
                std::array<float*, 4> pixels;
                for (int u = 0; u < 4; ++u)
                  pixels[static_cast<std::size_t>(u)] =
                      inside(begin + t, u / 2, u % 2)
                          ? p.y + static_cast<std::size_t>((ty + u / 2) * w + tx + u % 2) * target
                          : outside;
                winograd_3x3_output(products + 16 * t * target, target, target, pixels);
                finish_tile(p, target_c, pixels, outside);
              }
            });
  }

  /// dweight += dy x^T, summed in the transformed domain: a piece is a point.
  void backward_weights(cpu& b, const float* x, const float* dy, int n, float* dweight) const {
    float* sums = scratch(scratch_use::op, packed());  // [point][filter][channel]
    const std::size_t channels = static_cast<std::size_t>(in_.c) * n,
                      results = static_cast<std::size_t>(filters_) * n;
    b.for_each(16, [=, this](int point) {
      const int together = std::clamp(128 / n, 1, most);
      float* inputs = scratch(scratch_use::piece, together * channels);
      float* outputs = scratch(scratch_use::piece_output, together * results);
      const winograd_axis y_in = winograd_axis::input(point / 4),
                          x_in = winograd_axis::input(point % 4);
      const winograd_axis y_out = winograd_axis::result(point / 4),
                          x_out = winograd_axis::result(point % 4);
      std::array<reduction_run, most> runs;
      bool begun = false;
      for (int next = 0; next < tiles();) {
        int count = 0;
        for (; next < tiles() && count < together; ++next) {
          if (!needs(next, point)) continue;
          const signed_sum result = winograd_terms(y_out, x_out, [&](int y, int x2) {
            return inside(next, y, x2) ? dy + pixel(next, y, x2) * results : nullptr;
          });
          const signed_sum input = winograd_terms(y_in, x_in, [&](int y, int x2) {
            return seen(next, y, x2) ? x + pixel(next, y - 1, x2 - 1) * channels : nullptr;
          });
          runs[static_cast<std::size_t>(count)] = {
              result.apply(results, outputs + count * results),
              input.apply(channels, inputs + count * channels)};
          ++count;
        }
        if (count > 0) add_tiles({runs.data(), count}, n, sums + point * panel(), begun);
        begun = true;
      }
    });
    b.split(static_cast<std::size_t>(filters_), 8, [=, this](std::size_t first, std::size_t last) {
      for (std::size_t f = first; f < last; ++f)
        add_back(sums + f * in_.c, dweight + f * 9 * in_.c);
    });
  }

 private:
  static constexpr int most = 8;
  struct source_tiles {
    const float* x;
    int n, channels, first, count;
  };

  [[nodiscard]] int tiles_x() const { return ceil_div(in_.w, 2); }
  [[nodiscard]] int tiles() const { return ceil_div(in_.h, 2) * tiles_x(); }
  [[nodiscard]] std::size_t panel() const { return static_cast<std::size_t>(in_.c) * filters_; }
  /// Whether result (y, x) of a tile lies on the map; the last tiles of an odd one stick out.
  [[nodiscard]] bool inside(int tile, int y, int x) const {
    return tile / tiles_x() * 2 + y < in_.h && tile % tiles_x() * 2 + x < in_.w;
  }
  /// Whether input (y, x) of a tile lies on the map.
  [[nodiscard]] bool seen(int tile, int y, int x) const {
    const int iy = tile / tiles_x() * 2 + y - 1, ix = tile % tiles_x() * 2 + x - 1;
    return iy >= 0 && iy < in_.h && ix >= 0 && ix < in_.w;
  }
  [[nodiscard]] std::size_t pixel(int tile, int y, int x) const {
    return static_cast<std::size_t>((tile / tiles_x() * 2 + y) * in_.w + tile % tiles_x() * 2 + x);
  }
  /// Number 3 of an axis serves the second result only.
  [[nodiscard]] bool needs(int tile, int point) const {
    return inside(tile, point / 4 == 3 ? 1 : 0, point % 4 == 3 ? 1 : 0);
  }

  void transform(const float (&taps)[9][256], float* to) const {
    for (std::size_t i = 0; i < 256; i += simd::lanes) {
      simd::vec column[4][3];
      for (int x = 0; x < 3; ++x) {
        const simd::vec g[3]{simd::load(taps[x] + i), simd::load(taps[3 + x] + i),
                             simd::load(taps[6 + x] + i)};
        simd::vec points[4];
        winograd_3x3_filter(g, points);
        for (int y = 0; y < 4; ++y) column[y][x] = points[y];
      }
      for (int y = 0; y < 4; ++y) {
        simd::vec points[4];
        winograd_3x3_filter(column[y], points);
        for (int x = 0; x < 4; ++x)
          simd::store(to + static_cast<std::size_t>(4 * y + x) * panel() + i, points[x]);
      }
    }
  }

  /// All points of some tiles, [tile][point][target].
  void multiply_tiles(const source_tiles& s, const float* weights, std::size_t target,
                      float* products) const {
    const std::size_t source = static_cast<std::size_t>(s.channels) * s.n;
    float* inputs =
        scratch(scratch_use::piece, (4 * static_cast<std::size_t>(s.count) + 1) * source);
    float* zeros = inputs + 4 * s.count * source;
    std::fill_n(zeros, source, 0.0f);
    for (int py = 0; py < 4; ++py) {
      for (int t = 0; t < s.count; ++t)
        if (needs(s.first + t, 4 * py))
          winograd_3x3_inputs(py, source, inputs + 4 * t * source, [&](int y, int x) {
            return seen(s.first + t, y, x) ? s.x + pixel(s.first + t, y - 1, x - 1) * source
                                           : zeros;
          });
      for (int point = 4 * py; point < 4 * py + 4; ++point) {
        std::array<product_target, most> to;
        std::array<const float*, most> from;
        int used = 0;
        for (int t = 0; t < s.count; ++t) {
          if (!needs(s.first + t, point)) continue;
          from[static_cast<std::size_t>(used)] = inputs + (4 * t + point % 4) * source;
          to[static_cast<std::size_t>(used++)] = {products + (16 * t + point) * target, 16,
                                                  std::ptrdiff_t{16} * s.n};
        }
        multiply_point(s, {from.data(), static_cast<std::size_t>(used)}, weights + point * panel(),
                       to.data());
      }
    }
  }

  /// One point of some tiles, in parts of the channels whose weights stay in the cache.
  void multiply_point(const source_tiles& s, std::span<const float* const> from,
                      const float* weights, const product_target* to) const {
    const int length = s.channels / channel_parts(s.channels);
    const int blocks = static_cast<int>(panel() / s.channels) / 16;
    const reduction_shape shape{.length = length,
                                .column_stride = std::ptrdiff_t{16} * s.channels,
                                .a_stride = 16,
                                .a_group = std::ptrdiff_t{16} * s.n};
    for (int k = 0; k < s.channels; k += length)
      for_each_column_group(0, blocks, [&](int j, int width) {
        for (std::size_t t = 0; t < from.size(); ++t) {
          const reduction_run run{from[t] + static_cast<std::size_t>(k) * s.n,
                                  weights + (static_cast<std::size_t>(j) * s.channels + k) * 16};
          multiply({&run, 1}, shape, s.n, width, to[t].from_column(j), k > 0);
        }
      });
  }

  void add_tiles(const reduction_runs& tiles, int n, float* sum, bool accumulate) const {
    const std::ptrdiff_t block = std::ptrdiff_t{16} * n;
    const reduction_shape shape{
        .length = n, .column_stride = block, .a_stride = 16, .b_stride = 16};
    std::array<reduction_run, most> runs;
    for (int f = 0; f < filters_ / 16; ++f)
      for_each_column_group(0, in_.c / 16, [&](int j, int width) {
        for (int t = 0; t < tiles.count; ++t)
          runs[static_cast<std::size_t>(t)] = {tiles.data[t].a + f * block,
                                               tiles.data[t].b + j * block};
        multiply_transposed({runs.data(), tiles.count}, shape, 16, width,
                            {sum + static_cast<std::size_t>(f) * 16 * in_.c + j * 16, in_.c, 16},
                            accumulate);
      });
  }

  /// The taps' gradients of one filter.
  void add_back(const float* sums, float* dweight) const {
    for (int c = 0; c < in_.c; c += simd::lanes) {
      simd::vec column[3][4];
      for (int x = 0; x < 4; ++x) {
        simd::vec s[4], taps[3];
        for (int y = 0; y < 4; ++y)
          s[y] = simd::load(sums + static_cast<std::size_t>(4 * y + x) * panel() + c);
        winograd_3x3_taps(s, taps);
        for (int y = 0; y < 3; ++y) column[y][x] = taps[y];
      }
      for (int y = 0; y < 3; ++y) {
        simd::vec taps[3];
        winograd_3x3_taps(column[y], taps);
        for (int x = 0; x < 3; ++x) {
          float* to = dweight + static_cast<std::size_t>(3 * y + x) * in_.c + c;
          simd::store(to, simd::load(to) + taps[x]);
        }
      }
    }
  }

  hwc in_;
  int filters_;
};

}  // namespace gantry::backend::detail
