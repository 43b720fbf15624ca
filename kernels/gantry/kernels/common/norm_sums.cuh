// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The sums of batch normalisation, which a product adds up as well (gemm/fusion.cuh).
#pragma once

#include <cstddef>

#include "gantry/kernels/common/columns.cuh"

namespace gantry::inline v0::kernels {

/// Mean and variance of the batch. Numbers are taken relative to the channel's first one, so that
/// a large mean does not swallow a small variance.
struct statistics_body {
  static constexpr int sums = 2;
  const float* x;
  int channels, rows;  ///< of one batch where there are two
  float *running_mean, *running_variance, *saved_mean, *saved_inverse_deviation;
  float momentum, epsilon;

  /// Batch 0, which this is, or 1.
  __host__ __device__ statistics_body of_batch(int which) const {
    statistics_body other = *this;
    other.x += std::ptrdiff_t{which} * rows * channels;
    other.saved_mean += which * channels;
    other.saved_inverse_deviation += which * channels;
    return other;
  }
  __device__ void add(int row, int channel, float (&s)[2]) const {
    const float d = x[static_cast<std::size_t>(row) * channels + channel] - x[channel];
    s[0] += d;
    s[1] += d * d;
  }
  __device__ void finish(int channel, const channel_terms<2>& s) const {
    const double offset = s.v[0] / rows;
    finish(channel, x[channel] + offset, s.v[1] / rows - offset * offset);
  }
  /// raw: the variance, or a rounding below 0.
  __device__ void finish(int channel, double mean, double raw) const {
    const double variance = raw < 0 ? 0 : raw;  // NaN stays
    const double unbiased = rows > 1 ? variance * rows / (rows - 1) : variance;
    saved_mean[channel] = static_cast<float>(mean);
    saved_inverse_deviation[channel] = static_cast<float>(1.0 / sqrt(variance + epsilon));
    float& moving = running_mean[channel];
    moving += static_cast<float>(momentum * (mean - moving));
    float& spread = running_variance[channel];
    spread += static_cast<float>(momentum * (unbiased - spread));
  }
};

/// The sums of dy and of dy times the normalised x.
struct gradient_sums_body {
  static constexpr int sums = 2;
  const float *x, *dy, *mean, *inverse_deviation;
  int channels, rows;
  float *dgamma, *dbeta;  ///< null together
  float* means;           ///< [2][channels]: both sums by the number of rows

  __host__ __device__ gradient_sums_body of_batch(int which) const {
    gradient_sums_body other = *this;
    other.x += std::ptrdiff_t{which} * rows * channels;
    other.dy += std::ptrdiff_t{which} * rows * channels;
    other.mean += which * channels;
    other.inverse_deviation += which * channels;
    other.means += which * 2 * channels;
    return other;
  }
  __device__ void add(int row, int channel, float (&s)[2]) const {
    const std::size_t i = static_cast<std::size_t>(row) * channels + channel;
    const float h = (x[i] - mean[channel]) * inverse_deviation[channel];
    s[0] += dy[i];
    s[1] += dy[i] * h;
  }
  __device__ void finish(int channel, const channel_terms<2>& s) const {
    if (dgamma) {
      dgamma[channel] += static_cast<float>(s.v[1]);
      dbeta[channel] += static_cast<float>(s.v[0]);
    }
    means[channel] = static_cast<float>(s.v[0] / rows);
    means[channels + channel] = static_cast<float>(s.v[1] / rows);
  }
};

}  // namespace gantry::kernels
