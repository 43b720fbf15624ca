// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The operands and results of convolutions as products (gemm/operand.cuh). Nothing is unfolded:
// a pack of the windows' matrix is read from the image where it lies. Divisions are by constants.
#pragma once

#include "gantry/kernels/conv2d/policy.hpp"
#include "gantry/kernels/gemm/tile.cuh"

namespace gantry::inline v0::kernels {

/// A pack of four depth steps, or lines, whose addresses `at(k)` may all differ; -1: outside.
/// Together: they lie in one run of channels, so that the first address is enough.
template <bool Together, class At>
__device__ pack<4> gather_pack(const float* data, bool packs, At at) {
  if constexpr (Together) {
    const auto first = at(0);
    if (first < 0) return {};
    if (packs) return load<4>(data + first);
    return generate<4>([&](int j) { return data[first + j]; });
  } else {
    return generate<4>([&](int j) {
      const auto one = at(j);
      return one < 0 ? 0.0f : data[one];
    });
  }
}

/// Pixel `index` of a batch of images of W columns and `pixels` pixels.
struct pixel {
  int sample, y, x;
};
template <int H, int W>
__device__ pixel pixel_of(int index) {
  return {index / (H * W), index / W % H, index % W};
}

/// Lines are output pixels, the depth are the taps of a window in x.
template <class Spec>
struct conv_windows {
  static constexpr conv_geometry g = Spec::geometry;
  static constexpr bool along_depth = true;
  const float* x;
  int lines;
  bool packs;
  /// Whether every number of x can be given to one window, see owns().
  static constexpr bool takes_norm = g.in.c % 4 == 0 && conv_windows_own(g.in.h, g.out().h, g) &&
                                     conv_windows_own(g.in.w, g.out().w, g);

  struct cursor {
    long long first;  ///< of the window's sample; -1: no such line
    int y, x;         ///< of the window's corner
  };
  __device__ cursor at(int line) const {
    if (line >= lines) return {-1, 0, 0};
    constexpr hwc out = g.out();
    const pixel p = pixel_of<out.h, out.w>(line);
    return {static_cast<long long>(p.sample) * g.in.size(), p.y * g.stride - g.pad,
            p.x * g.stride - g.pad};
  }
  /// -1 outside.
  __device__ static long long offset(const cursor& c, int k) {
    const int tap = k / g.in.c;
    const int row = c.y + tap / g.kernel, column = c.x + tap % g.kernel;
    const bool inside =
        c.first >= 0 && k < g.taps() && row >= 0 && row < g.in.h && column >= 0 && column < g.in.w;
    return inside ? c.first + (row * g.in.w + column) * g.in.c + k % g.in.c : -1;
  }
  __device__ pack<4> fetch(const cursor& c, int k) const {
    return gather_pack<g.in.c % 4 == 0>(x, packs, [&](int j) { return offset(c, k + j); });
  }
  /// Zeros around the images stay zeros.
  __device__ void normalise(const norm_pass& norm, const cursor& c, int k,
                            pack<4>& numbers) const requires takes_norm {
    const long long i = offset(c, k);
    if (i < 0) return;
    numbers = norm.of(static_cast<std::size_t>(i), k % g.in.c, numbers);
    if (blockIdx.y == 0 && owns(c, k / g.in.c)) store(norm.y + i, numbers);
  }

 private:
  /// Of the windows that see the pixel of a tap, one.
  __device__ static bool owns(const cursor& c, int tap) {
    constexpr hwc out = g.out();
    return (c.y + g.pad) / g.stride == conv_owning_window(c.y + tap / g.kernel, out.h, g.stride) &&
           (c.x + g.pad) / g.stride == conv_owning_window(c.x + tap % g.kernel, out.w, g.stride);
  }
};

/// Lines are dx's pixels of one phase, the depth are the pairs of a tap and a filter of dy.
template <class Spec>
struct conv_gradient_windows {
  static constexpr conv_geometry g = Spec::geometry;
  static constexpr bool along_depth = true;
  const float* dy;
  int lines;
  bool packs;
  int row, column;     ///< dy's pixel of the phase's first tap, at dx's first pixel
  int taps_y, taps_x;  ///< that exist
  bool first_phase;
  /// Whether every number of dy can be given to one pixel of the first phase, see owns().
  static constexpr bool takes_norm = g.filters % 4 == 0 &&
                                     conv_first_phase_owns(g.in.h, g.out().h, g) &&
                                     conv_first_phase_owns(g.in.w, g.out().w, g);

  struct cursor {
    long long first;
    int y, x;
  };
  __device__ cursor at(int line) const {
    if (line >= lines) return {-1, 0, 0};
    const pixel p = pixel_of<conv_phase_extent(g, g.in.h), conv_phase_extent(g, g.in.w)>(line);
    return {static_cast<long long>(p.sample) * g.out().size(), p.y + row, p.x + column};
  }
  /// -1 outside.
  [[nodiscard]] __device__ long long offset(const cursor& c, int k) const {
    constexpr hwc out = g.out();
    constexpr int taps = conv_phase_taps(g);
    const int tap = k / g.filters, down = tap / taps, right = tap % taps;
    const int y = c.y - down, x = c.x - right;
    const bool inside = c.first >= 0 && down < taps_y && right < taps_x && y >= 0 && y < out.h &&
                        x >= 0 && x < out.w;
    return inside ? c.first + (y * out.w + x) * g.filters + k % g.filters : -1;
  }
  __device__ pack<4> fetch(const cursor& c, int k) const {
    return gather_pack<g.filters % 4 == 0>(dy, packs, [&](int j) { return offset(c, k + j); });
  }
  /// Zeros around the images stay zeros.
  __device__ void normalise(const norm_pass& norm, const cursor& c, int k,
                            pack<4>& numbers) const requires takes_norm {
    const long long i = offset(c, k);
    if (i < 0) return;
    numbers = norm.of(static_cast<std::size_t>(i), k % g.filters, numbers);
    if (first_phase && blockIdx.y == 0 && owns(c, k / g.filters)) store(norm.y + i, numbers);
  }

 private:
  /// Of the pixels of the first phase that see the pixel of a tap, one.
  [[nodiscard]] __device__ bool owns(const cursor& c, int tap) const {
    constexpr int taps = conv_phase_taps(g);
    constexpr int last_y = conv_phase_extent(g, g.in.h) - 1;
    constexpr int last_x = conv_phase_extent(g, g.in.w) - 1;
    return c.y - row == conv_owning_pixel(c.y - tap / taps - row, last_y) &&
           c.x - column == conv_owning_pixel(c.x - tap % taps - column, last_x);
  }
};

/// Lines are the channels of x, the depth are the pairs of a phase's tap and a filter.
template <class Spec>
struct conv_phase_weights {
  static constexpr conv_geometry g = Spec::geometry;
  static constexpr bool along_depth = false;
  const float* weight;
  bool packs;
  int first_y, first_x;  ///< the phase's first tap

  using cursor = int;
  __device__ cursor at(int line) const { return line; }
  __device__ pack<4> fetch(const cursor& line, int k) const {
    constexpr int taps = conv_phase_taps(g);
    const int tap = k / g.filters, filter = k % g.filters;
    const int y = first_y + tap / taps * g.stride, x = first_x + tap % taps * g.stride;
    const bool is_tap = tap < taps * taps && y < g.kernel && x < g.kernel;
    const long long first =
        is_tap ? static_cast<long long>(filter) * g.taps() + (y * g.kernel + x) * g.in.c : -1;
    return gather_pack<g.in.c % 4 == 0>(weight, packs, [&](int j) -> long long {
      return first >= 0 && line + j < g.in.c ? first + line + j : -1;
    });
  }
};

/// Lines are taps and channels, the depth are output pixels: x as the weights' gradient sees it.
template <class Spec>
struct conv_shifted_pixels {
  static constexpr conv_geometry g = Spec::geometry;
  static constexpr bool along_depth = false;
  const float* x;
  int depth;
  bool packs;

  using cursor = int;
  __device__ cursor at(int line) const { return line; }
  /// -1 outside.
  [[nodiscard]] __device__ long long offset(int line, int k) const {
    constexpr hwc out = g.out();
    const pixel p = pixel_of<out.h, out.w>(k);
    const int row = p.y * g.stride - g.pad + line / g.in.c / g.kernel;
    const int column = p.x * g.stride - g.pad + line / g.in.c % g.kernel;
    const bool inside =
        k < depth && line < g.taps() && row >= 0 && row < g.in.h && column >= 0 && column < g.in.w;
    const long long sample = static_cast<long long>(p.sample) * g.in.size();
    return inside ? sample + (row * g.in.w + column) * g.in.c + line % g.in.c : -1;
  }
  __device__ pack<4> fetch(const cursor& line, int k) const {
    return gather_pack<g.in.c % 4 == 0>(x, packs, [&](int j) { return offset(line + j, k); });
  }
  /// Zeros around the images stay zeros.
  __device__ void normalise(const norm_gradient_pass& norm, const cursor& line, int k,
                            pack<4>& numbers) const requires conv_windows<Spec>::takes_norm {
    const long long i = offset(line, k);
    if (i < 0) return;
    numbers = norm.of(static_cast<std::size_t>(i), line % g.in.c, numbers);
    if (blockIdx.x == 0 && owns(line / g.in.c, k)) store(norm.dx + i, numbers);
  }

 private:
  /// As of conv_windows.
  __device__ static bool owns(int tap, int k) {
    constexpr hwc out = g.out();
    const pixel p = pixel_of<out.h, out.w>(k);
    const int row = p.y * g.stride - g.pad + tap / g.kernel;
    const int column = p.x * g.stride - g.pad + tap % g.kernel;
    return p.y == conv_owning_window(row, out.h, g.stride) &&
           p.x == conv_owning_window(column, out.w, g.stride);
  }
};

/// dx of one phase, plus a bias per channel.
template <class Spec>
struct conv_phase_result {
  static constexpr conv_geometry g = Spec::geometry;
  float* dx;
  const float* bias;
  int rows;
  bool packs;
  int phase_y, phase_x;
  product_fusion fusion;

  [[nodiscard]] __device__ int width() const { return g.in.c; }
  /// -1 outside: phases differ in their extents.
  [[nodiscard]] __device__ long long offset(int row, int channel) const {
    if (row >= rows || channel >= g.in.c) return -1;
    const pixel p = pixel_of<conv_phase_extent(g, g.in.h), conv_phase_extent(g, g.in.w)>(row);
    const int y = p.y * g.stride + phase_y, x = p.x * g.stride + phase_x;
    if (y >= g.in.h || x >= g.in.w) return -1;
    return static_cast<long long>(p.sample) * g.in.size() + (y * g.in.w + x) * g.in.c + channel;
  }
  __device__ void put(int row, int channel, const pack<4>& sum) const {
    const long long first = offset(row, channel);
    if (first < 0) return;
    const auto i = static_cast<std::size_t>(first);
    const auto whole = [&](int j) { return bias ? sum.v[j] + bias[channel + j] : sum.v[j]; };
    if (packs && g.in.c % 4 == 0) {
      store(dx + i, fusion.finish(i, generate<4>(whole)));
    } else {
      for (int j = 0; j < 4 && channel + j < g.in.c; ++j)
        store(dx + i + j, fusion.finish(i + j, pack<1>{{whole(j)}}));
    }
  }
};

/// The products of all phases of a data gradient.
template <class Spec>
struct conv_backward_data_problem {
  static constexpr conv_geometry g = Spec::geometry;
  const float *dy, *weight, *bias;
  float* dx;
  int rows;  ///< dx's pixels of one phase
  bool dy_packs, weight_packs, dx_packs;
  product_fusion fusion;
  gemm_split split;

  using phase_problem =
      gemm_problem<conv_gradient_windows<Spec>, conv_phase_weights<Spec>, conv_phase_result<Spec>>;
  __device__ phase_problem phase(int index) const {
    const int y = index / g.stride, x = index % g.stride;
    // Taps ky = first + i stride meet the pixel y of dx at row (y + pad - ky) / stride of dy.
    const int first_y = (y + g.pad) % g.stride, first_x = (x + g.pad) % g.stride;
    const auto existing = [](int first) { return conv_existing_taps(g.kernel, g.stride, first); };
    return {{dy, rows, dy_packs, (y + g.pad) / g.stride, (x + g.pad) / g.stride, existing(first_y),
             existing(first_x), index == 0},
            {weight, weight_packs, first_y, first_x},
            {dx, bias, rows, dx_packs, y, x, fusion},
            conv_backward_data_shape(g, 1).depth,
            split};
  }
};

}  // namespace gantry::kernels
