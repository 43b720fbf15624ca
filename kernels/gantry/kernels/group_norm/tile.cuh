// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Group normalisation and its derivatives (ops/group_norm.hpp): the sums of a group and what
// follows from them in one launch, a row being a group of a sample; sums per channel for the
// parameters' gradients in another.
#pragma once

#include "gantry/kernels/common/columns.cuh"
#include "gantry/kernels/common/rows.cuh"
#include "gantry/kernels/group_norm/policy.hpp"

namespace gantry::inline v0::kernels {

/// Where the numbers of a group are.
template <int Pixels, int C, int Groups>
struct group_shape {
  static constexpr int channels = C / Groups, size = Pixels * channels, pixels = Pixels;

  __device__ static int channel(int row, int k) { return row % Groups * channels + k % channels; }
  __device__ static std::size_t at(int row, int k) {
    const std::size_t pixel = static_cast<std::size_t>(row / Groups) * Pixels + k / channels;
    return pixel * C + channel(row, k);
  }
};

struct group_statistics {
  float mean, inverse_deviation;
};

/// y and the statistics. Numbers are taken relative to the group's first one, so that a large mean
/// does not swallow a small variance.
template <class Shape>
struct group_norm_forward_body {
  static constexpr int sums = 2, terms = Shape::size, results = Shape::size;
  const float *x, *gamma, *beta;
  float *mean, *inverse_deviation, *y;
  int rows;
  float epsilon;

  __device__ void add(int row, int k, float (&s)[2]) const {
    const float d = x[Shape::at(row, k)] - x[Shape::at(row, 0)];
    s[0] += d;
    s[1] += d * d;
  }
  __device__ group_statistics facts(int row, const row_sums<2>& s) const {
    const double offset = s.v[0] / Shape::size, raw = s.v[1] / Shape::size - offset * offset;
    const double variance = raw < 0 ? 0 : raw;  // a rounding below 0; NaN stays
    return {static_cast<float>(x[Shape::at(row, 0)] + offset),
            static_cast<float>(1.0 / sqrt(variance + epsilon))};
  }
  __device__ void write(int row, int k, const group_statistics& f) const {
    const std::size_t i = Shape::at(row, k);
    const int c = Shape::channel(row, k);
    y[i] = (x[i] - f.mean) * f.inverse_deviation * gamma[c] + beta[c];
  }
  __device__ void finish(int row, const group_statistics& f) const {
    mean[row] = f.mean;
    inverse_deviation[row] = f.inverse_deviation;
  }
};

/// dx for dy, or with `is_tangent` ty for tx: gamma multiplies the result then.
template <class Shape>
struct group_norm_derivative_body {
  static constexpr int sums = 2, terms = Shape::size, results = Shape::size;
  struct means {
    float plain, with_u;
  };
  const float *x, *dy, *gamma, *mean, *inverse_deviation;
  float* dx;
  int rows;
  bool is_tangent;

  __device__ float u(int row, std::size_t i) const {
    return (x[i] - mean[row]) * inverse_deviation[row];
  }
  __device__ float input(int row, int k, std::size_t i) const {
    return is_tangent ? dy[i] : gamma[Shape::channel(row, k)] * dy[i];
  }
  __device__ void add(int row, int k, float (&s)[2]) const {
    const std::size_t i = Shape::at(row, k);
    const float d = input(row, k, i);
    s[0] += d;
    s[1] += d * u(row, i);
  }
  __device__ means facts(int, const row_sums<2>& s) const {
    return {static_cast<float>(s.v[0] / Shape::size), static_cast<float>(s.v[1] / Shape::size)};
  }
  __device__ void write(int row, int k, const means& m) const {
    const std::size_t i = Shape::at(row, k);
    const float moved =
        inverse_deviation[row] * (input(row, k, i) - m.plain - u(row, i) * m.with_u);
    dx[i] = is_tangent ? gamma[Shape::channel(row, k)] * moved : moved;
  }
};

/// ex, see ops::group_norm_second_order; keeps the means of tx and u tx for the parameters.
template <class Shape>
struct group_norm_bend_body {
  static constexpr int sums = 7, terms = Shape::size;
  struct means {
    float a, b, c, g, g_tx, e, e_u;
  };
  const float *x, *tx, *gy, *ey, *gamma, *mean, *inverse_deviation;
  float *ex, *tangent_means;  ///< the latter [row][2]
  int rows, results;          ///< no results where ex is null

  struct inputs {
    float u, tx, g, e;
  };
  __device__ inputs of(int row, int k) const {
    const std::size_t i = Shape::at(row, k);
    const float factor = gamma[Shape::channel(row, k)];
    return {(x[i] - mean[row]) * inverse_deviation[row], tx[i], factor * gy[i],
            ey ? factor * ey[i] : 0.0f};
  }
  __device__ void add(int row, int k, float (&s)[7]) const {
    const inputs v = of(row, k);
    s[0] += v.tx;
    s[1] += v.u * v.tx;
    s[2] += v.u * v.g;
    s[3] += v.g;
    s[4] += v.g * v.tx;
    s[5] += v.e;
    s[6] += v.e * v.u;
  }
  __device__ means facts(int, const row_sums<7>& s) const {
    const auto m = [&](int k) { return static_cast<float>(s.v[k] / Shape::size); };
    return {m(0), m(1), m(2), m(3), m(4), m(5), m(6)};
  }
  __device__ void write(int row, int k, const means& m) const {
    const inputs v = of(row, k);
    const float r = inverse_deviation[row];
    const float bend =
        m.c * (v.tx - m.a) + m.b * (v.g - m.g) + v.u * (m.g_tx - m.a * m.g - 3.0f * m.b * m.c);
    ex[Shape::at(row, k)] = r * (v.e - m.e - v.u * m.e_u) - r * r * bend;
  }
  __device__ void finish(int row, const means& m) const {
    tangent_means[2 * row] = m.a;
    tangent_means[2 * row + 1] = m.b;
  }
};

/// dgamma += the sums of dy u, dbeta += those of dy; of the second order where tx is given: the
/// sums of gy tu + ey u and of ey.
template <class Shape, int C, int Groups>
struct group_parameters_body {
  static constexpr int sums = 2;
  const float *x, *dy, *mean, *inverse_deviation;  ///< dy null: 0
  const float *tx, *gy, *tangent_means;            ///< null together
  float *dgamma, *dbeta;

  __device__ void add(int pixel, int channel, float (&s)[2]) const {
    const std::size_t i = static_cast<std::size_t>(pixel) * C + channel;
    const int row = pixel / Shape::pixels * Groups + channel / Shape::channels;
    const float r = inverse_deviation[row], u = (x[i] - mean[row]) * r;
    if (dy) {
      s[0] += dy[i] * u;
      s[1] += dy[i];
    }
    if (tx) s[0] += gy[i] * r * (tx[i] - tangent_means[2 * row] - u * tangent_means[2 * row + 1]);
  }
  __device__ void finish(int channel, const channel_terms<2>& s) const {
    dgamma[channel] += static_cast<float>(s.v[0]);
    dbeta[channel] += static_cast<float>(s.v[1]);
  }
};

}  // namespace gantry::kernels
