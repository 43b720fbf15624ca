// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Power iteration on two threads: a piece is a range of columns (W^T u) or of rows (W v), so that
// sums do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "gantry/backend/cpu/backend.hpp"
#include "gantry/ops/spectral_norm.hpp"

namespace gantry::inline v0::backend {

namespace detail {

inline constexpr int spectral_lanes = 16;

inline float dot(const float* a, const float* b, int n) {
  float lanes[spectral_lanes] = {};
  int i = 0;
  for (; i + spectral_lanes <= n; i += spectral_lanes)
    for (int j = 0; j < spectral_lanes; ++j) lanes[j] += a[i + j] * b[i + j];
  double sum = 0;
  for (; i < n; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  for (const float lane : lanes) sum += static_cast<double>(lane);
  return static_cast<float>(sum);
}

inline void normalise(float* x, int n, float epsilon) {
  const float norm = std::max(std::sqrt(dot(x, x, n)), epsilon);
  for (int i = 0; i < n; ++i) x[i] /= norm;
}

/// to = W^T u.
template <int Rows, int Columns, kernel_set K>
void transposed_product(basic_cpu<K>& b, const float* weight, const float* u, float* to) {
  b.split(Columns, 256, [=](std::size_t begin, std::size_t end) {
    std::fill(to + begin, to + end, 0.0f);
    for (int r = 0; r < Rows; ++r) {
      const float factor = u[r];
      const float* row = weight + static_cast<std::size_t>(r) * Columns;
      for (std::size_t c = begin; c < end; ++c) to[c] += factor * row[c];
    }
  });
}

/// to = W v.
template <int Rows, int Columns, kernel_set K>
void product(basic_cpu<K>& b, const float* weight, const float* v, float* to) {
  b.split(Rows, 8, [=](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) to[r] = dot(weight + r * Columns, v, Columns);
  });
}

}  // namespace detail

template <kernel_set K, int Rows, int Columns>
void launch(basic_cpu<K>& b, ops::spectral_normalise<Rows, Columns>,
            const typename ops::spectral_normalise<Rows, Columns>::template params<
                typename basic_cpu<K>::storage>& p) {
  if (p.iterate) {
    detail::transposed_product<Rows, Columns>(b, p.weight, p.u, p.v);
    detail::normalise(p.v, Columns, p.epsilon);
  }
  // saved_u holds W v until u is known.
  detail::product<Rows, Columns>(b, p.weight, p.v, p.saved_u);
  if (p.iterate) {
    std::copy_n(p.saved_u, Rows, p.u);
    detail::normalise(p.u, Rows, p.epsilon);
  }
  const float sigma = detail::dot(p.u, p.saved_u, Rows), inverse = 1.0f / sigma;
  *p.sigma = sigma;
  std::copy_n(p.u, Rows, p.saved_u);
  std::copy_n(p.v, Columns, p.saved_v);
  b.split(static_cast<std::size_t>(Rows) * Columns, 16384,
          [q = p, inverse](std::size_t begin, std::size_t end) {
            const auto own = q;
            for (std::size_t i = begin; i < end; ++i) own.scaled[i] = own.weight[i] * inverse;
          });
}

/// The projection is summed row by row and then over rows, in a fixed order.
template <kernel_set K, int Rows, int Columns>
void launch(basic_cpu<K>& b, ops::spectral_gradient<Rows, Columns>,
            const typename ops::spectral_gradient<Rows, Columns>::template params<
                typename basic_cpu<K>::storage>& p) {
  float* parts = scratch(scratch_use::op, Rows);
  b.split(Rows, 8, [=](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r)
      parts[r] = detail::dot(p.gradient + r * Columns, p.scaled + r * Columns, Columns);
  });
  double along = 0;
  for (int r = 0; r < Rows; ++r) along += static_cast<double>(parts[r]);
  const float inverse = 1.0f / *p.sigma, back = static_cast<float>(along) * inverse;
  b.split(Rows, 8, [=](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      const float factor = back * p.u[r];
      const float *g = p.gradient + r * Columns, *v = p.v;
      float* d = p.dweight + r * Columns;
      for (int c = 0; c < Columns; ++c) d[c] += inverse * g[c] - factor * v[c];
    }
  });
}

}  // namespace gantry::backend
