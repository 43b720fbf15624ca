// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>

#include "gantry/backend/reference/backend.hpp"
#include "gantry/ops/spectral_norm.hpp"

namespace gantry::inline v0::backend {

template <class T, int Rows, int Columns>
void launch(reference<T>&, ops::spectral_normalise<Rows, Columns>,
            const typename ops::spectral_normalise<Rows, Columns>::template params<
                typename reference<T>::storage>& p) {
  const auto normalise = [&](T* x, int n) {
    double square = 0;
    for (int i = 0; i < n; ++i) square += static_cast<double>(x[i]) * x[i];
    const double norm = std::max(std::sqrt(square), static_cast<double>(p.epsilon));
    for (int i = 0; i < n; ++i) x[i] = static_cast<T>(x[i] / norm);
  };
  const auto row = [&](int r) {
    double sum = 0;
    for (int c = 0; c < Columns; ++c)
      sum += static_cast<double>(p.weight[r * Columns + c]) * p.v[c];
    return sum;
  };
  if (p.iterate) {
    for (int c = 0; c < Columns; ++c) {
      double sum = 0;
      for (int r = 0; r < Rows; ++r) sum += static_cast<double>(p.weight[r * Columns + c]) * p.u[r];
      p.v[c] = static_cast<T>(sum);
    }
    normalise(p.v, Columns);
    for (int r = 0; r < Rows; ++r) p.u[r] = static_cast<T>(row(r));
    normalise(p.u, Rows);
  }
  double sigma = 0;
  for (int r = 0; r < Rows; ++r) sigma += p.u[r] * row(r);
  for (int i = 0; i < Rows * Columns; ++i) p.scaled[i] = static_cast<T>(p.weight[i] / sigma);
  std::copy_n(p.u, Rows, p.saved_u);
  std::copy_n(p.v, Columns, p.saved_v);
  *p.sigma = static_cast<T>(sigma);
}

template <class T, int Rows, int Columns>
void launch(reference<T>&, ops::spectral_gradient<Rows, Columns>,
            const typename ops::spectral_gradient<Rows, Columns>::template params<
                typename reference<T>::storage>& p) {
  double along = 0;
  for (int i = 0; i < Rows * Columns; ++i)
    along += static_cast<double>(p.gradient[i]) * p.scaled[i];
  for (int r = 0; r < Rows; ++r)
    for (int c = 0; c < Columns; ++c) {
      const int i = r * Columns + c;
      p.dweight[i] += static_cast<T>((p.gradient[i] - along * p.u[r] * p.v[c]) / *p.sigma);
    }
}

}  // namespace gantry::backend
