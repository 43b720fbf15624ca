// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Sums per channel (common/columns.cuh), and the passes that use them.
#pragma once

#include "gantry/kernels/batch_norm/policy.hpp"
#include "gantry/kernels/common/columns.cuh"
#include "gantry/kernels/common/stream.cuh"

namespace gantry::inline v0::kernels {

/// Mean and variance of the batch. Numbers are taken relative to the channel's first one, so that
/// a large mean does not swallow a small variance.
struct statistics_body {
  static constexpr int sums = 2;
  const float* x;
  int channels, rows;
  float *running_mean, *running_variance, *saved_mean, *saved_inverse_deviation;
  float momentum, epsilon;

  __device__ void add(int row, int channel, float (&s)[2]) const {
    const float d = x[static_cast<std::size_t>(row) * channels + channel] - x[channel];
    s[0] += d;
    s[1] += d * d;
  }
  __device__ void finish(int channel, const channel_terms<2>& s) const {
    const double offset = s.v[0] / rows, mean = x[channel] + offset;
    const double raw = s.v[1] / rows - offset * offset;
    const double variance = raw < 0 ? 0 : raw;  // a rounding below 0; NaN stays
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

struct channel_sum_body {
  static constexpr int sums = 1;
  const float* x;
  int channels;
  float* sum;

  __device__ void add(int row, int channel, float (&s)[1]) const {
    s[0] += x[static_cast<std::size_t>(row) * channels + channel];
  }
  __device__ void finish(int channel, const channel_terms<1>& s) const {
    sum[channel] += static_cast<float>(s.v[0]);
  }
};

/// The sums of x times a number per sample.
struct scaled_channel_sum_body {
  static constexpr int sums = 1;
  const float *x, *scale;
  int channels, pixels;
  float* sum;

  __device__ void add(int row, int channel, float (&s)[1]) const {
    s[0] += scale[row / pixels] * x[static_cast<std::size_t>(row) * channels + channel];
  }
  __device__ void finish(int channel, const channel_terms<1>& s) const {
    sum[channel] += static_cast<float>(s.v[0]);
  }
};

/// The statistics that inference uses; `count` is the number of channels.
struct fixed_statistics_body {
  const float *running_mean, *running_variance;
  float *saved_mean, *saved_inverse_deviation;
  std::size_t count;
  float epsilon;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto mean = load<Width>(running_mean + i), variance = load<Width>(running_variance + i);
    store(saved_mean + i, mean);
    store(saved_inverse_deviation + i, generate<Width>([&](int j) {
            return __fdiv_rn(1.0f, __fsqrt_rn(variance.v[j] + epsilon));
          }));
  }
};

/// y = gamma (x - mean) / deviation + beta.
template <int Channels>
struct normalise_body {
  const float *x, *gamma, *beta, *mean, *inverse_deviation;
  float* y;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto in = load<Width>(x + i);
    store(y + i, generate<Width>([&](int j) {
            const std::size_t c = (i + j) % Channels;
            return (in.v[j] - mean[c]) * inverse_deviation[c] * gamma[c] + beta[c];
          }));
  }
};

/// dx; means is null where the statistics do not depend on x.
template <int Channels>
struct normalise_backward_body {
  const float *x, *dy, *gamma, *mean, *inverse_deviation, *means;
  float* dx;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto in = load<Width>(x + i), gradient = load<Width>(dy + i);
    store(dx + i, generate<Width>([&](int j) {
            const std::size_t c = (i + j) % Channels;
            const float h = (in.v[j] - mean[c]) * inverse_deviation[c];
            const float moved = means ? means[c] + h * means[Channels + c] : 0.0f;
            return gamma[c] * inverse_deviation[c] * (gradient.v[j] - moved);
          }));
  }
};

}  // namespace gantry::kernels
