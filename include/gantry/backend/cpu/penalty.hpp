// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Ops with a number per sample: in every layout a batch is `outer` rows of n runs of `inner`
// scalars, one run per sample.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "gantry/backend/cpu/norm.hpp"
#include "gantry/backend/cpu/transfer.hpp"
#include "gantry/ops/penalty.hpp"

namespace gantry::inline v0::backend {

namespace detail {

template <class Layout, hwc Shape>
struct sample_runs {
  static constexpr bool packed = std::is_same_v<Layout, blocked> && !blocked::is_thin(Shape);
  static constexpr bool thin = std::is_same_v<Layout, blocked> && blocked::is_thin(Shape);
  static constexpr std::size_t outer =
      packed ? static_cast<std::size_t>(Shape.pixels()) * blocked::blocks(Shape)
             : (thin ? Shape.h : 1);
  static constexpr std::size_t inner =
      packed ? blocked::block : static_cast<std::size_t>(thin ? Shape.w * Shape.c : Shape.size());
  /// Of a run's scalars, those that are not padding.
  static constexpr std::size_t used(std::size_t row) {
    if (!packed) return inner;
    const std::size_t first = row % static_cast<std::size_t>(blocked::blocks(Shape)) * inner;
    return std::min(inner, static_cast<std::size_t>(Shape.c) - first);
  }
  static std::size_t offset(int n, std::size_t row, int i) {
    return (row * static_cast<std::size_t>(n) + static_cast<std::size_t>(i)) * inner;
  }
};

/// Calls f(first, sample) for every run of `inner` scalars, in parallel pieces.
template <hwc Shape, kernel_set K, class F>
void for_each_sample_run(basic_cpu<K>& b, int n, F&& f) {
  using runs = sample_runs<typename basic_cpu<K>::storage::layout, Shape>;
  b.split(runs::outer * static_cast<std::size_t>(n), ceil_div<std::size_t>(16384, runs::inner),
          [&](std::size_t begin, std::size_t end) {
            const auto own = f;
            for (std::size_t r = begin; r < end; ++r)
              own(r * runs::inner, static_cast<int>(r % static_cast<std::size_t>(n)));
          });
}

}  // namespace detail

template <kernel_set K, hwc Shape>
void launch(
    basic_cpu<K>& b, ops::accumulate_scaled<Shape>,
    const typename ops::accumulate_scaled<Shape>::template params<typename basic_cpu<K>::storage>&
        p) {
  using runs = detail::sample_runs<typename basic_cpu<K>::storage::layout, Shape>;
  detail::for_each_sample_run<Shape>(
      b, p.x.n, [x = p.x.data, y = p.y.data, scale = p.scale](std::size_t first, int i) {
        const float s = scale[i];
        for (std::size_t k = first; k < first + runs::inner; ++k) y[k] += s * x[k];
      });
}

template <kernel_set K, hwc Shape>
void launch(
    basic_cpu<K>& b, ops::interpolate<Shape>,
    const typename ops::interpolate<Shape>::template params<typename basic_cpu<K>::storage>& p) {
  using runs = detail::sample_runs<typename basic_cpu<K>::storage::layout, Shape>;
  const auto q = p;
  detail::for_each_sample_run<Shape>(b, p.y.n, [q](std::size_t first, int i) {
    const float u = uniform_at(q.stream, static_cast<std::size_t>(i)), v = 1.0f - u;
    for (std::size_t k = first; k < first + runs::inner; ++k)
      q.y.data[k] = u * q.a.data[k] + v * q.b.data[k];
  });
}

/// Each sample's squared norm is summed by one thread in a fixed order.
template <kernel_set K, hwc Shape, class Function>
void launch(basic_cpu<K>& b, ops::gradient_penalty<Shape, Function>,
            const typename ops::gradient_penalty<Shape, Function>::template params<
                typename basic_cpu<K>::storage>& p) {
  using runs = detail::sample_runs<typename basic_cpu<K>::storage::layout, Shape>;
  const int n = p.g.n;
  const double share = static_cast<double>(p.weight) / n;
  float* squares = scratch(scratch_use::op, static_cast<std::size_t>(n));
  b.split(static_cast<std::size_t>(n), 4, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      double square = 0;
      for (std::size_t row = 0; row < runs::outer; ++row) {
        const float* g = p.g.data + runs::offset(n, row, static_cast<int>(i));
        float part = 0;
        const std::size_t used = runs::used(row);
        for (std::size_t k = 0; k < used; ++k) part += g[k] * g[k];
        square += static_cast<double>(part);
      }
      squares[i] = static_cast<float>(square);
    }
  });
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += share * p.f.value(static_cast<double>(squares[i]));
  *p.sum += static_cast<float>(sum);
  detail::for_each_sample_run<Shape>(
      b, n, [g = p.g.data, v = p.v.data, share, squares, f = p.f](std::size_t first, int i) {
        const float factor = static_cast<float>(share * f.factor(static_cast<double>(squares[i])));
        for (std::size_t k = first; k < first + runs::inner; ++k) v[k] = factor * g[k];
      });
}

template <kernel_set K, hwc Shape>
void launch(
    basic_cpu<K>& b, ops::perturb<Shape>,
    const typename ops::perturb<Shape>::template params<typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  const int n = p.x.n;
  const auto size = static_cast<std::size_t>(Shape.size());
  const double count = static_cast<double>(size) * n;
  float* x = scratch(scratch_use::op, nhwc::elements(Shape, n));
  detail::to_canonical<Shape>(b, p.x.data, n, x);
  double mean = 0, square = 0;
  for (std::size_t j = 0; j < size * static_cast<std::size_t>(n); ++j)
    mean += static_cast<double>(x[j]);
  mean /= count;
  for (std::size_t j = 0; j < size * static_cast<std::size_t>(n); ++j)
    square += (static_cast<double>(x[j]) - mean) * (static_cast<double>(x[j]) - mean);
  const float reach = static_cast<float>(p.radius * std::sqrt(square / count));
  detail::split_samples<Shape>(b, n, [&](int i) {
    const float share = reach * uniform_at(p.stream, static_cast<std::size_t>(i));
    const std::size_t first = 4 * static_cast<std::size_t>(n) + static_cast<std::size_t>(i) * size;
    detail::for_each_run<layout, Shape>(n, i, [&](int k, std::size_t place, int length) {
      for (int j = 0; j < length; ++j)
        p.y.data[place + static_cast<std::size_t>(j)] =
            p.x.data[place + static_cast<std::size_t>(j)] +
            share * uniform_at(p.stream, first + static_cast<std::size_t>(k + j));
    });
  });
}

/// A block of channels is a piece, as in channel_sum.
template <kernel_set K, hwc Shape>
void launch(
    basic_cpu<K>& b, ops::scaled_channel_sum<Shape>,
    const typename ops::scaled_channel_sum<Shape>::template params<typename basic_cpu<K>::storage>&
        p) {
  using layout = typename basic_cpu<K>::storage::layout;
  using walk = detail::channel_walk<layout, Shape>;
  using runs = detail::sample_runs<layout, Shape>;
  const int n = p.x.n;
  b.for_each(walk::blocks, [&](int block) {
    const int begin = block * detail::channel_block;
    std::array<double, detail::channel_block> total{};
    for (int segment = 0; segment < walk::segments; ++segment) {
      const auto rows = walk::rows(n, segment, block);
      for (std::size_t row = 0; row < rows.rows; ++row) {
        const std::size_t at = rows.offset + row * static_cast<std::size_t>(rows.stride);
        const auto s = static_cast<double>(p.scale[at / runs::inner % static_cast<std::size_t>(n)]);
        for (int c = 0; c < std::min(detail::channel_block, Shape.c - begin); ++c)
          total[c] += s * static_cast<double>(p.x.data[at + static_cast<std::size_t>(c)]);
      }
    }
    for (int c = 0; c < std::min(detail::channel_block, Shape.c - begin); ++c)
      p.sum[begin + c] += static_cast<float>(total[c]);
  });
}

}  // namespace gantry::backend
