// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The numbers of base/rng.hpp: number i comes from block i / 4 of its stream, whatever the grid.
#pragma once

#include <cmath>

#include "gantry/base/rng.hpp"
#include "gantry/kernels/common/stream.cuh"

namespace gantry::kernels {

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

struct normal_body {
  float* y;
  std::size_t count;
  device_stream stream;

  /// Box-Muller on a pair of words. fill_normal takes the logarithm in float; the one in double,
  /// rounded, is the same number wherever the host's library rounds correctly.
  struct pair {
    float v[2];
  };
  __device__ static pair transform(std::uint32_t first, std::uint32_t second) {
    const auto exact = log(static_cast<double>(philox::to_unit(first)));
    const double radius = sqrt(-2.0 * static_cast<float>(exact));
    const double turn = 2.0 * philox::to_unit(second);  // of pi: exact quarters, no slow path
    return {{static_cast<float>(radius * cospi(turn)), static_cast<float>(radius * sinpi(turn))}};
  }
  template <int Width>
  __device__ void apply(std::size_t i) const {
    const philox::block words = stream.block(i / 4);
    if constexpr (Width == 1) {
      const unsigned first = i % 4 / 2 * 2;
      y[i] = transform(words[first], words[first + 1]).v[i % 2];
    } else {
      const pair a = transform(words[0], words[1]), b = transform(words[2], words[3]);
      store(y + i, pack<4>{{a.v[0], a.v[1], b.v[0], b.v[1]}});
    }
  }
};

struct dropout_body {
  const float* x;
  float* y;
  std::size_t count;
  device_stream stream;
  float rate, scale;  ///< scale = 1 / (1 - rate)

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const philox::block words = stream.block(i / 4);
    const auto in = load<Width>(x + i);
    store(y + i, generate<Width>([&](int j) {
            return philox::to_unit(words[i % 4 + j]) > rate ? in.v[j] * scale : 0.0f;
          }));
  }
};

}  // namespace gantry::kernels
