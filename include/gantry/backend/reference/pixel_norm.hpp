// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>

#include "gantry/backend/reference/backend.hpp"
#include "gantry/ops/pixel_norm.hpp"

namespace gantry::inline v0::backend {

namespace detail {

/// The mean over a pixel's channels of term(channel).
template <hwc Shape, class Term>
double channel_mean(Term&& term) {
  double sum = 0;
  for (int c = 0; c < Shape.c; ++c) sum += term(c);
  return sum / Shape.c;
}

/// Calls f(first number, q) for every pixel.
template <hwc Shape, class T, class F>
void for_each_normal_pixel(const T* x, int n, double epsilon, F&& f) {
  for (std::size_t row = 0; row < static_cast<std::size_t>(n) * Shape.pixels(); ++row) {
    const std::size_t at = row * Shape.c;
    const double square =
        channel_mean<Shape>([&](int c) { return static_cast<double>(x[at + c]) * x[at + c]; });
    f(at, 1.0 / std::sqrt(square + epsilon));
  }
}

}  // namespace detail

template <class T, hwc Shape>
void launch(
    reference<T>&, ops::pixel_norm_forward<Shape>,
    const typename ops::pixel_norm_forward<Shape>::template params<typename reference<T>::storage>&
        p) {
  detail::for_each_normal_pixel<Shape>(p.x.data, p.x.n, p.epsilon, [&](std::size_t at, double q) {
    for (int c = 0; c < Shape.c; ++c) p.y.data[at + c] = static_cast<T>(p.x.data[at + c] * q);
  });
}

template <class T, hwc Shape>
void launch(reference<T>&, ops::pixel_norm_derivative<Shape>,
            const typename ops::pixel_norm_derivative<Shape>::template params<
                typename reference<T>::storage>& p) {
  detail::for_each_normal_pixel<Shape>(p.x.data, p.x.n, p.epsilon, [&](std::size_t at, double q) {
    const T *x = p.x.data + at, *dy = p.dy.data + at;
    const double with_u = detail::channel_mean<Shape>([&](int c) { return x[c] * q * dy[c]; });
    for (int c = 0; c < Shape.c; ++c)
      p.dx.data[at + c] = static_cast<T>(q * (dy[c] - x[c] * q * with_u));
  });
}

template <class T, hwc Shape>
void launch(reference<T>&, ops::pixel_norm_second_order<Shape>,
            const typename ops::pixel_norm_second_order<Shape>::template params<
                typename reference<T>::storage>& p) {
  detail::for_each_normal_pixel<Shape>(p.x.data, p.x.n, p.epsilon, [&](std::size_t at, double q) {
    const T *tx = p.tx.data + at, *gy = p.gy.data + at;
    const auto u = [&](int c) { return p.x.data[at + c] * q; };
    const auto e = [&](int c) { return p.ey.data ? static_cast<double>(p.ey.data[at + c]) : 0.0; };
    const double b = detail::channel_mean<Shape>([&](int c) { return u(c) * tx[c]; });
    const double g_u = detail::channel_mean<Shape>([&](int c) { return u(c) * gy[c]; });
    const double g_tx =
        detail::channel_mean<Shape>([&](int c) { return static_cast<double>(gy[c]) * tx[c]; });
    const double e_u = detail::channel_mean<Shape>([&](int c) { return u(c) * e(c); });
    for (int c = 0; c < Shape.c; ++c) {
      const double bend = g_u * tx[c] + b * gy[c] + u(c) * (g_tx - 3 * b * g_u);
      p.ex.data[at + c] = static_cast<T>(q * (e(c) - u(c) * e_u) - q * q * bend);
    }
  });
}

}  // namespace gantry::backend
