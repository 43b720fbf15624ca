// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The second half of a batch norm, when the statistics are there: a pass of its own
// (batch_norm/tile.cuh), or part of a product's load (gemm/tile.cuh).
#pragma once

#include <cstddef>

#include "gantry/kernels/common/functions.cuh"
#include "gantry/kernels/common/pack.cuh"

namespace gantry::inline v0::kernels {

/// y = f(gamma (x - mean) / deviation + beta), arrays of [pixel][channel]; from `second` on with
/// the statistics behind.
struct norm_pass {
  const float *x, *gamma, *beta, *mean, *inverse_deviation;
  float* y{};  ///< null: no pass
  std::size_t count{}, second{};
  int channels{};
  any_activation f{};

  __device__ static float normalised(float x, float mean, float inverse, float gamma, float beta) {
    return (x - mean) * inverse * gamma + beta;
  }
  /// Of four numbers, the first of which has number i among all and belongs to channel c. For packs
  /// and an f of lines.
  __device__ pack<4> of(std::size_t i, int c, const pack<4>& numbers) const {
    const int s = i < second ? c : c + channels;
    const auto centre = load<4>(mean + s), inverse = load<4>(inverse_deviation + s);
    const auto scale = load<4>(gamma + c), shift = load<4>(beta + c);
    return generate<4>([&](int j) {
      return value_of_lines(
          f, normalised(numbers.v[j], centre.v[j], inverse.v[j], scale.v[j], shift.v[j]));
    });
  }
  /// Whether a load can do it: of() has packs of four and computes little, and several blocks read
  /// what one of them would overwrite in place.
  [[nodiscard]] bool fits_load() const {
    return y && y != x && channels % 4 == 0 && second % 4 == 0 && is_of_lines(f) &&
           allow_packs(x, gamma, beta, mean, inverse_deviation, y);
  }
};

/// dx of a batch norm when the sums are there: gamma / deviation (dy - means[0] - u means[1]), u
/// being the normalised x; from `second` on with statistics and means behind.
struct norm_gradient_pass {
  const float *x, *dy, *gamma, *mean, *inverse_deviation;
  const float* means;  ///< [2][channels]; null where the statistics do not depend on x
  float* dx{};         ///< null: no pass
  std::size_t count{}, second{};
  int channels{};

  /// What is the same for all numbers of a channel.
  struct channel {
    float mean, inverse, gamma, of_dy, of_product;
  };
  __device__ float derived(const channel& c, float x, float dy) const {
    const float moved = means ? c.of_dy + (x - c.mean) * c.inverse * c.of_product : 0.0f;
    return c.gamma * c.inverse * (dy - moved);
  }
  /// As norm_pass's.
  __device__ pack<4> of(std::size_t i, int c, const pack<4>& gradients) const {
    const int s = i < second ? c : c + channels, m = i < second ? c : c + 2 * channels;
    const auto in = load<4>(x + i), centre = load<4>(mean + s);
    const auto inverse = load<4>(inverse_deviation + s), scale = load<4>(gamma + c);
    const auto of_dy = means ? load<4>(means + m) : pack<4>{};
    const auto of_product = means ? load<4>(means + m + channels) : pack<4>{};
    return generate<4>([&](int j) {
      return derived({centre.v[j], inverse.v[j], scale.v[j], of_dy.v[j], of_product.v[j]}, in.v[j],
                     gradients.v[j]);
    });
  }
  /// As norm_pass's.
  [[nodiscard]] bool fits_load() const {
    return dx && dx != x && dx != dy && channels % 4 == 0 && second % 4 == 0 &&
           allow_packs(x, dy, gamma, mean, inverse_deviation, means, dx);
  }
  /// Floats at the beginning of the scratch where the means may be.
  [[nodiscard]] std::size_t reserved() const {
    if (!dx || !means) return 0;
    return static_cast<std::size_t>(channels) * (second < count ? 4 : 2);
  }
};

}  // namespace gantry::kernels
