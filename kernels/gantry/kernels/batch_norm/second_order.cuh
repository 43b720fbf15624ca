// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What penalties need of a normalisation: see ops::batch_norm_second_order.
#pragma once

#include <cstddef>

#include "gantry/kernels/batch_norm/tile.cuh"

namespace gantry::inline v0::kernels {

/// Places of sums and means: of tx, u tx, u g, g, g tx, e, u e.
enum bend_mean { bend_a, bend_b, bend_c, bend_g, bend_g_tx, bend_e, bend_e_u, bend_means };

/// All seven sums of a channel with gy and ey, without gamma, and what the parameters get of them.
struct bend_sums_body {
  static constexpr int sums = bend_means;
  const float *x, *tx, *gy, *ey, *gamma, *mean, *inverse_deviation;
  int channels, rows;
  float *dgamma, *dbeta;  ///< null together
  float* means;           ///< [bend_means][channels]
  bool fixed_statistics;

  __device__ void add(int row, int channel, float (&s)[sums]) const {
    const std::size_t i = static_cast<std::size_t>(row) * channels + channel;
    const float u = (x[i] - mean[channel]) * inverse_deviation[channel];
    const float e = ey ? ey[i] : 0.0f;
    s[bend_a] += tx[i];
    s[bend_b] += u * tx[i];
    s[bend_c] += u * gy[i];
    s[bend_g] += gy[i];
    s[bend_g_tx] += gy[i] * tx[i];
    s[bend_e] += e;
    s[bend_e_u] += e * u;
  }
  __device__ void finish(int channel, const channel_terms<sums>& s) const {
    const double share = fixed_statistics ? 0.0 : 1.0 / rows;
    const double a = share * s.v[bend_a], b = share * s.v[bend_b];
    if (dgamma) {
      const double of_tangent = s.v[bend_g_tx] - a * s.v[bend_g] - b * s.v[bend_c];
      dgamma[channel] +=
          static_cast<float>(inverse_deviation[channel] * of_tangent + s.v[bend_e_u]);
      dbeta[channel] += static_cast<float>(s.v[bend_e]);
    }
    for (int k = 0; k < sums; ++k) {
      const double weight = k < bend_c ? share : share * gamma[channel];
      means[k * channels + channel] = static_cast<float>(weight * s.v[k]);
    }
  }
};

/// ex, from those means; they are 0 where the statistics do not depend on x.
template <int Channels>
struct bend_body {
  const float *x, *tx, *gy, *ey, *gamma, *mean, *inverse_deviation, *means;
  float* ex;
  std::size_t count;
  bool fixed_statistics;

  __device__ float at(std::size_t i, float x_i, float tx_i, float gy_i, float ey_i) const {
    const std::size_t c = i % Channels;
    const float r = inverse_deviation[c], e = gamma[c] * ey_i;
    if (fixed_statistics) return r * e;
    const auto m = [&](bend_mean k) { return means[k * Channels + c]; };
    const float u = (x_i - mean[c]) * r, of_u = m(bend_c), of_tx = m(bend_b);
    const float bend = of_u * (tx_i - m(bend_a)) + of_tx * (gamma[c] * gy_i - m(bend_g)) +
                       u * (m(bend_g_tx) - m(bend_a) * m(bend_g) - 3.0f * of_tx * of_u);
    return r * (e - m(bend_e) - u * m(bend_e_u)) - r * r * bend;
  }
  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto in = load<Width>(x + i), along = load<Width>(tx + i), seed = load<Width>(gy + i);
    const auto beside = ey ? load<Width>(ey + i) : pack<Width>{};
    store(ex + i, generate<Width>([&](int j) {
            return at(i + j, in.v[j], along.v[j], seed.v[j], beside.v[j]);
          }));
  }
};

}  // namespace gantry::kernels
