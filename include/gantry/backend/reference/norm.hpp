// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "gantry/backend/reference/backend.hpp"
#include "gantry/ops/minibatch.hpp"
#include "gantry/ops/norm.hpp"

namespace gantry::inline v0::backend {

namespace detail {

template <hwc Shape, class F>
void for_each_of_channel(int n, int c, F&& f) {
  for (std::size_t row = 0; row < static_cast<std::size_t>(n) * Shape.pixels(); ++row)
    f(row * Shape.c + c);
}

}  // namespace detail

template <class T, hwc Shape>
void launch(
    reference<T>&, ops::batch_norm_forward<Shape>,
    const typename ops::batch_norm_forward<Shape>::template params<typename reference<T>::storage>&
        p) {
  const double count = static_cast<double>(p.x.n) * Shape.pixels();
  for (int c = 0; c < Shape.c; ++c) {
    double sum = 0, square = 0;
    detail::for_each_of_channel<Shape>(p.x.n, c, [&](std::size_t i) { sum += p.x.data[i]; });
    const double mean = sum / count;
    detail::for_each_of_channel<Shape>(
        p.x.n, c, [&](std::size_t i) { square += (p.x.data[i] - mean) * (p.x.data[i] - mean); });
    const double variance = square / count, inverse = 1.0 / std::sqrt(variance + p.epsilon);
    detail::for_each_of_channel<Shape>(p.x.n, c, [&](std::size_t i) {
      p.y.data[i] = static_cast<T>((p.x.data[i] - mean) * inverse * p.gamma[c] + p.beta[c]);
    });
    p.saved_mean[c] = static_cast<T>(mean);
    p.saved_inverse_deviation[c] = static_cast<T>(inverse);
    const double unbiased = count > 1 ? square / (count - 1) : variance;
    p.running_mean[c] += static_cast<T>(p.momentum * (mean - p.running_mean[c]));
    p.running_variance[c] += static_cast<T>(p.momentum * (unbiased - p.running_variance[c]));
  }
}

template <class T, hwc Shape>
void launch(reference<T>&, ops::batch_norm_inference<Shape>,
            const typename ops::batch_norm_inference<Shape>::template params<
                typename reference<T>::storage>& p) {
  for (int c = 0; c < Shape.c; ++c) {
    const double mean = p.running_mean[c];
    const double inverse = 1.0 / std::sqrt(static_cast<double>(p.running_variance[c]) + p.epsilon);
    p.saved_mean[c] = static_cast<T>(mean);
    p.saved_inverse_deviation[c] = static_cast<T>(inverse);
    detail::for_each_of_channel<Shape>(p.x.n, c, [&](std::size_t i) {
      p.y.data[i] = static_cast<T>((p.x.data[i] - mean) * inverse * p.gamma[c] + p.beta[c]);
    });
  }
}

template <class T, hwc Shape>
void launch(
    reference<T>&, ops::batch_norm_backward<Shape>,
    const typename ops::batch_norm_backward<Shape>::template params<typename reference<T>::storage>&
        p) {
  const double count = static_cast<double>(p.x.n) * Shape.pixels();
  for (int c = 0; c < Shape.c; ++c) {
    const double mean = p.saved_mean[c], inverse = p.saved_inverse_deviation[c];
    double sum_dy = 0, sum_dy_h = 0;
    detail::for_each_of_channel<Shape>(p.x.n, c, [&](std::size_t i) {
      sum_dy += p.dy.data[i];
      sum_dy_h += p.dy.data[i] * (p.x.data[i] - mean) * inverse;
    });
    if (p.dgamma) {
      p.dgamma[c] += static_cast<T>(sum_dy_h);
      p.dbeta[c] += static_cast<T>(sum_dy);
    }
    if (!p.dx.data) continue;
    const double from_mean = p.fixed_statistics ? 0.0 : sum_dy / count;
    const double from_variance = p.fixed_statistics ? 0.0 : sum_dy_h / count;
    detail::for_each_of_channel<Shape>(p.x.n, c, [&](std::size_t i) {
      const double h = (p.x.data[i] - mean) * inverse;
      p.dx.data[i] =
          static_cast<T>(p.gamma[c] * inverse * (p.dy.data[i] - from_mean - h * from_variance));
    });
  }
}

template <class T, hwc Shape>
void launch(reference<T>&, ops::batch_norm_second_order<Shape>,
            const typename ops::batch_norm_second_order<Shape>::template params<
                typename reference<T>::storage>& p) {
  const double share =
      p.fixed_statistics ? 0.0 : 1.0 / (static_cast<double>(p.x.n) * Shape.pixels());
  for (int channel = 0; channel < Shape.c; ++channel) {
    const double mean = p.saved_mean[channel], r = p.saved_inverse_deviation[channel];
    const double gamma = p.gamma[channel];
    const auto each = [&](auto&& f) {  // f(place, u, tx, gy, ey)
      detail::for_each_of_channel<Shape>(p.x.n, channel, [&](std::size_t i) {
        f(i, (p.x.data[i] - mean) * r, static_cast<double>(p.tx.data[i]),
          static_cast<double>(p.gy.data[i]), p.ey.data ? static_cast<double>(p.ey.data[i]) : 0.0);
      });
    };
    double a = 0, b = 0, c = 0, g_mean = 0, g_tx = 0, e_mean = 0, e_u = 0;
    each([&](std::size_t, double u, double tx, double gy, double ey) {
      a += share * tx;
      b += share * u * tx;
      c += share * u * gamma * gy;
      g_mean += share * gamma * gy;
      g_tx += share * gamma * gy * tx;
      e_mean += share * gamma * ey;
      e_u += share * gamma * ey * u;
    });
    double dgamma = 0, dbeta = 0;
    each([&](std::size_t i, double u, double tx, double gy, double ey) {
      dgamma += gy * r * (tx - a - u * b) + ey * u;
      dbeta += ey;
      if (!p.ex.data) return;
      // Where the statistics are fixed, all these means are 0.
      const double bend =
          c * (tx - a) + b * (gamma * gy - g_mean) + u * (g_tx - a * g_mean - 3 * b * c);
      p.ex.data[i] = static_cast<T>(r * (gamma * ey - e_mean - u * e_u) - r * r * bend);
    });
    if (!p.dgamma) continue;
    p.dgamma[channel] += static_cast<T>(dgamma);
    p.dbeta[channel] += static_cast<T>(dbeta);
  }
}

template <class T, hwc Shape>
void launch(
    reference<T>&, ops::channel_sum<Shape>,
    const typename ops::channel_sum<Shape>::template params<typename reference<T>::storage>& p) {
  for (int c = 0; c < Shape.c; ++c) {
    double sum = p.sum[c];
    detail::for_each_of_channel<Shape>(p.x.n, c, [&](std::size_t i) { sum += p.x.data[i]; });
    p.sum[c] = static_cast<T>(sum);
  }
}

template <class T, hwc Shape>
void launch(
    reference<T>&, ops::scaled_channel_sum<Shape>,
    const typename ops::scaled_channel_sum<Shape>::template params<typename reference<T>::storage>&
        p) {
  for (int c = 0; c < Shape.c; ++c) {
    double sum = p.sum[c];
    detail::for_each_of_channel<Shape>(p.x.n, c, [&](std::size_t i) {
      sum += static_cast<double>(p.scale[i / Shape.size()]) * p.x.data[i];
    });
    p.sum[c] = static_cast<T>(sum);
  }
}

namespace detail {

/// exp(-|M_ib - M_jb|_1) of mini-batch discrimination.
template <minibatch_geometry G, class T>
double exact_similarity(const T* m, int i, int j, int b) {
  double distance = 0;
  for (int d = 0; d < G.dims; ++d)
    distance += std::abs(static_cast<double>(m[(i * G.kernels + b) * G.dims + d]) -
                         m[(j * G.kernels + b) * G.dims + d]);
  return std::exp(-distance);
}

}  // namespace detail

template <class T, minibatch_geometry G>
void launch(reference<T>&, ops::minibatch_similarity_forward<G>,
            const typename ops::minibatch_similarity_forward<G>::template params<
                typename reference<T>::storage>& p) {
  for (int i = 0; i < p.x.n; ++i) {
    T* row = p.y.data + i * (G.in + G.kernels);
    std::copy_n(p.x.data + i * G.in, G.in, row);
    for (int b = 0; b < G.kernels; ++b) {
      double sum = 0;
      for (int j = 0; j < p.x.n; ++j)
        if (j != i) sum += detail::exact_similarity<G>(p.m.data, i, j, b);
      row[G.in + b] = static_cast<T>(sum);
    }
  }
}

template <class T, minibatch_geometry G>
void launch(reference<T>&, ops::minibatch_similarity_backward<G>,
            const typename ops::minibatch_similarity_backward<G>::template params<
                typename reference<T>::storage>& p) {
  constexpr int width = G.in + G.kernels;
  for (int i = 0; i < p.m.n; ++i) {
    if (p.dx.data) std::copy_n(p.dy.data + i * width, G.in, p.dx.data + i * G.in);
    for (int b = 0; b < G.kernels; ++b)
      for (int d = 0; d < G.dims; ++d) {
        const int at = (i * G.kernels + b) * G.dims + d;
        double sum = 0;
        for (int j = 0; j < p.m.n; ++j) {
          if (j == i) continue;
          const double difference =
              static_cast<double>(p.m.data[at]) - p.m.data[(j * G.kernels + b) * G.dims + d];
          const double sign = (difference > 0) - (difference < 0);
          const double both = p.dy.data[i * width + G.in + b] +
                              static_cast<double>(p.dy.data[j * width + G.in + b]);
          sum -= both * sign * detail::exact_similarity<G>(p.m.data, i, j, b);
        }
        p.dm.data[at] = static_cast<T>(sum);
      }
  }
}

namespace detail {

/// sign(M_ibd - M_jbd), 0 where they are equal.
template <minibatch_geometry G, class T>
double side(const T* m, int i, int j, int b, int d) {
  const double difference = static_cast<double>(m[(i * G.kernels + b) * G.dims + d]) -
                            m[(j * G.kernels + b) * G.dims + d];
  return (difference > 0) - (difference < 0);
}

/// The derivative of |M_ib - M_jb|_1 along tm.
template <minibatch_geometry G, class T>
double distance_slope(const T* m, const T* tm, int i, int j, int b) {
  double sum = 0;
  for (int d = 0; d < G.dims; ++d)
    sum += side<G>(m, i, j, b, d) * (static_cast<double>(tm[(i * G.kernels + b) * G.dims + d]) -
                                     tm[(j * G.kernels + b) * G.dims + d]);
  return sum;
}

}  // namespace detail

template <class T, minibatch_geometry G>
void launch(reference<T>&, ops::minibatch_similarity_tangent<G>,
            const typename ops::minibatch_similarity_tangent<G>::template params<
                typename reference<T>::storage>& p) {
  for (int i = 0; i < p.tx.n; ++i) {
    T* row = p.ty.data + i * (G.in + G.kernels);
    std::copy_n(p.tx.data + i * G.in, G.in, row);
    for (int b = 0; b < G.kernels; ++b) {
      double sum = 0;
      for (int j = 0; j < p.tx.n; ++j)
        if (j != i)
          sum -= detail::exact_similarity<G>(p.m.data, i, j, b) *
                 detail::distance_slope<G>(p.m.data, p.tm.data, i, j, b);
      row[G.in + b] = static_cast<T>(sum);
    }
  }
}

template <class T, minibatch_geometry G>
void launch(reference<T>&, ops::minibatch_similarity_second_order<G>,
            const typename ops::minibatch_similarity_second_order<G>::template params<
                typename reference<T>::storage>& p) {
  constexpr int width = G.in + G.kernels;
  const auto both = [](const auto& y, int i, int j, int b) {
    if (!y.data) return 0.0;
    return static_cast<double>(y.data[i * width + G.in + b]) +
           static_cast<double>(y.data[j * width + G.in + b]);
  };
  for (int i = 0; i < p.m.n; ++i) {
    if (p.ex.data && p.ey.data) std::copy_n(p.ey.data + i * width, G.in, p.ex.data + i * G.in);
    for (int b = 0; b < G.kernels; ++b)
      for (int d = 0; d < G.dims; ++d) {
        double by_m = 0, by_tm = 0;
        for (int j = 0; j < p.m.n; ++j) {
          if (j == i) continue;
          const double slope = detail::exact_similarity<G>(p.m.data, i, j, b) *
                               detail::side<G>(p.m.data, i, j, b, d);
          const double g = both(p.gy, i, j, b);
          by_tm -= slope * g;
          by_m -= slope * (both(p.ey, i, j, b) -
                           g * detail::distance_slope<G>(p.m.data, p.tm.data, i, j, b));
        }
        const int at = (i * G.kernels + b) * G.dims + d;
        p.em.data[at] = static_cast<T>(by_m);
        p.etm.data[at] = static_cast<T>(by_tm);
      }
  }
}

}  // namespace gantry::backend
