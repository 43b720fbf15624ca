// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The loop of kernels that touch every number of some arrays once. A body has `count` and
// apply<Width>(i), which does the numbers i .. i + Width - 1.
#pragma once

#include <algorithm>

#include "gantry/kernels/common/launch.cuh"
#include "gantry/kernels/common/pack.cuh"
#include "gantry/kernels/common/policy.hpp"

namespace gantry::inline v0::kernels {

template <int Width>
struct stream_tile {
  template <class Body>
  __device__ void operator()(const Body& body) const {
    const std::size_t thread = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x;
    const std::size_t threads = std::size_t{gridDim.x} * blockDim.x;
    const std::size_t whole = body.count / Width * Width;
    for (std::size_t i = thread * Width; i < whole; i += threads * Width)
      body.template apply<Width>(i);
    if (Width > 1 && whole + thread < body.count) body.template apply<1>(whole + thread);
  }
};

inline launch_size stream_size(const context& c, std::size_t count, const stream_policy& policy) {
  const std::size_t per_block = static_cast<std::size_t>(policy.threads) * policy.width;
  const auto most = static_cast<std::size_t>(c.multiprocessors) * policy.blocks_per_multiprocessor;
  return {dim3(static_cast<unsigned>(std::min(ceil_div(count, per_block), most))),
          static_cast<unsigned>(policy.threads)};
}

}  // namespace gantry::kernels
