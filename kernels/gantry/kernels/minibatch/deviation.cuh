// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Mini-batch standard deviation (ops/minibatch_deviation.hpp): a row is a group of samples. Its
// statistics are computed again where they are needed: a group has few samples.
#pragma once

#include "gantry/kernels/common/rows.cuh"
#include "gantry/kernels/minibatch/policy.hpp"
#include "gantry/ops/minibatch_deviation.hpp"

namespace gantry::inline v0::kernels {

/// Samples of Pixels x C numbers in groups of up to Size.
template <int Pixels, int C, int Size>
struct deviation_shape {
  static constexpr int pixels = Pixels, channels = C, numbers = Pixels * C;
  struct statistics {
    float mean, deviation;
  };

  /// Where number k of a sample lies, and where the result's does, which has a channel more.
  __device__ static std::size_t at(int sample, int k) {
    return static_cast<std::size_t>(sample) * numbers + k;
  }
  __device__ static std::size_t wide_at(int sample, int k) {
    return (static_cast<std::size_t>(sample) * Pixels + k / C) * (C + 1) + k % C;
  }
  __device__ static std::size_t last_at(int sample, int pixel) {
    return (static_cast<std::size_t>(sample) * Pixels + pixel) * (C + 1) + C;
  }
  /// Of number k over a group.
  __device__ static statistics of(const float* x, int n, int group, int k) {
    const sample_groups groups{n, Size};
    const int step = groups.count();
    const auto members = static_cast<float>(groups.members(group));
    float sum = 0, square = 0;
    for (int i = group; i < n; i += step) sum += x[at(i, k)];
    const float mean = sum / members;
    for (int i = group; i < n; i += step) square += (x[at(i, k)] - mean) * (x[at(i, k)] - mean);
    return {mean, sqrtf(square / members + 1e-8f)};
  }
  /// The mean of (x - mean) tx over a group.
  __device__ static float slope(const float* x, const float* tx, int n, int group, int k,
                                float mean) {
    const sample_groups groups{n, Size};
    float sum = 0;
    for (int i = group; i < n; i += groups.count()) sum += (x[at(i, k)] - mean) * tx[at(i, k)];
    return sum / static_cast<float>(groups.members(group));
  }
};

/// y = x and the mean deviation; where tx is given ty = tx and the derivative of that.
template <class Shape, int Size>
struct deviation_body {
  static constexpr int sums = 1, terms = Shape::numbers, results = Shape::numbers;
  const float *x, *tx;
  float* y;
  int n, rows;

  __device__ void add(int group, int k, float (&s)[1]) const {
    const auto f = Shape::of(x, n, group, k);
    s[0] += tx ? Shape::slope(x, tx, n, group, k, f.mean) / f.deviation : f.deviation;
  }
  __device__ float facts(int, const row_sums<1>& s) const {
    return static_cast<float>(s.v[0] / Shape::numbers);
  }
  __device__ void write(int group, int k, float mean) const {
    const float* from = tx ? tx : x;
    for (int i = group; i < n; i += sample_groups{n, Size}.count()) {
      y[Shape::wide_at(i, k)] = from[Shape::at(i, k)];
      if (k < Shape::pixels) y[Shape::last_at(i, k)] = mean;
    }
  }
};

/// dx for dy (as ey, gy null), or ex.
template <class Shape, int Size>
struct deviation_gradient_body {
  static constexpr int sums = 2, terms = Shape::pixels, results = Shape::numbers;
  struct seeds {
    float a, e;
  };
  const float *x, *tx, *gy, *ey;  ///< ey may be null where gy is not
  float* dx;
  int n, rows;

  __device__ void add(int group, int pixel, float (&s)[2]) const {
    for (int i = group; i < n; i += sample_groups{n, Size}.count()) {
      if (gy) s[0] += gy[Shape::last_at(i, pixel)];
      if (ey) s[1] += ey[Shape::last_at(i, pixel)];
    }
  }
  __device__ seeds facts(int, const row_sums<2>& s) const {
    return {static_cast<float>(s.v[0]), static_cast<float>(s.v[1])};
  }
  __device__ void write(int group, int k, const seeds& s) const {
    const sample_groups groups{n, Size};
    const auto members = static_cast<float>(groups.members(group));
    const auto f = Shape::of(x, n, group, k);
    const float share = 1.0f / (f.deviation * members * Shape::numbers);
    const float tx_mean = gy ? Shape::of(tx, n, group, k).mean : 0.0f;
    const float bend =
        gy ? Shape::slope(x, tx, n, group, k, f.mean) / (f.deviation * f.deviation) : 0.0f;
    for (int i = group; i < n; i += groups.count()) {
      const float d = x[Shape::at(i, k)] - f.mean;
      float through = s.e * d;
      if (gy) through += s.a * (tx[Shape::at(i, k)] - tx_mean - d * bend);
      dx[Shape::at(i, k)] = (ey ? ey[Shape::wide_at(i, k)] : 0.0f) + share * through;
    }
  }
};

}  // namespace gantry::kernels
