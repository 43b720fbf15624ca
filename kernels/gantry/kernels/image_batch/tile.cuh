// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "gantry/kernels/common/stream.cuh"
#include "gantry/kernels/image_batch/policy.hpp"
#include "gantry/ops/image_batch.hpp"

namespace gantry::inline v0::kernels {

/// Of p / 127.5 - 1 the float that is nearest, with one rounding: the host's table has the same.
__device__ inline float number_of_pixel(std::uint8_t pixel) {
  return __fdiv_rn(2.0f * static_cast<float>(pixel) - 255.0f, 255.0f);
}

/// Images of H x W x C. A pack lies within an image.
template <int H, int W, int C>
struct image_batch_body {
  const std::uint8_t* images;
  const std::uint32_t* chosen;
  float* y;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    constexpr std::size_t size = std::size_t{H} * W * C;
    const std::uint32_t choice = chosen[i / size];
    const std::uint8_t* image = images + (choice & ~ops::mirrored) * size;
    const int at = static_cast<int>(i % size);
    if (choice & ops::mirrored) {
      store(y + i, generate<Width>([&](int j) {
              const int pixel = (at + j) / C, c = (at + j) % C;
              return number_of_pixel(image[(pixel / W * W + W - 1 - pixel % W) * C + c]);
            }));
    } else {
      const auto in = *reinterpret_cast<const pack<Width, std::uint8_t>*>(image + at);
      store(y + i, generate<Width>([&](int j) { return number_of_pixel(in.v[j]); }));
    }
  }
};

}  // namespace gantry::kernels
