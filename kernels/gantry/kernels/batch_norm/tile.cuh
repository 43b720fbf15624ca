// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Sums per channel (common/columns.cuh), and the passes that use them.
#pragma once

#include "gantry/kernels/batch_norm/policy.hpp"
#include "gantry/kernels/common/columns.cuh"
#include "gantry/kernels/common/functions.cuh"
#include "gantry/kernels/common/norm_sums.cuh"
#include "gantry/kernels/common/stream.cuh"

namespace gantry::inline v0::kernels {

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

/// y = f(gamma (x - mean) / deviation + beta); from `second` on with the statistics behind.
template <int Channels>
struct normalise_body {
  const float *x, *gamma, *beta, *mean, *inverse_deviation;
  float* y;
  std::size_t count, second;
  any_activation f;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto in = load<Width>(x + i);
    store(y + i, generate<Width>([&](int j) {
            const std::size_t c = (i + j) % Channels, s = i + j < second ? c : c + Channels;
            return value(f, (in.v[j] - mean[s]) * inverse_deviation[s] * gamma[c] + beta[c]);
          }));
  }
};

/// dx; means is null where the statistics do not depend on x. From `second` on, statistics and
/// means are those behind.
template <int Channels>
struct normalise_backward_body {
  const float *x, *dy, *gamma, *mean, *inverse_deviation, *means;
  float* dx;
  std::size_t count, second;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto in = load<Width>(x + i), gradient = load<Width>(dy + i);
    store(dx + i, generate<Width>([&](int j) {
            const std::size_t c = (i + j) % Channels, behind = i + j < second ? 0 : Channels;
            const float inverse = inverse_deviation[behind + c];
            const float h = (in.v[j] - mean[behind + c]) * inverse;
            const std::size_t m = 2 * behind + c;
            const float moved = means ? means[m] + h * means[m + Channels] : 0.0f;
            return gamma[c] * inverse * (gradient.v[j] - moved);
          }));
  }
};

}  // namespace gantry::kernels
