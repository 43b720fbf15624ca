// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A piece of work is the channels of a pixel for up to 8 samples, which fit the caches: they are
// summed, and read again to write the result.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <type_traits>

#include "gantry/backend/cpu/backend.hpp"
#include "gantry/ops/pixel_norm.hpp"

namespace gantry::inline v0::backend {

namespace detail {

/// The channels of one pixel: `blocks` runs of up to 16 of them, for `together` samples at once.
template <class Layout, hwc Shape>
struct pixel_walk {
  static constexpr bool batch_inside = std::is_same_v<Layout, blocked>;
  static constexpr bool packed = batch_inside && !blocked::is_thin(Shape);
  static constexpr int blocks = ceil_div(Shape.c, blocked::block), together = packed ? 8 : 1;
  static constexpr int lanes = together * blocked::block;
  static constexpr int width(int block) {
    return std::min(blocked::block, Shape.c - block * blocked::block);
  }
  static std::size_t place(int n, int pixel, int i, int block) {
    const auto samples = static_cast<std::size_t>(n);
    if (packed) return ((static_cast<std::size_t>(pixel) * blocks + block) * samples + i) * 16;
    if (batch_inside)
      return ((pixel / Shape.w * samples + i) * Shape.w + pixel % Shape.w) * Shape.c;
    return (static_cast<std::size_t>(i) * Shape.pixels() + pixel) * Shape.c + block * 16;
  }
};

/// A pixel of some samples.
struct pixel_piece {
  int n, pixel, first, samples;
};

/// A number per sample, in all 16 lanes of each.
template <class Walk>
using per_lane = std::array<float, Walk::lanes>;

/// Means over the channels of term(place)[k], for each k and sample.
template <class Walk, int K, hwc Shape, class Term>
std::array<per_lane<Walk>, K> channel_means(const pixel_piece& piece, const Term& term) {
  std::array<per_lane<Walk>, K> sums{};
  const auto add = [&](std::size_t at, auto from, auto to) {
    for (int j = from; j < to; ++j) {
      const std::array<float, K> terms = term(at + static_cast<std::size_t>(j));
      for (std::size_t k = 0; k < K; ++k) sums[k][static_cast<std::size_t>(j)] += terms[k];
    }
  };
  for (int block = 0; block < Walk::blocks; ++block) {
    const std::size_t at = Walk::place(piece.n, piece.pixel, piece.first, block);
    if (Walk::width(block) < blocked::block)
      for (int s = 0; s < piece.samples; ++s) add(at, 16 * s, 16 * s + Walk::width(block));
    else if (piece.samples == Walk::together)
      add(at, 0, std::integral_constant<int, Walk::lanes>{});
    else
      add(at, 0, 16 * piece.samples);
  }
  for (auto& sum : sums)
    for (auto lane = sum.begin(); lane != sum.end(); lane += blocked::block) {
      float total = 0;
      for (int l = 0; l < blocked::block; ++l) total += lane[l];
      std::fill_n(lane, blocked::block, total / Shape.c);
    }
  return sums;
}

/// Calls f(place, lane) for the numbers of a piece.
template <class Walk, class F>
void map_pixel(const pixel_piece& piece, const F& f) {
  for (int block = 0; block < Walk::blocks; ++block) {
    const std::size_t at = Walk::place(piece.n, piece.pixel, piece.first, block);
    const int count = Walk::packed ? 16 * piece.samples : Walk::width(block);
    for (int j = 0; j < count; ++j)
      f(at + static_cast<std::size_t>(j), static_cast<std::size_t>(j));
  }
}

/// Calls f(piece) for all pixels of all samples.
template <class Walk, hwc Shape, kernel_set K, class F>
void for_each_pixel_piece(basic_cpu<K>& b, int n, const F& f) {
  const int groups = ceil_div(n, Walk::together);
  constexpr int work = Walk::together * Shape.c;
  b.split(static_cast<std::size_t>(Shape.pixels()) * groups, ceil_div(16384, work),
          [&](std::size_t begin, std::size_t end) {
            const auto own = f;
            for (std::size_t i = begin; i < end; ++i) {
              const int first = static_cast<int>(i % groups) * Walk::together;
              own(pixel_piece{n, static_cast<int>(i / groups), first,
                              std::min(Walk::together, n - first)});
            }
          });
}

/// 1 / sqrt(mean square + epsilon); all lanes of a sample have the same.
template <class Lanes>
Lanes inverse_roots(const Lanes& squares, float epsilon) {
  Lanes q;
  for (std::size_t j = 0; j < q.size(); j += blocked::block)
    std::fill_n(q.begin() + j, blocked::block, 1.0f / std::sqrt(squares[j] + epsilon));
  return q;
}

}  // namespace detail

template <kernel_set K, hwc Shape>
void launch(
    basic_cpu<K>& b, ops::pixel_norm_forward<Shape>,
    const typename ops::pixel_norm_forward<Shape>::template params<typename basic_cpu<K>::storage>&
        p) {
  using walk = detail::pixel_walk<typename basic_cpu<K>::storage::layout, Shape>;
  detail::for_each_pixel_piece<walk, Shape>(
      b, p.x.n,
      [x = p.x.data, y = p.y.data, epsilon = p.epsilon](const detail::pixel_piece& piece) {
        const auto means = detail::channel_means<walk, 1, Shape>(
            piece, [x](std::size_t i) { return std::array{x[i] * x[i]}; });
        const auto q = detail::inverse_roots(means[0], epsilon);
        detail::map_pixel<walk>(piece, [&](std::size_t i, std::size_t j) { y[i] = x[i] * q[j]; });
      });
}

template <kernel_set K, hwc Shape>
void launch(basic_cpu<K>& b, ops::pixel_norm_derivative<Shape>,
            const typename ops::pixel_norm_derivative<Shape>::template params<
                typename basic_cpu<K>::storage>& p) {
  using walk = detail::pixel_walk<typename basic_cpu<K>::storage::layout, Shape>;
  detail::for_each_pixel_piece<walk, Shape>(
      b, p.x.n,
      [x = p.x.data, dy = p.dy.data, dx = p.dx.data,
       epsilon = p.epsilon](const detail::pixel_piece& piece) {
        const auto means = detail::channel_means<walk, 2, Shape>(piece, [=](std::size_t i) {
          return std::array{x[i] * x[i], x[i] * dy[i]};
        });
        const auto q = detail::inverse_roots(means[0], epsilon);
        detail::per_lane<walk> s;
        for (std::size_t j = 0; j < s.size(); ++j) s[j] = -q[j] * q[j] * q[j] * means[1][j];
        detail::map_pixel<walk>(
            piece, [&](std::size_t i, std::size_t j) { dx[i] = q[j] * dy[i] + s[j] * x[i]; });
      });
}

template <kernel_set K, hwc Shape>
void launch(basic_cpu<K>& b, ops::pixel_norm_second_order<Shape>,
            const typename ops::pixel_norm_second_order<Shape>::template params<
                typename basic_cpu<K>::storage>& p) {
  using walk = detail::pixel_walk<typename basic_cpu<K>::storage::layout, Shape>;
  const auto bend = [&](auto has_ey) {
    detail::for_each_pixel_piece<walk, Shape>(
        b, p.x.n,
        [x = p.x.data, t = p.tx.data, g = p.gy.data, e = p.ey.data, ex = p.ex.data,
         epsilon = p.epsilon](const detail::pixel_piece& piece) {
          const auto ey = [=](std::size_t i) { return decltype(has_ey)::value ? e[i] : 0.0f; };
          const auto means = detail::channel_means<walk, 5, Shape>(piece, [=](std::size_t i) {
            return std::array{x[i] * x[i], x[i] * t[i], x[i] * g[i], g[i] * t[i], x[i] * ey(i)};
          });
          const auto q = detail::inverse_roots(means[0], epsilon);
          detail::per_lane<walk> of_t, of_g, of_x;
          for (std::size_t j = 0; j < q.size(); ++j) {
            const float u_t = q[j] * means[1][j], u_g = q[j] * means[2][j], q2 = q[j] * q[j];
            of_t[j] = -q2 * u_g;
            of_g[j] = -q2 * u_t;
            of_x[j] = -q2 * q[j] * (means[4][j] + means[3][j] - 3 * u_t * u_g);
          }
          detail::map_pixel<walk>(piece, [&](std::size_t i, std::size_t j) {
            ex[i] = q[j] * ey(i) + of_t[j] * t[i] + of_g[j] * g[i] + of_x[j] * x[i];
          });
        });
  };
  if (p.ey.data)
    bend(std::true_type{});
  else
    bend(std::false_type{});
}

}  // namespace gantry::backend
