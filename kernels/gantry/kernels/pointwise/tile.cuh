// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/common/functions.cuh"
#include "gantry/kernels/common/reduce.cuh"
#include "gantry/kernels/common/stream.cuh"

namespace gantry::kernels {

template <class Function>
struct activation_forward_body {
  const float* x;
  float* y;
  std::size_t count;
  Function f;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto in = load<Width>(x + i);
    store(y + i, generate<Width>([&](int j) { return value(f, in.v[j]); }));
  }
};

template <class Function>
struct activation_backward_body {
  const float *y, *dy;
  float* dx;
  std::size_t count;
  Function f;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto out = load<Width>(y + i), gradient = load<Width>(dy + i);
    store(dx + i, generate<Width>([&](int j) { return gradient.v[j] * derivative(f, out.v[j]); }));
  }
};

struct copy_body {
  const float* x;
  float* y;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    store(y + i, load<Width>(x + i));
  }
};

struct accumulate_body {
  const float* x;
  float* y;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto more = load<Width>(x + i), old = load<Width>(y + i);
    store(y + i, generate<Width>([&](int j) { return old.v[j] + more.v[j]; }));
  }
};

struct fill_body {
  float* y;
  std::size_t count;
  float number;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    store(y + i, generate<Width>([&](int) { return number; }));
  }
};

struct clamp_body {
  float* y;
  std::size_t count;
  float bound;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto old = load<Width>(y + i);
    // Comparisons, not fminf: NaN has to stay.
    store(y + i, generate<Width>([&](int j) {
            return old.v[j] < -bound ? -bound : bound < old.v[j] ? bound : old.v[j];
          }));
  }
};

/// gradient = scale f'(logits), the per-sample seeds of the backward pass; *sum += scale sum f.
template <class Function>
struct loss_args {
  const float* logits;
  float* gradient;
  std::size_t count;
  float scale;
  float* sum;
  Function f;
  float* partials;  ///< [blocks]
  unsigned* ticket;
};

/// Every block adds up its share, the last one the blocks' sums in their order.
template <int Threads>
struct loss_tile {
  struct shared_storage {
    double warps[Threads / 32];
    bool flag;
  };

  template <class Function>
  __device__ void operator()(const loss_args<Function>& a, shared_storage& shared) const {
    double mine = 0;
    for (std::size_t i = std::size_t{blockIdx.x} * Threads + threadIdx.x; i < a.count;
         i += std::size_t{gridDim.x} * Threads) {
      const float x = a.logits[i];
      mine += a.f.value(x);
      a.gradient[i] = a.scale * a.f.derivative(x);
    }
    const double total = block_sum<Threads>(mine, shared.warps);
    if (threadIdx.x == 0) a.partials[blockIdx.x] = static_cast<float>(total);
    if (!is_last_block(a.ticket, gridDim.x, shared.flag)) return;
    if (threadIdx.x == 0) {
      double sum = 0;
      for (unsigned b = 0; b < gridDim.x; ++b) sum += a.partials[b];
      *a.sum += static_cast<float>(a.scale * sum);
    }
  }
};

}  // namespace gantry::kernels
