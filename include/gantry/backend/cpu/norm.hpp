// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A piece of work that sums is a block of channels over all rows (a row is one pixel of one
// sample), so that sums need no second stage and do not depend on the number of threads. Sums run
// in float over 64 rows, in double over those.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <type_traits>

#include "gantry/backend/cpu/backend.hpp"
#include "gantry/backend/cpu/epilogue.hpp"
#include "gantry/ops/fused.hpp"
#include "gantry/ops/norm.hpp"

namespace gantry::inline v0::backend {

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
/// a copy of f, which no store can reach, so the loops are vectorised. What f writes to `y` is then
/// ended stretch by stretch.
template <class Walk, kernel_set K, class F>
void map_rows(basic_cpu<K>& b, int n, F&& f, float* y = nullptr, const epilogue& finish = {}) {
  if constexpr (Walk::packed) {
    const std::size_t unit = static_cast<std::size_t>(n) * channel_block;
    b.split(static_cast<std::size_t>(Walk::segments) * Walk::blocks,
            ceil_div<std::size_t>(16384, unit), [&](std::size_t begin, std::size_t end) {
              const auto own = f;
              for (std::size_t u = begin; u < end; ++u) {
                const int channel = static_cast<int>(u % Walk::blocks) * channel_block;
                for (std::size_t i = u * unit; i < (u + 1) * unit; i += channel_block)
                  for (int c = 0; c < channel_block; ++c) own(i + c, channel + c);
                if (y != nullptr) finish(y + u * unit, u * unit, unit);
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
              if (y != nullptr)
                finish(y + begin * channels, begin * channels, (end - begin) * channels);
            });
  }
}

/// A number per channel, and zeros for the channels that only pad.
template <hwc Shape>
using per_channel = std::array<float, round_up(Shape.c, channel_block)>;

template <kernel_set K, hwc Shape>
void batch_norm_forward(
    basic_cpu<K>& b,
    const typename ops::batch_norm_forward<Shape>::template params<typename basic_cpu<K>::storage>&
        p,
    const epilogue& finish) {
  using walk = channel_walk<typename basic_cpu<K>::storage::layout, Shape>;
  const double count = static_cast<double>(p.x.n) * Shape.pixels();
  per_channel<Shape> center{}, scale{}, shift{};
  b.for_each(walk::blocks, [&](int block) {
    const int begin = block * channel_block;
    const int width = std::min(channel_block, Shape.c - begin);
    const float* x = p.x.data;
    const auto sums =
        sum_rows<walk>(p.x.n, block, [x](std::size_t i, int, float& sum, float&) { sum += x[i]; });
    std::array<float, channel_block> mean{};
    for (int c = 0; c < width; ++c) mean[c] = static_cast<float>(sums.first[c] / count);
    const auto squares =
        sum_rows<walk>(p.x.n, block, [x, &mean](std::size_t i, int c, float& drift, float& square) {
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
  map_rows<walk>(
      b, p.x.n,
      [center = center.data(), scale = scale.data(), shift = shift.data(), x = p.x.data,
       y = p.y.data](std::size_t i, int c) { y[i] = (x[i] - center[c]) * scale[c] + shift[c]; },
      p.y.data, finish);
}

template <kernel_set K, hwc Shape>
void batch_norm_inference(basic_cpu<K>& b,
                          const typename ops::batch_norm_inference<Shape>::template params<
                              typename basic_cpu<K>::storage>& p,
                          const epilogue& finish) {
  using walk = channel_walk<typename basic_cpu<K>::storage::layout, Shape>;
  per_channel<Shape> center{}, scale{}, shift{};
  for (int c = 0; c < Shape.c; ++c) {
    p.saved_mean[c] = center[c] = p.running_mean[c];
    p.saved_inverse_deviation[c] =
        static_cast<float>(1.0 / std::sqrt(static_cast<double>(p.running_variance[c]) + p.epsilon));
    scale[c] = p.saved_inverse_deviation[c] * p.gamma[c];
    shift[c] = p.beta[c];
  }
  map_rows<walk>(
      b, p.x.n,
      [center = center.data(), scale = scale.data(), shift = shift.data(), x = p.x.data,
       y = p.y.data](std::size_t i, int c) { y[i] = (x[i] - center[c]) * scale[c] + shift[c]; },
      p.y.data, finish);
}

}  // namespace detail

template <kernel_set K, hwc Shape>
void launch(
    basic_cpu<K>& b, ops::batch_norm_forward<Shape>,
    const typename ops::batch_norm_forward<Shape>::template params<typename basic_cpu<K>::storage>&
        p) {
  detail::batch_norm_forward<K, Shape>(b, p, {});
}
template <kernel_set K, hwc Shape, class F>
void launch(basic_cpu<K>& b, ops::activated<ops::batch_norm_forward<Shape>, F>,
            const typename ops::activated<ops::batch_norm_forward<Shape>,
                                          F>::template params<typename basic_cpu<K>::storage>& p) {
  detail::batch_norm_forward<K, Shape>(b, p.op, detail::activating(p.f));
}

template <kernel_set K, hwc Shape>
void launch(basic_cpu<K>& b, ops::batch_norm_inference<Shape>,
            const typename ops::batch_norm_inference<Shape>::template params<
                typename basic_cpu<K>::storage>& p) {
  detail::batch_norm_inference<K, Shape>(b, p, {});
}
template <kernel_set K, hwc Shape, class F>
void launch(basic_cpu<K>& b, ops::activated<ops::batch_norm_inference<Shape>, F>,
            const typename ops::activated<ops::batch_norm_inference<Shape>,
                                          F>::template params<typename basic_cpu<K>::storage>& p) {
  detail::batch_norm_inference<K, Shape>(b, p.op, detail::activating(p.f));
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

namespace detail {

/// The second derivatives of batch normalisation; the names are those of ops/norm.hpp.
template <hwc Shape, kernel_set K>
struct batch_norm_bend {
  using walk = channel_walk<typename basic_cpu<K>::storage::layout, Shape>;
  using op_params =
      typename ops::batch_norm_second_order<Shape>::template params<typename basic_cpu<K>::storage>;
  /// ex = of_ey ey + of_gy gy + of_tx tx + of_x (x - center) + constant.
  per_channel<Shape> center{}, of_ey{}, of_gy{}, of_tx{}, of_x{}, constant{};

  /// Sums of v and of v times the normalised x.
  static channel_sums sums_with(const op_params& p, int block, const float* v) {
    return sum_with_x(p, block, [v](std::size_t i) { return v[i]; });
  }

  void combine(const op_params& p, int block) {
    const channel_sums t = sums_with(p, block, p.tx.data), g = sums_with(p, block, p.gy.data);
    const channel_sums e = p.ey.data ? sums_with(p, block, p.ey.data) : channel_sums{};
    const channel_sums products = sum_with_x(
        p, block, [gy = p.gy.data, tx = p.tx.data](std::size_t i) { return gy[i] * tx[i]; });
    const double share =
        p.fixed_statistics ? 0.0 : 1.0 / (static_cast<double>(p.x.n) * Shape.pixels());
    const int begin = block * channel_block, width = std::min(channel_block, Shape.c - begin);
    for (int c = 0; c < width; ++c) {
      const int at = begin + c;
      const double r = p.saved_inverse_deviation[at], r2 = r * r, gamma = p.gamma[at];
      const double mean_t = share * t.first[c], mean_tu = share * t.second[c];
      const double mean_g = share * gamma * g.first[c], mean_gu = share * gamma * g.second[c];
      const double bend =
          share * gamma * products.first[c] - mean_t * mean_g - 3 * mean_tu * mean_gu;
      center[at] = p.saved_mean[at];
      of_ey[at] = static_cast<float>(r * gamma);
      of_gy[at] = static_cast<float>(-r2 * mean_tu * gamma);
      of_tx[at] = static_cast<float>(-r2 * mean_gu);
      of_x[at] = static_cast<float>(-r2 * (share * gamma * e.second[c] + r * bend));
      constant[at] = static_cast<float>(-r * share * gamma * e.first[c] +
                                        r2 * (mean_gu * mean_t + mean_tu * mean_g));
      if (!p.dgamma) continue;
      p.dgamma[at] += static_cast<float>(
          r * (products.first[c] - mean_t * g.first[c] - mean_tu * g.second[c]) + e.second[c]);
      p.dbeta[at] += static_cast<float>(e.first[c]);
    }
  }

 private:
  template <class Value>
  static channel_sums sum_with_x(const op_params& p, int block, Value value) {
    const int begin = block * channel_block, width = std::min(channel_block, Shape.c - begin);
    std::array<float, channel_block> mean{}, inverse{};
    std::copy_n(p.saved_mean + begin, width, mean.begin());
    std::copy_n(p.saved_inverse_deviation + begin, width, inverse.begin());
    return sum_rows<walk>(p.x.n, block,
                          [=, x = p.x.data](std::size_t i, int c, float& sum, float& with_x) {
                            const float v = value(i);
                            sum += v;
                            with_x += v * ((x[i] - mean[c]) * inverse[c]);
                          });
  }
};

}  // namespace detail

template <kernel_set K, hwc Shape>
void launch(basic_cpu<K>& b, ops::batch_norm_second_order<Shape>,
            const typename ops::batch_norm_second_order<Shape>::template params<
                typename basic_cpu<K>::storage>& p) {
  using walk = detail::channel_walk<typename basic_cpu<K>::storage::layout, Shape>;
  detail::batch_norm_bend<Shape, K> bend;
  b.for_each(walk::blocks, [&](int block) { bend.combine(p, block); });
  if (!p.ex.data) return;
  const auto rest = [center = bend.center.data(), c_g = bend.of_gy.data(), c_t = bend.of_tx.data(),
                     c_x = bend.of_x.data(), constant = bend.constant.data(), x = p.x.data,
                     tx = p.tx.data, gy = p.gy.data](std::size_t i, int c) {
    return c_g[c] * gy[i] + c_t[c] * tx[i] + c_x[c] * (x[i] - center[c]) + constant[c];
  };
  if (p.ey.data)
    detail::map_rows<walk>(b, p.x.n,
                           [=, c_e = bend.of_ey.data(), ey = p.ey.data, ex = p.ex.data](
                               std::size_t i, int c) { ex[i] = c_e[c] * ey[i] + rest(i, c); });
  else
    detail::map_rows<walk>(b, p.x.n,
                           [=, ex = p.ex.data](std::size_t i, int c) { ex[i] = rest(i, c); });
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
