// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Updates of a flat arena, Width numbers at a time. What is the same for all numbers (corrections
// of Adam's bias, 1 - beta) is computed once, on the host.
#pragma once

#include "gantry/kernels/common/stream.cuh"

namespace gantry::inline v0::kernels {

/// The moving average and the bf16 copy of the weights that an update may write on its way.
struct weight_copies {
  float* average{};
  float decay{};
  __nv_bfloat16* half{};

  template <int Width>
  __device__ void write(std::size_t i, const pack<Width>& weight) const {
    if (average) {
      const auto old = load<Width>(average + i);
      store(average + i, generate<Width>([&](int j) {
              return decay * old.v[j] + (1.0f - decay) * weight.v[j];
            }));
    }
    if (half) {
      pack<Width, __nv_bfloat16> rounded;
#pragma unroll
      for (int j = 0; j < Width; ++j) rounded.v[j] = __float2bfloat16_rn(weight.v[j]);
      store(half + i, rounded);
    }
  }
};

/// A moving average of other numbers.
struct weight_average {
  const float* value{};
  float* average{};
  std::size_t count{};
  float decay{};

  /// All threads of a grid together, before the loop over weights: within it, registers spill.
  __device__ void move() const {
    const std::size_t threads = std::size_t{gridDim.x} * blockDim.x;
    for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count;
         i += threads)
      average[i] = decay * average[i] + (1.0f - decay) * value[i];
  }
};

struct adam_body {
  float* weight;
  const float* gradient;
  float *first_moment, *second_moment;
  std::size_t count;
  float step;  ///< rate / correction1
  float beta1, beta2, epsilon;
  float scale;  ///< 1 / sqrt(correction2)
  weight_copies copies;
  weight_average buffers;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto g = load<Width>(gradient + i);
    auto m = load<Width>(first_moment + i), v = load<Width>(second_moment + i);
    auto w = load<Width>(weight + i);
#pragma unroll
    for (int j = 0; j < Width; ++j) {
      m.v[j] = beta1 * m.v[j] + (1.0f - beta1) * g.v[j];
      v.v[j] = beta2 * v.v[j] + (1.0f - beta2) * g.v[j] * g.v[j];
      w.v[j] -= __fdiv_rn(step * m.v[j], __fsqrt_rn(v.v[j]) * scale + epsilon);
    }
    store(first_moment + i, m);
    store(second_moment + i, v);
    store(weight + i, w);
    copies.write(i, w);
  }
};

struct sgd_body {
  float* weight;
  const float* gradient;
  float* velocity;  ///< null without momentum
  std::size_t count;
  float rate, momentum;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    auto v = load<Width>(gradient + i), w = load<Width>(weight + i);
    if (velocity) {
      const auto old = load<Width>(velocity + i);
#pragma unroll
      for (int j = 0; j < Width; ++j) v.v[j] += momentum * old.v[j];
      store(velocity + i, v);
    }
#pragma unroll
    for (int j = 0; j < Width; ++j) w.v[j] -= rate * v.v[j];
    store(weight + i, w);
  }
};

struct rmsprop_body {
  float* weight;
  const float* gradient;
  float* square_average;
  std::size_t count;
  float rate, decay, epsilon;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto g = load<Width>(gradient + i);
    auto s = load<Width>(square_average + i), w = load<Width>(weight + i);
#pragma unroll
    for (int j = 0; j < Width; ++j) {
      s.v[j] = decay * s.v[j] + (1.0f - decay) * g.v[j] * g.v[j];
      w.v[j] -= __fdiv_rn(rate * g.v[j], __fsqrt_rn(s.v[j]) + epsilon);
    }
    store(square_average + i, s);
    store(weight + i, w);
  }
};

struct ema_body {
  const float* value;
  std::size_t count;
  weight_copies copies;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    copies.write(i, load<Width>(value + i));
  }
};

}  // namespace gantry::kernels
