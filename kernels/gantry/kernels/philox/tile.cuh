// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The numbers of base/rng.hpp: number i comes from block i / 4 of its stream, whatever the grid.
#pragma once

#include <cmath>

#include "gantry/base/rng.hpp"
#include "gantry/kernels/common/functions.cuh"
#include "gantry/kernels/common/stream.cuh"

namespace gantry::inline v0::kernels {

/// A stream whose step may lie in device memory, so that a graph that is launched again draws
/// other numbers.
struct device_stream {
  stream_id id{};
  const std::uint32_t* step{};

  __device__ philox::block block(std::size_t index) const {
    stream_id s = id;
    if (step) s.step = *step;
    return philox::at(s, static_cast<std::uint32_t>(index));
  }
};

struct uniform_body {
  float* y;
  std::size_t count;
  device_stream stream;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const philox::block words = stream.block(i / 4);
    store(y + i, generate<Width>([&](int j) { return philox::to_unit(words[i % 4 + j]); }));
  }
};

/// A thread takes a block of the generator, four numbers: one loop without a tail of its own, for
/// a second copy of this code would turn the library's functions into calls through local memory.
struct normal_body {
  float* y;
  std::size_t numbers;
  std::size_t count;  ///< blocks
  device_stream stream;

  /// Box-Muller on a pair of words. fill_normal takes the logarithm in float; the one in double,
  /// rounded, is the same number wherever the host's library rounds correctly.
  __device__ static pack<2> transform(std::uint32_t first, std::uint32_t second) {
    const auto exact = log(static_cast<double>(philox::to_unit(first)));
    const double radius = sqrt(-2.0 * static_cast<float>(exact));
    const double turn = 2.0 * philox::to_unit(second);  // of pi: exact quarters, no slow path
    return {{static_cast<float>(radius * cospi(turn)), static_cast<float>(radius * sinpi(turn))}};
  }
  template <int Width>
  __device__ void apply(std::size_t block) const {
    static_assert(Width == 1, "the unit of this body is a block of the generator");
    const philox::block words = stream.block(block);
    std::uint32_t first = words[0], second = words[1];
#pragma unroll 1
    for (std::size_t i = block * 4; i < block * 4 + 4; i += 2) {
      const auto two = transform(first, second);
      if (i < numbers) y[i] = two.v[0];
      if (i + 1 < numbers) y[i + 1] = two.v[1];
      first = words[2];
      second = words[3];
    }
  }
};

/// From `second` on, numbers are those of the second stream, from its beginning; it is a multiple
/// of 4 or the width is 1.
struct dropout_body {
  const float* x;
  float* y;
  std::size_t count, second;
  device_stream stream;
  std::uint32_t second_salt;
  float rate, scale;  ///< scale = 1 / (1 - rate)
  activation_behind behind;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const bool behind_first = i >= second;
    const std::size_t at = behind_first ? i - second : i;
    device_stream from = stream;
    if (behind_first) from.id.salt = second_salt;
    const philox::block words = from.block(at / 4);
    const auto in = load<Width>(x + i);
    const auto out = generate<Width>(
        [&](int j) { return philox::to_unit(words[at % 4 + j]) > rate ? in.v[j] * scale : 0.0f; });
    store(y + i, behind.finish(i, out));
  }
};

}  // namespace gantry::kernels
