// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Penalties on a gradient, and the points they are taken at.
#pragma once

#include "gantry/base/rng.hpp"
#include "gantry/kernels/common/reduce.cuh"
#include "gantry/kernels/common/stream.cuh"
#include "gantry/kernels/penalty/policy.hpp"

namespace gantry::inline v0::kernels {

/// *sum += share sum_i f(|g_i|^2), v_i = share f.factor(|g_i|^2) g_i.
template <class Function>
struct penalty_args {
  const float* g;
  float* v;
  int size;  ///< of a sample
  double share;
  float* sum;
  Function f;
  float* partials;  ///< [samples]
  unsigned* ticket;
};

/// A block per sample; the last one adds the samples' values in their order.
template <int Threads>
struct penalty_tile {
  struct shared_storage {
    double warps[Threads / 32];
    double factor;
    bool flag;
  };

  template <class Function>
  __device__ void operator()(const penalty_args<Function>& a, shared_storage& shared) const {
    const std::size_t first = std::size_t{blockIdx.x} * a.size;
    double mine = 0;
    for (int k = static_cast<int>(threadIdx.x); k < a.size; k += Threads) {
      const double g = a.g[first + k];
      mine += g * g;
    }
    const double square = block_sum<Threads>(mine, shared.warps);
    if (threadIdx.x == 0) shared.factor = a.share * a.f.factor(square);
    __syncthreads();
    const double factor = shared.factor;
    for (int k = static_cast<int>(threadIdx.x); k < a.size; k += Threads)
      a.v[first + k] = static_cast<float>(factor * a.g[first + k]);
    const double value[1] = {a.f.value(square)};  // of the block's sum in its first thread
    finish_over_blocks(value, a.partials, a.ticket, shared.flag, [&](const double(&sum)[1]) {
      *a.sum += static_cast<float>(a.share * sum[0]);
    });
  }
};

/// *reach = radius times the deviation of all numbers.
struct deviation_args {
  const float* x;
  std::size_t count;
  float radius;
  float* reach;
  float* partials;  ///< [blocks][2]
  unsigned* ticket;
};

/// Numbers are taken relative to the first one; every block adds up its share, the last one the
/// blocks' sums in their order.
template <int Threads>
struct deviation_tile {
  struct shared_storage {
    double firsts[Threads / 32], seconds[Threads / 32];
    bool flag;
  };

  __device__ void operator()(const deviation_args& a, shared_storage& shared) const {
    double first = 0, second = 0;
    for (std::size_t i = std::size_t{blockIdx.x} * Threads + threadIdx.x; i < a.count;
         i += std::size_t{gridDim.x} * Threads) {
      const double d = static_cast<double>(a.x[i]) - a.x[0];
      first += d;
      second += d * d;
    }
    const double both[2] = {block_sum<Threads>(first, shared.firsts),
                            block_sum<Threads>(second, shared.seconds)};
    finish_over_blocks(both, a.partials, a.ticket, shared.flag, [&](const double(&sums)[2]) {
      const double mean = sums[0] / static_cast<double>(a.count);
      const double raw = sums[1] / static_cast<double>(a.count) - mean * mean;
      *a.reach = static_cast<float>(a.radius * sqrt(raw < 0 ? 0 : raw));  // NaN stays
    });
  }
};

/// y_i = u_i a_i + (1 - u_i) b_i, the numbers u from the stream.
template <int Size>
struct interpolate_body {
  const float *a, *b;
  float* y;
  std::size_t count;
  stream_id stream;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto at_a = load<Width>(a + i), at_b = load<Width>(b + i);
    const float first = uniform_at(stream, i / Size);
    store(y + i, generate<Width>([&](int j) {
            const float u = Size % Width == 0 ? first : uniform_at(stream, (i + j) / Size);
            return u * at_a.v[j] + (1.0f - u) * at_b.v[j];
          }));
  }
};

/// y_i = x_i + reach u_i w_i, see ops::perturb.
template <int Size>
struct perturb_body {
  const float* x;
  float* y;
  std::size_t count;
  const float* reach;
  stream_id stream;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    const auto in = load<Width>(x + i);
    const std::size_t samples = count / Size;
    const philox::block words = philox::at(stream, static_cast<std::uint32_t>(samples + i / 4));
    const float first = uniform_at(stream, i / Size), far = *reach;
    store(y + i, generate<Width>([&](int j) {
            const float u = Size % Width == 0 ? first : uniform_at(stream, (i + j) / Size);
            return in.v[j] + far * u * philox::to_unit(words[i % 4 + j]);
          }));
  }
};

}  // namespace gantry::kernels
