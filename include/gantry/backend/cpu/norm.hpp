// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A piece of work that sums is a block of channels over all rows (a row is one pixel of one
// sample), so that sums need no second stage and do not depend on the number of threads. Sums run
// in float over 64 rows, in double over those.
#pragma once

#include <array>
#include <cmath>

#include "gantry/backend/cpu/backend.hpp"
#include "gantry/ops/norm.hpp"

namespace gantry::backend {

namespace detail {

inline constexpr int channel_block = 16;

/// Rows of up to 16 channels that lie `stride` apart.
struct channel_rows {
  std::size_t offset, rows;
  int stride;
};

/// How a batch falls into such rows: `segments` pieces of memory per block of channels.
template <class Layout, hwc Shape>
struct channel_walk {
  static constexpr bool packed = std::is_same_v<Layout, blocked> && !blocked::is_thin(Shape);
  static constexpr int segments = packed ? Shape.pixels() : 1;
  static constexpr int blocks = ceil_div(Shape.c, channel_block);
  /// Channels of a block that are computed; in the blocked layout the padding as well.
  static constexpr int width(int block) {
    return packed ? channel_block : std::min(channel_block, Shape.c - block * channel_block);
  }
  static channel_rows rows(int n, int segment, int block) {
    const auto samples = static_cast<std::size_t>(n);
    if (packed)
      return {(static_cast<std::size_t>(segment) * blocks + block) * samples * channel_block,
              samples, channel_block};
    return {static_cast<std::size_t>(block) * channel_block, samples * Shape.pixels(), Shape.c};
  }
};

/// Per channel of a block: the sum over rows of term(offset of the row, channel), for two terms at
/// once.
struct channel_sums {
  std::array<double, channel_block> first{}, second{};
};

template <class Lanes, class Term>
void add_rows(const channel_rows& r, Lanes lanes, Term& term, channel_sums& total) {
  for (std::size_t row = 0; row < r.rows; row += 64) {
    std::array<float, channel_block> first{}, second{};
    const std::size_t stop = std::min(r.rows, row + 64);
    for (std::size_t i = row; i < stop; ++i)
      for (int c = 0; c < lanes; ++c)
        term(r.offset + i * static_cast<std::size_t>(r.stride) + c, c, first[c], second[c]);
    for (int c = 0; c < lanes; ++c) {
      total.first[c] += first[c];
      total.second[c] += second[c];
    }
  }
}

template <class Walk, class Term>
channel_sums sum_rows(int n, int block, Term&& term) {
  channel_sums total;
  for (int segment = 0; segment < Walk::segments; ++segment) {
    const channel_rows rows = Walk::rows(n, segment, block);
    if (Walk::width(block) == channel_block)
      add_rows(rows, std::integral_constant<int, channel_block>{}, term, total);
    else
      add_rows(rows, Walk::width(block), term, total);
  }
  return total;
}

/// Calls f(offset, channel) for every number of a batch, in parallel pieces of rows. Each piece has
/// a copy of f, which no store can reach, so the loops are vectorised.
template <class Walk, kernel_set K, class F>
void map_rows(basic_cpu<K>& b, int n, F&& f) {
  if constexpr (Walk::packed) {
    const std::size_t unit = static_cast<std::size_t>(n) * channel_block;
    b.split(static_cast<std::size_t>(Walk::segments) * Walk::blocks,
            ceil_div<std::size_t>(16384, unit), [&](std::size_t begin, std::size_t end) {
              const auto own = f;
              for (std::size_t u = begin; u < end; ++u) {
                const int channel = static_cast<int>(u % Walk::blocks) * channel_block;
                for (std::size_t i = u * unit; i < (u + 1) * unit; i += channel_block)
                  for (int c = 0; c < channel_block; ++c) own(i + c, channel + c);
              }
            });
  } else {
    const channel_rows rows = Walk::rows(n, 0, 0);
    const auto channels = static_cast<std::size_t>(rows.stride);
    b.split(rows.rows, ceil_div<std::size_t>(16384, channels),
            [&](std::size_t begin, std::size_t end) {
              const auto own = f;
              for (std::size_t r = begin; r < end; ++r)
                for (std::size_t c = 0; c < channels; ++c)
                  own(r * channels + c, static_cast<int>(c));
            });
  }
}

/// A number per channel, and zeros for the channels that only pad.
template <hwc Shape>
using per_channel = std::array<float, round_up(Shape.c, channel_block)>;

}  // namespace detail

template <kernel_set K, hwc Shape>
void launch(
    basic_cpu<K>& b, ops::batch_norm_forward<Shape>,
    const typename ops::batch_norm_forward<Shape>::template params<typename basic_cpu<K>::storage>&
        p) {
  using walk = detail::channel_walk<typename basic_cpu<K>::storage::layout, Shape>;
  const double count = static_cast<double>(p.x.n) * Shape.pixels();
  detail::per_channel<Shape> center{}, scale{}, shift{};
  b.for_each(walk::blocks, [&](int block) {
    const int begin = block * detail::channel_block;
    const int width = std::min(detail::channel_block, Shape.c - begin);
    const float* x = p.x.data;
    const auto sums = detail::sum_rows<walk>(
        p.x.n, block, [x](std::size_t i, int, float& sum, float&) { sum += x[i]; });
    std::array<float, detail::channel_block> mean{};
    for (int c = 0; c < width; ++c) mean[c] = static_cast<float>(sums.first[c] / count);
    const auto squares = detail::sum_rows<walk>(
        p.x.n, block, [x, &mean](std::size_t i, int c, float& drift, float& square) {
          const float d = x[i] - mean[c];
          drift += d;
          square += d * d;
        });
    for (int c = 0; c < width; ++c) {
      const int at = begin + c;
      const double drift = squares.first[c] / count;
      const double exact_mean = mean[c] + drift,
                   spread = squares.second[c] - drift * squares.first[c];
      const double variance = spread / count;
      p.saved_mean[at] = center[at] = static_cast<float>(exact_mean);
      p.saved_inverse_deviation[at] = static_cast<float>(1.0 / std::sqrt(variance + p.epsilon));
      scale[at] = p.saved_inverse_deviation[at] * p.gamma[at];
      shift[at] = p.beta[at];
      const double unbiased = count > 1 ? spread / (count - 1) : variance;
      p.running_mean[at] += static_cast<float>(p.momentum * (exact_mean - p.running_mean[at]));
      p.running_variance[at] +=
          static_cast<float>(p.momentum * (unbiased - p.running_variance[at]));
    }
  });
  detail::map_rows<walk>(
      b, p.x.n,
      [center = center.data(), scale = scale.data(), shift = shift.data(), x = p.x.data,
       y = p.y.data](std::size_t i, int c) { y[i] = (x[i] - center[c]) * scale[c] + shift[c]; });
}

template <kernel_set K, hwc Shape>
void launch(basic_cpu<K>& b, ops::batch_norm_inference<Shape>,
            const typename ops::batch_norm_inference<Shape>::template params<
                typename basic_cpu<K>::storage>& p) {
  using walk = detail::channel_walk<typename basic_cpu<K>::storage::layout, Shape>;
  detail::per_channel<Shape> center{}, scale{}, shift{};
  for (int c = 0; c < Shape.c; ++c) {
    p.saved_mean[c] = center[c] = p.running_mean[c];
    p.saved_inverse_deviation[c] =
        static_cast<float>(1.0 / std::sqrt(static_cast<double>(p.running_variance[c]) + p.epsilon));
    scale[c] = p.saved_inverse_deviation[c] * p.gamma[c];
    shift[c] = p.beta[c];
  }
  detail::map_rows<walk>(
      b, p.x.n,
      [center = center.data(), scale = scale.data(), shift = shift.data(), x = p.x.data,
       y = p.y.data](std::size_t i, int c) { y[i] = (x[i] - center[c]) * scale[c] + shift[c]; });
}

template <kernel_set K, hwc Shape>
void launch(
    basic_cpu<K>& b, ops::batch_norm_backward<Shape>,
    const typename ops::batch_norm_backward<Shape>::template params<typename basic_cpu<K>::storage>&
        p) {
  using walk = detail::channel_walk<typename basic_cpu<K>::storage::layout, Shape>;
  const double rows = static_cast<double>(p.x.n) * Shape.pixels();
  const float *x = p.x.data, *dy = p.dy.data;
  // dx = a dy + s (x - mean) + t, with s and t from the sums of dy and of dy times the normalised
  // x.
  detail::per_channel<Shape> center{}, a{}, s{}, t{};
  b.for_each(walk::blocks, [&](int block) {
    const int begin = block * detail::channel_block;
    const int width = std::min(detail::channel_block, Shape.c - begin);
    std::array<float, detail::channel_block> mean{}, inverse{};
    std::copy_n(p.saved_mean + begin, width, mean.begin());
    std::copy_n(p.saved_inverse_deviation + begin, width, inverse.begin());
    const auto sums =
        detail::sum_rows<walk>(p.x.n, block, [=](std::size_t i, int c, float& sum, float& with_x) {
          sum += dy[i];
          with_x += dy[i] * ((x[i] - mean[c]) * inverse[c]);
        });
    for (int c = 0; c < width; ++c) {
      const int at = begin + c;
      if (p.dgamma) {
        p.dgamma[at] += static_cast<float>(sums.second[c]);
        p.dbeta[at] += static_cast<float>(sums.first[c]);
      }
      const double factor = static_cast<double>(p.gamma[at]) * inverse[c];
      const double share = p.fixed_statistics ? 0.0 : 1.0 / rows;
      center[at] = mean[c];
      a[at] = static_cast<float>(factor);
      s[at] = static_cast<float>(-factor * inverse[c] * sums.second[c] * share);
      t[at] = static_cast<float>(-factor * sums.first[c] * share);
    }
  });
  if (!p.dx.data) return;
  detail::map_rows<walk>(
      b, p.x.n,
      [center = center.data(), a = a.data(), s = s.data(), t = t.data(), x, dy, dx = p.dx.data](
          std::size_t i, int c) { dx[i] = a[c] * dy[i] + s[c] * (x[i] - center[c]) + t[c]; });
}

template <kernel_set K, hwc Shape>
void launch(
    basic_cpu<K>& b, ops::channel_sum<Shape>,
    const typename ops::channel_sum<Shape>::template params<typename basic_cpu<K>::storage>& p) {
  using walk = detail::channel_walk<typename basic_cpu<K>::storage::layout, Shape>;
  const float* x = p.x.data;
  b.for_each(walk::blocks, [&](int block) {
    const int begin = block * detail::channel_block;
    const auto sums = detail::sum_rows<walk>(
        p.x.n, block, [x](std::size_t i, int, float& sum, float&) { sum += x[i]; });
    for (int c = 0; c < std::min(detail::channel_block, Shape.c - begin); ++c)
      p.sum[begin + c] += static_cast<float>(sums.first[c]);
  });
}

}  // namespace gantry::backend
