// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>

#include "gantry/backend/reference/backend.hpp"
#include "gantry/ops/penalty.hpp"

namespace gantry::inline v0::backend {

template <class T, hwc Shape, class Function>
void launch(reference<T>&, ops::gradient_penalty<Shape, Function>,
            const typename ops::gradient_penalty<Shape, Function>::template params<
                typename reference<T>::storage>& p) {
  const double share = static_cast<double>(p.weight) / p.g.n;
  double sum = 0;
  for (int i = 0; i < p.g.n; ++i) {
    const T* g = p.g.data + static_cast<std::size_t>(i) * Shape.size();
    T* v = p.v.data + static_cast<std::size_t>(i) * Shape.size();
    double square = 0;
    for (int k = 0; k < Shape.size(); ++k) square += static_cast<double>(g[k]) * g[k];
    const double factor = share * p.f.factor(square);
    sum += share * p.f.value(square);
    for (int k = 0; k < Shape.size(); ++k) v[k] = static_cast<T>(factor * g[k]);
  }
  *p.sum += static_cast<T>(sum);
}

template <class T, hwc Shape>
void launch(
    reference<T>&, ops::interpolate<Shape>,
    const typename ops::interpolate<Shape>::template params<typename reference<T>::storage>& p) {
  for (int i = 0; i < p.y.n; ++i) {
    const T u = static_cast<T>(uniform_at(p.stream, static_cast<std::size_t>(i)));
    for (int k = 0; k < Shape.size(); ++k) {
      const std::size_t at = static_cast<std::size_t>(i) * Shape.size() + k;
      p.y.data[at] = u * p.a.data[at] + (T(1) - u) * p.b.data[at];
    }
  }
}

template <class T, hwc Shape>
void launch(
    reference<T>&, ops::perturb<Shape>,
    const typename ops::perturb<Shape>::template params<typename reference<T>::storage>& p) {
  const std::size_t count = nhwc::elements(Shape, p.x.n);
  double mean = 0, square = 0;
  for (std::size_t i = 0; i < count; ++i) mean += p.x.data[i] / static_cast<double>(count);
  for (std::size_t i = 0; i < count; ++i) square += (p.x.data[i] - mean) * (p.x.data[i] - mean);
  const T reach = static_cast<T>(p.radius * std::sqrt(square / static_cast<double>(count)));
  const std::size_t first = 4 * static_cast<std::size_t>(p.x.n);
  for (std::size_t j = 0; j < count; ++j)
    p.y.data[j] = p.x.data[j] + reach * static_cast<T>(uniform_at(p.stream, j / Shape.size())) *
                                    static_cast<T>(uniform_at(p.stream, first + j));
}

}  // namespace gantry::backend
