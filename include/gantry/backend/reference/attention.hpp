// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "gantry/backend/reference/backend.hpp"
#include "gantry/ops/attention.hpp"

namespace gantry::inline v0::backend {

namespace detail {

/// One sample as q, k and v, rows of a projected sample; and sums over all pairs of pixels.
template <attention_geometry G, class T>
struct attention_rows {
  static constexpr int positions = G.positions();
  T* data;

  attention_rows(T* batch, int sample)
      : data(batch + static_cast<std::size_t>(sample) * G.projected().size()) {}
  [[nodiscard]] T* q(int i) const { return data + i * G.projected().c; }
  [[nodiscard]] T* k(int j) const { return q(j) + G.keys; }
  [[nodiscard]] T* v(int j) const { return q(j) + 2 * G.keys; }
};

template <class A, class B>
double inner_product(const A* a, const B* b, int n) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

/// y += factor x.
template <class A, class B>
void add_scaled(double factor, const A* x, B* y, int n) {
  for (int i = 0; i < n; ++i) y[i] += static_cast<B>(factor * static_cast<double>(x[i]));
}

/// Row i of the softmax.
template <attention_geometry G, class T>
std::vector<double> attention_row(const attention_rows<G, const T>& x, const T* normaliser, int i) {
  std::vector<double> row(static_cast<std::size_t>(G.positions()));
  for (int j = 0; j < G.positions(); ++j)
    row[static_cast<std::size_t>(j)] =
        std::exp(inner_product(x.q(i), x.k(j), G.keys) - static_cast<double>(normaliser[i]));
  return row;
}

}  // namespace detail

template <class T, attention_geometry G>
void launch(
    reference<T>&, ops::attention_forward<G>,
    const typename ops::attention_forward<G>::template params<typename reference<T>::storage>& p) {
  constexpr int positions = G.positions();
  for (int s = 0; s < p.x.n; ++s) {
    const detail::attention_rows<G, const T> x(p.x.data, s);
    T* y = p.y.data + static_cast<std::size_t>(s) * G.result().size();
    T* normaliser = p.normaliser + static_cast<std::size_t>(s) * positions;
    for (int i = 0; i < positions; ++i) {
      std::vector<double> score(static_cast<std::size_t>(positions));
      for (int j = 0; j < positions; ++j)
        score[static_cast<std::size_t>(j)] = detail::inner_product(x.q(i), x.k(j), G.keys);
      const double largest = *std::ranges::max_element(score);
      double sum = 0;
      for (const double value : score) sum += std::exp(value - largest);
      normaliser[i] = static_cast<T>(largest + std::log(sum));
      std::vector<double> result(static_cast<std::size_t>(G.values));
      for (int j = 0; j < positions; ++j)
        detail::add_scaled(std::exp(score[static_cast<std::size_t>(j)] - largest) / sum, x.v(j),
                           result.data(), G.values);
      std::ranges::transform(result, y + i * G.values, [](double v) { return static_cast<T>(v); });
    }
  }
}

template <class T, attention_geometry G>
void launch(
    reference<T>&, ops::attention_backward<G>,
    const typename ops::attention_backward<G>::template params<typename reference<T>::storage>& p) {
  constexpr int positions = G.positions();
  std::fill_n(p.dx.data, nhwc::elements(G.projected(), p.x.n), T(0));
  for (int s = 0; s < p.x.n; ++s) {
    const detail::attention_rows<G, const T> x(p.x.data, s);
    const detail::attention_rows<G, T> dx(p.dx.data, s);
    const T* dy = p.dy.data + static_cast<std::size_t>(s) * G.result().size();
    for (int i = 0; i < positions; ++i) {
      const auto weight =
          detail::attention_row<G, T>(x, p.normaliser + static_cast<std::size_t>(s) * positions, i);
      const T* u = dy + i * G.values;
      double mean = 0;
      for (int j = 0; j < positions; ++j)
        mean += weight[static_cast<std::size_t>(j)] * detail::inner_product(u, x.v(j), G.values);
      for (int j = 0; j < positions; ++j) {
        const double w = weight[static_cast<std::size_t>(j)];
        const double slope = w * (detail::inner_product(u, x.v(j), G.values) - mean);
        detail::add_scaled(w, u, dx.v(j), G.values);
        detail::add_scaled(slope, x.k(j), dx.q(i), G.keys);
        detail::add_scaled(slope, x.q(i), dx.k(j), G.keys);
      }
    }
  }
}

template <class T, attention_geometry G>
void launch(
    reference<T>&, ops::attention_tangent<G>,
    const typename ops::attention_tangent<G>::template params<typename reference<T>::storage>& p) {
  constexpr int positions = G.positions();
  std::fill_n(p.ty.data, nhwc::elements(G.result(), p.x.n), T(0));
  for (int s = 0; s < p.x.n; ++s) {
    const detail::attention_rows<G, const T> x(p.x.data, s), t(p.tx.data, s);
    for (int i = 0; i < positions; ++i) {
      const auto weight =
          detail::attention_row<G, T>(x, p.normaliser + static_cast<std::size_t>(s) * positions, i);
      T* ty = p.ty.data + static_cast<std::size_t>(s) * G.result().size() + i * G.values;
      const auto score = [&](int j) {
        return detail::inner_product(t.q(i), x.k(j), G.keys) +
               detail::inner_product(x.q(i), t.k(j), G.keys);
      };
      double mean = 0;
      for (int j = 0; j < positions; ++j) mean += weight[static_cast<std::size_t>(j)] * score(j);
      for (int j = 0; j < positions; ++j) {
        const double w = weight[static_cast<std::size_t>(j)];
        detail::add_scaled(w * (score(j) - mean), x.v(j), ty, G.values);
        detail::add_scaled(w, t.v(j), ty, G.values);
      }
    }
  }
}

/// With weights B, their tangent B (T - c) and what multiplies both, F = sum B (T - c) A + B M: the
/// derivatives by A's, T's and B's parts, the last through the softmax.
template <class T, attention_geometry G>
void launch(
    reference<T>&, ops::attention_second_order<G>,
    const typename ops::attention_second_order<G>::template params<typename reference<T>::storage>&
        p) {
  constexpr int positions = G.positions();
  std::fill_n(p.ex.data, nhwc::elements(G.projected(), p.x.n), T(0));
  const std::vector<T> zeros(static_cast<std::size_t>(G.values));
  for (int s = 0; s < p.x.n; ++s) {
    const detail::attention_rows<G, const T> x(p.x.data, s), t(p.tx.data, s);
    const detail::attention_rows<G, T> ex(p.ex.data, s);
    for (int i = 0; i < positions; ++i) {
      const std::size_t at = static_cast<std::size_t>(s) * G.result().size() + i * G.values;
      const T *u = p.gy.data + at, *e = p.ey.data ? p.ey.data + at : zeros.data();
      const auto weight =
          detail::attention_row<G, T>(x, p.normaliser + static_cast<std::size_t>(s) * positions, i);
      std::vector<double> slope(weight.size()), factor(weight.size()), both(weight.size());
      double mean_slope = 0, mean_factor = 0, mean = 0;
      for (int j = 0; j < positions; ++j) {
        const auto k = static_cast<std::size_t>(j);
        slope[k] = detail::inner_product(t.q(i), x.k(j), G.keys) +
                   detail::inner_product(x.q(i), t.k(j), G.keys);
        factor[k] = detail::inner_product(u, x.v(j), G.values);
        mean_slope += weight[k] * slope[k];
        mean_factor += weight[k] * factor[k];
      }
      for (int j = 0; j < positions; ++j) {
        const auto k = static_cast<std::size_t>(j);
        both[k] = slope[k] * factor[k] - mean_slope * factor[k] - mean_factor * slope[k] +
                  detail::inner_product(u, t.v(j), G.values) +
                  detail::inner_product(e, x.v(j), G.values);
        mean += weight[k] * both[k];
      }
      for (int j = 0; j < positions; ++j) {
        const auto k = static_cast<std::size_t>(j);
        const double by_slope = weight[k] * (factor[k] - mean_factor),
                     by_score = weight[k] * (both[k] - mean);
        detail::add_scaled(by_slope, t.k(j), ex.q(i), G.keys);
        detail::add_scaled(by_score, x.k(j), ex.q(i), G.keys);
        detail::add_scaled(by_slope, t.q(i), ex.k(j), G.keys);
        detail::add_scaled(by_score, x.q(i), ex.k(j), G.keys);
        detail::add_scaled(weight[k] * (slope[k] - mean_slope), u, ex.v(j), G.values);
        detail::add_scaled(weight[k], e, ex.v(j), G.values);
      }
    }
  }
}

template <class T>
void launch(reference<T>&, ops::scaled_copy,
            const ops::scaled_copy::params<typename reference<T>::storage>& p) {
  for (std::size_t i = 0; i < p.count; ++i) p.y[i] = *p.scale * p.x[i];
}

template <class T>
void launch(reference<T>&, ops::scaled_copy_gradient,
            const ops::scaled_copy_gradient::params<typename reference<T>::storage>& p) {
  double sum = *p.dscale;
  for (std::size_t i = 0; i < p.count; ++i) {
    sum += static_cast<double>(p.dy[i]) * p.x[i];
    p.dx[i] += *p.scale * p.dy[i];
  }
  *p.dscale = static_cast<T>(sum);
}

}  // namespace gantry::backend
