// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A piece of work is a block of channels over all rows (a row is one pixel of one sample), so that
// sums need no second stage and do not depend on the number of threads. Sums run in float over 64
// rows, in double over those.
#pragma once

#include <array>
#include <cmath>

#include "gantry/backend/cpu/backend.hpp"
#include "gantry/ops/minibatch.hpp"
#include "gantry/ops/norm.hpp"

namespace gantry::backend {

namespace detail {

inline constexpr int channel_block = 16;

/// Per channel of a block: the sum over rows of term(offset of the row, channel), for two terms at
/// once.
struct channel_sums {
  std::array<double, channel_block> first{}, second{};
};

template <class Term>
channel_sums sum_rows(std::size_t rows, int stride, int begin, int width, Term&& term) {
  channel_sums total;
  const auto add = [&](auto lanes) {
    for (std::size_t row = 0; row < rows; row += 64) {
      std::array<float, channel_block> first{}, second{};
      const std::size_t stop = std::min(rows, row + 64);
      for (std::size_t r = row; r < stop; ++r)
        for (int c = 0; c < lanes; ++c)
          term(r * static_cast<std::size_t>(stride) + begin + c, c, first[c], second[c]);
      for (int c = 0; c < lanes; ++c) {
        total.first[c] += first[c];
        total.second[c] += second[c];
      }
    }
  };
  if (width == channel_block)
    add(std::integral_constant<int, channel_block>{});
  else
    add(width);
  return total;
}

/// y = scale (x - center) + shift per channel, over all rows in parallel pieces of rows.
struct channel_map {
  const float *x, *center, *scale, *shift;
  float* y;
};
inline void map_channels(cpu& b, std::size_t rows, int channels, const channel_map& m) {
  b.split(rows, ceil_div<std::size_t>(16384, static_cast<std::size_t>(channels)),
          [&](std::size_t begin, std::size_t end) {
            for (std::size_t r = begin; r < end; ++r) {
              const float* x = m.x + r * channels;
              float* y = m.y + r * channels;
              for (int c = 0; c < channels; ++c)
                y[c] = (x[c] - m.center[c]) * m.scale[c] + m.shift[c];
            }
          });
}

}  // namespace detail

template <hwc Shape>
void launch(cpu& b, ops::batch_norm_forward<Shape>,
            const typename ops::batch_norm_forward<Shape>::template params<cpu::storage>& p) {
  const std::size_t rows = static_cast<std::size_t>(p.x.n) * Shape.pixels();
  const double count = static_cast<double>(rows);
  std::array<float, Shape.c> scale;
  b.split(Shape.c, detail::channel_block, [&](std::size_t begin, std::size_t end) {
    const int width = static_cast<int>(end - begin);
    const float* x = p.x.data;
    const auto sums =
        detail::sum_rows(rows, Shape.c, static_cast<int>(begin), width,
                         [x](std::size_t i, int, float& sum, float&) { sum += x[i]; });
    std::array<float, detail::channel_block> mean{};
    for (int c = 0; c < width; ++c) mean[c] = static_cast<float>(sums.first[c] / count);
    const auto squares =
        detail::sum_rows(rows, Shape.c, static_cast<int>(begin), width,
                         [x, &mean](std::size_t i, int c, float& drift, float& square) {
                           const float d = x[i] - mean[c];
                           drift += d;
                           square += d * d;
                         });
    for (int c = 0; c < width; ++c) {
      const std::size_t at = begin + c;
      const double drift = squares.first[c] / count;
      const double exact_mean = mean[c] + drift,
                   spread = squares.second[c] - drift * squares.first[c];
      const double variance = spread / count;
      p.saved_mean[at] = static_cast<float>(exact_mean);
      p.saved_inverse_deviation[at] = static_cast<float>(1.0 / std::sqrt(variance + p.epsilon));
      scale[at] = p.saved_inverse_deviation[at] * p.gamma[at];
      const double unbiased = count > 1 ? spread / (count - 1) : variance;
      p.running_mean[at] += static_cast<float>(p.momentum * (exact_mean - p.running_mean[at]));
      p.running_variance[at] +=
          static_cast<float>(p.momentum * (unbiased - p.running_variance[at]));
    }
  });
  detail::map_channels(b, rows, Shape.c, {p.x.data, p.saved_mean, scale.data(), p.beta, p.y.data});
}

template <hwc Shape>
void launch(cpu& b, ops::batch_norm_inference<Shape>,
            const typename ops::batch_norm_inference<Shape>::template params<cpu::storage>& p) {
  std::array<float, Shape.c> scale;
  for (int c = 0; c < Shape.c; ++c) {
    p.saved_mean[c] = p.running_mean[c];
    p.saved_inverse_deviation[c] =
        static_cast<float>(1.0 / std::sqrt(static_cast<double>(p.running_variance[c]) + p.epsilon));
    scale[static_cast<std::size_t>(c)] = p.saved_inverse_deviation[c] * p.gamma[c];
  }
  detail::map_channels(b, static_cast<std::size_t>(p.x.n) * Shape.pixels(), Shape.c,
                       {p.x.data, p.saved_mean, scale.data(), p.beta, p.y.data});
}

template <hwc Shape>
void launch(cpu& b, ops::batch_norm_backward<Shape>,
            const typename ops::batch_norm_backward<Shape>::template params<cpu::storage>& p) {
  const std::size_t rows = static_cast<std::size_t>(p.x.n) * Shape.pixels();
  const float *x = p.x.data, *dy = p.dy.data;
  // dx = a dy + s (x - mean) + t, with s and t from the sums of dy and of dy times the normalised
  // x.
  std::array<float, Shape.c> a, s, t;
  b.split(Shape.c, detail::channel_block, [&](std::size_t begin, std::size_t end) {
    const float *mean = p.saved_mean + begin, *inverse = p.saved_inverse_deviation + begin;
    const int width = static_cast<int>(end - begin);
    const auto sums = detail::sum_rows(rows, Shape.c, static_cast<int>(begin), width,
                                       [=](std::size_t i, int c, float& sum, float& with_x) {
                                         sum += dy[i];
                                         with_x += dy[i] * ((x[i] - mean[c]) * inverse[c]);
                                       });
    for (int c = 0; c < width; ++c) {
      const std::size_t at = begin + c;
      if (p.dgamma) {
        p.dgamma[at] += static_cast<float>(sums.second[c]);
        p.dbeta[at] += static_cast<float>(sums.first[c]);
      }
      const double factor = static_cast<double>(p.gamma[at]) * inverse[c];
      const double share = p.fixed_statistics ? 0.0 : 1.0 / static_cast<double>(rows);
      a[at] = static_cast<float>(factor);
      s[at] = static_cast<float>(-factor * inverse[c] * sums.second[c] * share);
      t[at] = static_cast<float>(-factor * sums.first[c] * share);
    }
  });
  if (!p.dx.data) return;
  b.split(rows, ceil_div<std::size_t>(16384, Shape.c), [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin * Shape.c; i < end * Shape.c; i += Shape.c)
      for (std::size_t c = 0; c < Shape.c; ++c)
        p.dx.data[i + c] = a[c] * dy[i + c] + s[c] * (x[i + c] - p.saved_mean[c]) + t[c];
  });
}

template <hwc Shape>
void launch(cpu& b, ops::channel_sum<Shape>,
            const typename ops::channel_sum<Shape>::template params<cpu::storage>& p) {
  const float* x = p.x.data;
  b.split(Shape.c, detail::channel_block, [&](std::size_t begin, std::size_t end) {
    const int width = static_cast<int>(end - begin);
    const auto sums = detail::sum_rows(
        static_cast<std::size_t>(p.x.n) * Shape.pixels(), Shape.c, static_cast<int>(begin), width,
        [x](std::size_t i, int, float& sum, float&) { sum += x[i]; });
    for (int c = 0; c < width; ++c) p.sum[begin + c] += static_cast<float>(sums.first[c]);
  });
}

namespace detail {

template <minibatch_geometry G>
float similarity(const float* m, int i, int j, int kernel) {
  float distance = 0;
  for (int d = 0; d < G.dims; ++d)
    distance += std::abs(m[(i * G.kernels + kernel) * G.dims + d] -
                         m[(j * G.kernels + kernel) * G.dims + d]);
  return std::exp(-distance);
}

}  // namespace detail

template <minibatch_geometry G>
void launch(cpu& b, ops::minibatch_similarity_forward<G>,
            const typename ops::minibatch_similarity_forward<G>::template params<cpu::storage>& p) {
  b.split(static_cast<std::size_t>(p.x.n), 4, [&](std::size_t begin, std::size_t end) {
    for (int i = static_cast<int>(begin); i < static_cast<int>(end); ++i) {
      float* row = p.y.data + i * (G.in + G.kernels);
      std::copy_n(p.x.data + i * G.in, G.in, row);
      for (int kernel = 0; kernel < G.kernels; ++kernel) {
        float sum = 0;
        for (int j = 0; j < p.x.n; ++j)
          if (j != i) sum += detail::similarity<G>(p.m.data, i, j, kernel);
        row[G.in + kernel] = sum;
      }
    }
  });
}

template <minibatch_geometry G>
void launch(
    cpu& b, ops::minibatch_similarity_backward<G>,
    const typename ops::minibatch_similarity_backward<G>::template params<cpu::storage>& p) {
  constexpr int width = G.in + G.kernels;
  b.split(static_cast<std::size_t>(p.m.n), 4, [&](std::size_t begin, std::size_t end) {
    for (int i = static_cast<int>(begin); i < static_cast<int>(end); ++i) {
      if (p.dx.data) std::copy_n(p.dy.data + i * width, G.in, p.dx.data + i * G.in);
      for (int kernel = 0; kernel < G.kernels; ++kernel) {
        const float* own = p.m.data + (i * G.kernels + kernel) * G.dims;
        std::array<float, G.dims> sum{};
        for (int j = 0; j < p.m.n; ++j) {
          if (j == i) continue;
          const float* other = p.m.data + (j * G.kernels + kernel) * G.dims;
          const float both =
              p.dy.data[i * width + G.in + kernel] + p.dy.data[j * width + G.in + kernel];
          const float weight = both * detail::similarity<G>(p.m.data, i, j, kernel);
          for (std::size_t d = 0; d < G.dims; ++d)
            sum[d] -= weight * static_cast<float>((own[d] > other[d]) - (own[d] < other[d]));
        }
        std::copy_n(sum.data(), G.dims, p.dm.data + (i * G.kernels + kernel) * G.dims);
      }
    }
  });
}

}  // namespace gantry::backend
