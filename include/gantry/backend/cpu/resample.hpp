// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A target pixel is a weighted sum of a few source pixels, the same for all channels and samples:
// on the blocked layout one loop over all of them, which lie together.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>

#include "gantry/backend/cpu/slots.hpp"
#include "gantry/ops/resample.hpp"

namespace gantry::inline v0::backend {

namespace detail {

/// Source pixels of a target pixel, or source coordinates of a target coordinate.
struct tap {
  int from;
  float weight;
};
template <int Most>
struct tap_list {
  static constexpr int most = Most;
  std::array<tap, static_cast<std::size_t>(Most)> taps{};
  int count{};
  constexpr void add(int from, float weight) {
    taps[static_cast<std::size_t>(count++)] = {from, weight};
  }
};

template <square_geometry G>
struct square_sums {
  static constexpr hwc source = G.large, target = G.small();
  float scale;
  [[nodiscard]] auto taps(int y, int x) const {
    tap_list<G.factor * G.factor> list;
    for (int dy = 0; dy < G.factor; ++dy)
      for (int dx = 0; dx < G.factor; ++dx)
        list.add((y * G.factor + dy) * source.w + x * G.factor + dx, scale);
    return list;
  }
};

template <square_geometry G>
struct square_copies {
  static constexpr hwc source = G.small(), target = G.large;
  float scale;
  [[nodiscard]] auto taps(int y, int x) const {
    tap_list<1> list;
    y /= G.factor;
    x /= G.factor;
    if (y < source.h && x < source.w) list.add(y * source.w + x, scale);
    return list;
  }
};

/// Taps of every output coordinate of an axis.
template <int Extent, int Factor>
constexpr auto bilinear_axis() {
  std::array<tap_list<2>, static_cast<std::size_t>(Extent) * Factor> axis;
  for (int o = 0; o < Extent * Factor; ++o) {
    // (o + 1/2) / Factor - 1/2 in units of 1 / (2 Factor)
    const int at = std::max(0, 2 * o + 1 - Factor), low = at / (2 * Factor);
    const float high_share =
        low + 1 < Extent ? static_cast<float>(at % (2 * Factor)) / (2.0f * Factor) : 0.0f;
    axis[static_cast<std::size_t>(o)].add(low, 1.0f - high_share);
    if (high_share > 0) axis[static_cast<std::size_t>(o)].add(low + 1, high_share);
  }
  return axis;
}
/// Output coordinates that read each input coordinate.
template <int Extent, int Factor>
constexpr auto bilinear_axis_adjoint() {
  std::array<tap_list<2 * Factor>, static_cast<std::size_t>(Extent)> axis;
  const auto forward = bilinear_axis<Extent, Factor>();
  for (int o = 0; o < Extent * Factor; ++o)
    for (int k = 0; k < forward[static_cast<std::size_t>(o)].count; ++k) {
      const tap t = forward[static_cast<std::size_t>(o)].taps[static_cast<std::size_t>(k)];
      axis[static_cast<std::size_t>(t.from)].add(o, t.weight);
    }
  return axis;
}

template <bilinear_geometry G, bool Adjoint>
struct bilinear_sums {
  static constexpr hwc source = Adjoint ? G.out() : G.in, target = Adjoint ? G.in : G.out();
  template <int Extent>
  static constexpr auto axis() {
    if constexpr (Adjoint)
      return bilinear_axis_adjoint<Extent, G.factor>();
    else
      return bilinear_axis<Extent, G.factor>();
  }
  static constexpr auto rows = axis<G.in.h>();
  static constexpr auto columns = axis<G.in.w>();

  [[nodiscard]] auto taps(int y, int x) const {
    const auto& row = rows[static_cast<std::size_t>(y)];
    const auto& column = columns[static_cast<std::size_t>(x)];
    constexpr int most = decltype(rows)::value_type::most;
    tap_list<most * most> list;
    for (int i = 0; i < row.count; ++i)
      for (int j = 0; j < column.count; ++j) {
        const tap ty = row.taps[static_cast<std::size_t>(i)];
        const tap tx = column.taps[static_cast<std::size_t>(j)];
        list.add(ty.from * source.w + tx.from, ty.weight * tx.weight);
      }
    return list;
  }
};

/// The filter [1, 3, 3, 1] / 8 of both axes at every second pixel, and its adjoint.
template <hwc Large, bool Adjoint>
struct filter_sums {
  static constexpr hwc small{Large.h / 2, Large.w / 2, Large.c};
  static constexpr hwc source = Adjoint ? small : Large, target = Adjoint ? Large : small;
  static constexpr int most = Adjoint ? 2 : 4;
  float scale;

  static tap_list<most> axis(int at, int extent) {
    tap_list<most> list;
    const auto add = [&](int from, float weight) {
      if (from >= 0 && from < extent) list.add(from, weight);
    };
    if constexpr (Adjoint) {
      add(at / 2, 0.375f);
      add(at / 2 + (at % 2 == 0 ? -1 : 1), 0.125f);
    } else {
      for (int k = 0; k < 4; ++k) add(2 * at - 1 + k, k == 1 || k == 2 ? 0.375f : 0.125f);
    }
    return list;
  }
  [[nodiscard]] auto taps(int y, int x) const {
    const auto rows = axis(y, source.h), columns = axis(x, source.w);
    tap_list<most * most> list;
    for (std::size_t i = 0; i < static_cast<std::size_t>(rows.count); ++i)
      for (std::size_t j = 0; j < static_cast<std::size_t>(columns.count); ++j)
        list.add(rows.taps[i].from * source.w + columns.taps[j].from,
                 scale * rows.taps[i].weight * columns.taps[j].weight);
    return list;
  }
};

/// y (+)= the sum over taps of weight x[from * stride + ...] for `length` numbers.
template <bool Add, std::size_t Taps>
void sum_taps(const tap* taps, const float* x, std::ptrdiff_t stride, std::size_t length,
              float* y) {
  std::array<const float*, Taps> from;
  std::array<float, Taps> weight;
  for (std::size_t t = 0; t < Taps; ++t) {
    from[t] = x + taps[t].from * stride;
    weight[t] = taps[t].weight;
  }
  for (std::size_t j = 0; j < length; ++j) {
    float sum = Add ? y[j] : 0.0f;
    for (std::size_t t = 0; t < Taps; ++t) sum += weight[t] * from[t][j];
    y[j] = sum;
  }
}

/// y = the sum over a list of taps, for `length` numbers; a stretch stays in the first-level cache.
template <class List>
void apply_taps(const List& list, const float* x, std::ptrdiff_t stride, std::size_t length,
                float* y) {
  constexpr std::size_t stretch = 1024;
  for (std::size_t j = 0; j < length; j += stretch) {
    const std::size_t n = std::min(stretch, length - j);
    const tap* taps = list.taps.data();
    int t = 0;
    if constexpr (List::most >= 4)
      for (; t + 4 <= list.count; t += 4)
        t == 0 ? sum_taps<false, 4>(taps, x + j, stride, n, y + j)
               : sum_taps<true, 4>(taps + t, x + j, stride, n, y + j);
    for (; t < list.count; ++t)
      t == 0 ? sum_taps<false, 1>(taps, x + j, stride, n, y + j)
             : sum_taps<true, 1>(taps + t, x + j, stride, n, y + j);
    if (list.count == 0) std::fill_n(y + j, n, 0.0f);
  }
}

/// y = Sums of x.
template <class Sums, kernel_set K>
void resample(basic_cpu<K>& b, const Sums& sums, const float* x, int n, float* y) {
  using layout = typename basic_cpu<K>::storage::layout;
  constexpr hwc source = Sums::source, target = Sums::target;
  if constexpr (std::is_same_v<layout, blocked> && !blocked::is_thin(target)) {
    const std::size_t length = static_cast<std::size_t>(n) * blocked::blocks(target) * 16;
    b.split(static_cast<std::size_t>(target.pixels()), ceil_div<std::size_t>(16384, length),
            [&](std::size_t begin, std::size_t end) {
              for (std::size_t p = begin; p < end; ++p) {
                const int pixel = static_cast<int>(p);
                apply_taps(sums.taps(pixel / target.w, pixel % target.w), x,
                           static_cast<std::ptrdiff_t>(length), length, y + p * length);
              }
            });
  } else {  // rows of samples
    b.split(static_cast<std::size_t>(n) * target.h, ceil_div(16384, target.w * target.c),
            [&](std::size_t begin, std::size_t end) {
              for (std::size_t unit = begin; unit < end; ++unit) {
                const int i = static_cast<int>(unit) / target.h,
                          ty = static_cast<int>(unit) % target.h;
                float* to = y + layout::offset(target, n, i, ty * target.w * target.c);
                for (int tx = 0; tx < target.w; ++tx, to += target.c) {
                  auto list = sums.taps(ty, tx);
                  for (tap& t : list.taps)
                    t.from = static_cast<int>(layout::offset(source, n, i, t.from * source.c));
                  apply_taps(list, x, 1, target.c, to);
                }
              }
            });
  }
}

}  // namespace detail

template <kernel_set K, square_geometry G>
void launch(
    basic_cpu<K>& b, ops::sum_squares<G>,
    const typename ops::sum_squares<G>::template params<typename basic_cpu<K>::storage>& p) {
  detail::resample(b, detail::square_sums<G>{p.scale}, p.x.data, p.x.n, p.y.data);
}

template <kernel_set K, square_geometry G>
void launch(
    basic_cpu<K>& b, ops::spread_squares<G>,
    const typename ops::spread_squares<G>::template params<typename basic_cpu<K>::storage>& p) {
  detail::resample(b, detail::square_copies<G>{p.scale}, p.x.data, p.x.n, p.y.data);
}

template <kernel_set K, bilinear_geometry G>
void launch(
    basic_cpu<K>& b, ops::bilinear_forward<G>,
    const typename ops::bilinear_forward<G>::template params<typename basic_cpu<K>::storage>& p) {
  detail::resample(b, detail::bilinear_sums<G, false>{}, p.x.data, p.x.n, p.y.data);
}

template <kernel_set K, bilinear_geometry G>
void launch(
    basic_cpu<K>& b, ops::bilinear_backward<G>,
    const typename ops::bilinear_backward<G>::template params<typename basic_cpu<K>::storage>& p) {
  detail::resample(b, detail::bilinear_sums<G, true>{}, p.dy.data, p.dy.n, p.dx.data);
}

template <kernel_set K, hwc Large>
void launch(
    basic_cpu<K>& b, ops::filter_halve<Large>,
    const typename ops::filter_halve<Large>::template params<typename basic_cpu<K>::storage>& p) {
  detail::resample(b, detail::filter_sums<Large, false>{p.scale}, p.x.data, p.x.n, p.y.data);
}

template <kernel_set K, hwc Large>
void launch(
    basic_cpu<K>& b, ops::filter_double<Large>,
    const typename ops::filter_double<Large>::template params<typename basic_cpu<K>::storage>& p) {
  detail::resample(b, detail::filter_sums<Large, true>{p.scale}, p.x.data, p.x.n, p.y.data);
}

template <kernel_set K, hwc Shape>
void launch(
    basic_cpu<K>& b, ops::sum_pixels<Shape>,
    const typename ops::sum_pixels<Shape>::template params<typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  using walk = detail::slot_walk<layout, Shape>;
  constexpr hwc pixel{1, 1, Shape.c};
  const int n = p.x.n;
  float* sums = scratch(scratch_use::op, walk::slots(n));
  detail::sum_slots<1, walk>(
      b, n, sums, [x = p.x.data](std::size_t i, std::size_t) { return std::array{x[i]}; });
  for (int i = 0; i < n; ++i)
    for (int c = 0; c < Shape.c; ++c) {
      float sum = 0;
      for (int copy = 0; copy < walk::copies; ++copy)
        sum += sums[walk::slot(n, i, c) + static_cast<std::size_t>(copy) * Shape.c];
      p.y.data[layout::offset(pixel, n, i, c)] = p.scale * sum;
    }
}

template <kernel_set K, hwc Shape>
void launch(
    basic_cpu<K>& b, ops::spread_pixels<Shape>,
    const typename ops::spread_pixels<Shape>::template params<typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  using walk = detail::slot_walk<layout, Shape>;
  constexpr hwc pixel{1, 1, Shape.c};
  const int n = p.x.n;
  float* values = scratch(scratch_use::op, walk::slots(n));
  for (int i = 0; i < n; ++i)
    for (int c = 0; c < Shape.c; ++c)
      for (int copy = 0; copy < walk::copies; ++copy)
        values[walk::slot(n, i, c) + static_cast<std::size_t>(copy) * Shape.c] =
            p.scale * p.x.data[layout::offset(pixel, n, i, c)];
  detail::map_slots<walk>(
      b, n, [values, y = p.y.data](std::size_t i, std::size_t j) { y[i] = values[j]; });
}

}  // namespace gantry::backend
