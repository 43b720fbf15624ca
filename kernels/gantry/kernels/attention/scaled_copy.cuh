// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A copy times one learned number, and its gradient.
#pragma once

#include "gantry/kernels/attention/policy.hpp"
#include "gantry/kernels/common/reduce.cuh"
#include "gantry/kernels/common/stream.cuh"

namespace gantry::inline v0::kernels {

struct scaled_copy_body {
  const float *x, *scale;
  float* y;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto in = load<Width>(x + i);
    store(y + i, generate<Width>([&](int j) { return *scale * in.v[j]; }));
  }
};

/// dx += *scale dy, *dscale += <dy, x>.
struct scaled_gradient_args {
  const float *x, *scale, *dy;
  float *dx, *dscale;
  std::size_t count;
  float* partials;  ///< [blocks]
  unsigned* ticket;
};

/// Every block adds up its share, the last one the blocks' sums in their order.
template <int Threads>
struct scaled_gradient_tile {
  struct shared_storage {
    double warps[Threads / 32];
    bool flag;
  };

  __device__ void operator()(const scaled_gradient_args& a, shared_storage& shared) const {
    const float factor = *a.scale;
    double mine = 0;
    for (std::size_t i = std::size_t{blockIdx.x} * Threads + threadIdx.x; i < a.count;
         i += std::size_t{gridDim.x} * Threads) {
      mine += static_cast<double>(a.dy[i]) * a.x[i];
      a.dx[i] += factor * a.dy[i];
    }
    const double total[1] = {block_sum<Threads>(mine, shared.warps)};
    finish_over_blocks(total, a.partials, a.ticket, shared.flag,
                       [&](const double(&sum)[1]) { *a.dscale += static_cast<float>(sum[0]); });
  }
};

}  // namespace gantry::kernels
