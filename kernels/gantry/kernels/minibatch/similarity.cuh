// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Mini-batch discrimination (ops/minibatch.hpp): each result adds up over the other samples for
// itself, in their order. Similarities are computed again where they are needed.
#pragma once

#include "gantry/kernels/common/stream.cuh"
#include "gantry/kernels/minibatch/policy.hpp"

namespace gantry::inline v0::kernels {

/// Kernels rows of Dims numbers per sample, of samples with In features beside.
template <int In, int Kernels, int Dims>
struct similarity_shape {
  static constexpr int in = In, kernels = Kernels, width = In + Kernels, numbers = Kernels * Dims;

  __device__ static const float* row(const float* m, int i, int b) {
    return m + (static_cast<std::size_t>(i) * Kernels + b) * Dims;
  }
  __device__ static float side(float a, float b) { return a > b ? 1.0f : a < b ? -1.0f : 0.0f; }
  /// exp(-|M_ib - M_jb|_1).
  __device__ static float similarity(const float* m, int i, int j, int b) {
    const float *one = row(m, i, b), *other = row(m, j, b);
    float distance = 0;
    for (int d = 0; d < Dims; ++d) distance += fabsf(one[d] - other[d]);
    return expf(-distance);
  }
  /// The derivative of |M_ib - M_jb|_1 along tm.
  __device__ static float slope(const float* m, const float* tm, int i, int j, int b) {
    const float *one = row(m, i, b), *other = row(m, j, b);
    const float *t_one = row(tm, i, b), *t_other = row(tm, j, b);
    float sum = 0;
    for (int d = 0; d < Dims; ++d) sum += side(one[d], other[d]) * (t_one[d] - t_other[d]);
    return sum;
  }
  /// What two samples have in a similarity of a batch of results y, together.
  __device__ static float both(const float* y, int i, int j, int b) {
    return y[static_cast<std::size_t>(i) * width + In + b] +
           y[static_cast<std::size_t>(j) * width + In + b];
  }
};

/// [x, o], or [tx, to] where tm is given.
template <class Shape>
struct similarity_body {
  const float *x, *m, *tm;
  float* y;
  int n;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t at) const {
    const int i = static_cast<int>(at / Shape::width), column = static_cast<int>(at % Shape::width);
    if (column < Shape::in) {
      y[at] = x[static_cast<std::size_t>(i) * Shape::in + column];
      return;
    }
    const int b = column - Shape::in;
    float sum = 0;
    for (int j = 0; j < n; ++j) {
      if (j == i) continue;
      const float c = Shape::similarity(m, i, j, b);
      sum += tm ? -c * Shape::slope(m, tm, i, j, b) : c;
    }
    y[at] = sum;
  }
};

/// The gradients by M and by its tangent, or only the former for dy (as ey) where gy is null;
/// behind them the part of ey that belongs to x, where dx is given.
template <class Shape, int Dims>
struct similarity_gradient_body {
  const float *m, *tm, *gy, *ey;  ///< ey may be null where gy is not
  float *dm, *dtm, *dx;
  int n;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t at) const {
    const std::size_t of_m = static_cast<std::size_t>(n) * Shape::numbers;
    if (at >= of_m) {
      const std::size_t k = at - of_m;
      dx[k] = ey[k / Shape::in * Shape::width + k % Shape::in];
      return;
    }
    const int i = static_cast<int>(at / Shape::numbers), d = static_cast<int>(at % Dims);
    const int b = static_cast<int>(at / Dims % Shape::kernels);
    float by_m = 0, by_tm = 0;
    for (int j = 0; j < n; ++j) {
      if (j == i) continue;
      const float side = Shape::side(m[at], Shape::row(m, j, b)[d]);
      const float c = Shape::similarity(m, i, j, b) * side;
      if (ey) by_m -= c * Shape::both(ey, i, j, b);
      if (!gy) continue;
      const float g = c * Shape::both(gy, i, j, b);
      by_tm -= g;
      by_m += g * Shape::slope(m, tm, i, j, b);
    }
    dm[at] = by_m;
    if (gy) dtm[at] = by_tm;
  }
};

}  // namespace gantry::kernels
