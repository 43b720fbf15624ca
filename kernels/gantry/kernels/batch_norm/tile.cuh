// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Sums per channel (common/columns.cuh), and the passes that use them.
#pragma once

#include "gantry/kernels/batch_norm/policy.hpp"
#include "gantry/kernels/common/columns.cuh"
#include "gantry/kernels/common/norm_pass.cuh"
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

template <int Channels>
struct normalise_body : norm_pass {
  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto in = load<Width>(x + i);
    store(y + i, generate<Width>([&](int j) {
            const std::size_t c = (i + j) % Channels, s = i + j < second ? c : c + Channels;
            return value(f, normalised(in.v[j], mean[s], inverse_deviation[s], gamma[c], beta[c]));
          }));
  }
};

template <int Channels>
struct normalise_backward_body : norm_gradient_pass {
  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto in = load<Width>(x + i), gradient = load<Width>(dy + i);
    store(dx + i, generate<Width>([&](int j) {
            const std::size_t c = (i + j) % Channels, behind = i + j < second ? 0 : Channels;
            const std::size_t s = behind + c, m = 2 * behind + c;
            return derived({mean[s], inverse_deviation[s], gamma[c], means ? means[m] : 0.0f,
                            means ? means[m + Channels] : 0.0f},
                           in.v[j], gradient.v[j]);
          }));
  }
};

}  // namespace gantry::kernels
