// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Normalisation of a pixel's channels and its derivatives, see ops/pixel_norm.hpp: a row is a
// pixel.
#pragma once

#include "gantry/kernels/common/rows.cuh"
#include "gantry/kernels/pixel_norm/policy.hpp"

namespace gantry::inline v0::kernels {

/// q = 1 / sqrt(mean(x^2) + epsilon).
template <int C>
__device__ double pixel_factor(double square, float epsilon) {
  return 1.0 / sqrt(square / C + epsilon);
}

template <int C>
struct pixel_norm_forward_body {
  static constexpr int sums = 1, terms = C, results = C;
  const float* x;
  float* y;
  int rows;
  float epsilon;

  __device__ void add(int row, int k, float (&s)[1]) const {
    const float v = x[static_cast<std::size_t>(row) * C + k];
    s[0] += v * v;
  }
  __device__ float facts(int, const row_sums<1>& s) const {
    return static_cast<float>(pixel_factor<C>(s.v[0], epsilon));
  }
  __device__ void write(int row, int k, float q) const {
    const std::size_t i = static_cast<std::size_t>(row) * C + k;
    y[i] = q * x[i];
  }
};

/// dx = q (dy - u mean(u dy)).
template <int C>
struct pixel_norm_derivative_body {
  static constexpr int sums = 2, terms = C, results = C;
  struct factors {
    float q, by_x;  ///< dx = q dy - by_x x
  };
  const float *x, *dy;
  float* dx;
  int rows;
  float epsilon;

  __device__ void add(int row, int k, float (&s)[2]) const {
    const std::size_t i = static_cast<std::size_t>(row) * C + k;
    s[0] += x[i] * x[i];
    s[1] += x[i] * dy[i];
  }
  __device__ factors facts(int, const row_sums<2>& s) const {
    const double q = pixel_factor<C>(s.v[0], epsilon);
    return {static_cast<float>(q), static_cast<float>(q * q * q * s.v[1] / C)};
  }
  __device__ void write(int row, int k, const factors& f) const {
    const std::size_t i = static_cast<std::size_t>(row) * C + k;
    dx[i] = f.q * dy[i] - f.by_x * x[i];
  }
};

/// ex, a sum of ey, tx, gy and x with factors per pixel.
template <int C>
struct pixel_norm_bend_body {
  static constexpr int sums = 5, terms = C, results = C;
  struct factors {
    float q, by_tx, by_gy, by_x;
  };
  const float *x, *tx, *gy, *ey;  ///< ey null: 0
  float* ex;
  int rows;
  float epsilon;

  __device__ void add(int row, int k, float (&s)[5]) const {
    const std::size_t i = static_cast<std::size_t>(row) * C + k;
    s[0] += x[i] * x[i];
    s[1] += x[i] * tx[i];
    s[2] += x[i] * gy[i];
    s[3] += gy[i] * tx[i];
    if (ey) s[4] += x[i] * ey[i];
  }
  __device__ factors facts(int, const row_sums<5>& s) const {
    const double q = pixel_factor<C>(s.v[0], epsilon), square = q * q;
    const double b = q * s.v[1] / C, c = q * s.v[2] / C, e = q * s.v[4] / C;
    const double by_u = q * e + square * (s.v[3] / C - 3 * b * c);
    return {static_cast<float>(q), static_cast<float>(square * c), static_cast<float>(square * b),
            static_cast<float>(q * by_u)};
  }
  __device__ void write(int row, int k, const factors& f) const {
    const std::size_t i = static_cast<std::size_t>(row) * C + k;
    const float beside = ey ? f.q * ey[i] : 0.0f;
    ex[i] = beside - f.by_tx * tx[i] - f.by_gy * gy[i] - f.by_x * x[i];
  }
};

}  // namespace gantry::kernels
