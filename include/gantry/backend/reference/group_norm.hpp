// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>

#include "gantry/backend/reference/backend.hpp"
#include "gantry/ops/group_norm.hpp"

namespace gantry::inline v0::backend {

namespace detail {

/// Calls f(index, channel) for every number of group g of sample i.
template <hwc Shape, int Groups, class F>
void for_each_of_group(int i, int g, F&& f) {
  constexpr int channels = Shape.c / Groups;
  const std::size_t first = static_cast<std::size_t>(i) * Shape.size();
  for (int pixel = 0; pixel < Shape.pixels(); ++pixel)
    for (int c = g * channels; c < (g + 1) * channels; ++c)
      f(first + static_cast<std::size_t>(pixel) * Shape.c + c, c);
}

/// Calls f(sample, group, place of their statistics).
template <int Groups, class F>
void for_each_group(int n, F&& f) {
  for (int i = 0; i < n; ++i)
    for (int g = 0; g < Groups; ++g) f(i, g, i * Groups + g);
}

/// Numbers of a group, as a divisor.
template <hwc Shape, int Groups>
inline constexpr double group_size = static_cast<double>(Shape.size()) / Groups;

}  // namespace detail

template <class T, hwc Shape, int Groups>
void launch(reference<T>&, ops::group_norm_forward<Shape, Groups>,
            const typename ops::group_norm_forward<Shape, Groups>::template params<
                typename reference<T>::storage>& p) {
  constexpr double count = detail::group_size<Shape, Groups>;
  detail::for_each_group<Groups>(p.x.n, [&](int i, int g, int at) {
    double sum = 0, square = 0;
    detail::for_each_of_group<Shape, Groups>(i, g, [&](std::size_t k, int) { sum += p.x.data[k]; });
    const double mean = sum / count;
    detail::for_each_of_group<Shape, Groups>(
        i, g, [&](std::size_t k, int) { square += (p.x.data[k] - mean) * (p.x.data[k] - mean); });
    const double inverse = 1.0 / std::sqrt(square / count + p.epsilon);
    detail::for_each_of_group<Shape, Groups>(i, g, [&](std::size_t k, int c) {
      p.y.data[k] = static_cast<T>((p.x.data[k] - mean) * inverse * p.gamma[c] + p.beta[c]);
    });
    p.saved_mean[at] = static_cast<T>(mean);
    p.saved_inverse_deviation[at] = static_cast<T>(inverse);
  });
}

template <class T, hwc Shape, int Groups>
void launch(reference<T>&, ops::group_norm_backward<Shape, Groups>,
            const typename ops::group_norm_backward<Shape, Groups>::template params<
                typename reference<T>::storage>& p) {
  constexpr double count = detail::group_size<Shape, Groups>;
  detail::for_each_group<Groups>(p.x.n, [&](int i, int g, int at) {
    const double mean = p.saved_mean[at], inverse = p.saved_inverse_deviation[at];
    double sum = 0, with_u = 0;
    detail::for_each_of_group<Shape, Groups>(i, g, [&](std::size_t k, int c) {
      const double u = (p.x.data[k] - mean) * inverse;
      const double dy = p.dy.data[k];
      sum += p.gamma[c] * dy;
      with_u += p.gamma[c] * dy * u;
      if (!p.dgamma) return;
      p.dgamma[c] += static_cast<T>(dy * u);
      p.dbeta[c] += static_cast<T>(dy);
    });
    if (!p.dx.data) return;
    detail::for_each_of_group<Shape, Groups>(i, g, [&](std::size_t k, int c) {
      const double u = (p.x.data[k] - mean) * inverse;
      p.dx.data[k] = static_cast<T>(inverse * (static_cast<double>(p.gamma[c]) * p.dy.data[k] -
                                               sum / count - u * with_u / count));
    });
  });
}

template <class T, hwc Shape, int Groups>
void launch(reference<T>&, ops::group_norm_tangent<Shape, Groups>,
            const typename ops::group_norm_tangent<Shape, Groups>::template params<
                typename reference<T>::storage>& p) {
  constexpr double count = detail::group_size<Shape, Groups>;
  detail::for_each_group<Groups>(p.x.n, [&](int i, int g, int at) {
    const double mean = p.saved_mean[at], inverse = p.saved_inverse_deviation[at];
    double sum = 0, with_u = 0;
    detail::for_each_of_group<Shape, Groups>(i, g, [&](std::size_t k, int) {
      sum += p.tx.data[k];
      with_u += p.tx.data[k] * (p.x.data[k] - mean) * inverse;
    });
    detail::for_each_of_group<Shape, Groups>(i, g, [&](std::size_t k, int c) {
      const double u = (p.x.data[k] - mean) * inverse;
      p.ty.data[k] =
          static_cast<T>(p.gamma[c] * inverse * (p.tx.data[k] - sum / count - u * with_u / count));
    });
  });
}

template <class T, hwc Shape, int Groups>
void launch(reference<T>&, ops::group_norm_second_order<Shape, Groups>,
            const typename ops::group_norm_second_order<Shape, Groups>::template params<
                typename reference<T>::storage>& p) {
  constexpr double count = detail::group_size<Shape, Groups>;
  detail::for_each_group<Groups>(p.x.n, [&](int i, int group, int at) {
    const double mean = p.saved_mean[at], r = p.saved_inverse_deviation[at];
    const auto each = [&](auto&& f) {  // f(place, channel, u, tx, g, e)
      detail::for_each_of_group<Shape, Groups>(i, group, [&](std::size_t k, int c) {
        const double gamma = p.gamma[c], e = p.ey.data ? gamma * p.ey.data[k] : 0.0;
        f(k, c, (p.x.data[k] - mean) * r, static_cast<double>(p.tx.data[k]), gamma * p.gy.data[k],
          e);
      });
    };
    double a = 0, b = 0, c = 0, g_mean = 0, g_tx = 0, e_mean = 0, e_u = 0;
    each([&](std::size_t, int, double u, double tx, double g, double e) {
      a += tx / count;
      b += u * tx / count;
      c += u * g / count;
      g_mean += g / count;
      g_tx += g * tx / count;
      e_mean += e / count;
      e_u += e * u / count;
    });
    each([&](std::size_t k, int channel, double u, double tx, double g, double e) {
      if (p.dgamma) {
        const double ey = p.ey.data ? static_cast<double>(p.ey.data[k]) : 0.0;
        p.dgamma[channel] += static_cast<T>(p.gy.data[k] * r * (tx - a - u * b) + ey * u);
        p.dbeta[channel] += static_cast<T>(ey);
      }
      if (!p.ex.data) return;
      const double bend = c * (tx - a) + b * (g - g_mean) + u * (g_tx - a * g_mean - 3 * b * c);
      p.ex.data[k] = static_cast<T>(r * (e - e_mean - u * e_u) - r * r * bend);
    });
  });
}

}  // namespace gantry::backend
