// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What a library's product leaves to its caller: operands in bf16 before it, and a bias per channel
// behind it where the library has no plan for both in one.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_bf16.h>

#include "gantry/kernels/common/pack.cuh"
#include "gantry/kernels/common/stream.cuh"

namespace gantry::inline v0::kernels {

/// y = x, rounded to nearest.
struct narrow_body {
  const float* x;
  std::uint16_t* y;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto numbers = load<Width>(x + i);
    pack<Width, std::uint16_t> bits;
#pragma unroll
    for (int j = 0; j < Width; ++j)
      bits.v[j] = __bfloat16_as_ushort(__float2bfloat16_rn(numbers.v[j]));
    store(y + i, bits);
  }
};

/// y = x, or y += x, of bf16 numbers.
struct widen_body {
  const std::uint16_t* x;
  float* y;
  bool accumulate;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto bits = *reinterpret_cast<const pack<Width, std::uint16_t>*>(x + i);
    const auto old = accumulate ? load<Width>(y + i) : pack<Width>{};
    store(y + i, generate<Width>([&](int j) {
            return old.v[j] + __bfloat162float(__ushort_as_bfloat16(bits.v[j]));
          }));
  }
};

/// y[i] += bias[i % channels].
struct add_bias_body {
  float* y;
  const float* bias;
  std::size_t channels, count;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    auto numbers = load<Width>(y + i);
#pragma unroll
    for (int j = 0; j < Width; ++j)
      numbers.v[j] += bias[(i + static_cast<std::size_t>(j)) % channels];
    store(y + i, numbers);
  }
};

}  // namespace gantry::kernels
