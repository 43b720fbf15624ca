// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A learned image per channel times the channel's number, see ops/learned_basis.hpp. The bases are
// small (4 x 4 pixels at the beginning of a generator): each result adds up for itself.
#pragma once

#include "gantry/kernels/common/stream.cuh"
#include "gantry/kernels/learned_basis/policy.hpp"

namespace gantry::inline v0::kernels {

template <int Pixels, int C>
struct learned_basis_body {
  const float *x, *basis;
  float* y;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    y[i] = basis[i % (Pixels * C)] * x[i / (Pixels * C) * C + i % C];
  }
};

/// First the numbers of dx, unless null, then those of dbasis, unless null.
template <int Pixels, int C>
struct learned_basis_gradient_body {
  const float *x, *dy, *basis;
  float *dx, *dbasis;
  int n;
  std::size_t of_dx, count;  ///< numbers of dx, of both

  template <int Width>
  __device__ void apply(std::size_t i) const {
    float sum = 0;
    if (i < of_dx) {
      const std::size_t first = i / C * (Pixels * C), c = i % C;
      for (int pixel = 0; pixel < Pixels; ++pixel)
        sum += dy[first + pixel * C + c] * basis[pixel * C + c];
      dx[i] = sum;
      return;
    }
    const std::size_t k = i - of_dx;
    for (std::size_t sample = 0; sample < static_cast<std::size_t>(n); ++sample)
      sum += dy[sample * (Pixels * C) + k] * x[sample * C + k % C];
    dbasis[k] += sum;
  }
};

}  // namespace gantry::kernels
