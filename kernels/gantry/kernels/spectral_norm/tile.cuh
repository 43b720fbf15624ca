// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Power iteration of a weight matrix [rows][columns] and what follows from it, in one launch of
// three phases. A block that needs the norm of a vector adds it up itself: that costs reads of a
// few kilobytes and saves a phase; all blocks add in the same order, so that they agree to the bit.
#pragma once

#include "gantry/kernels/common/reduce.cuh"
#include "gantry/kernels/common/stream.cuh"
#include "gantry/kernels/common/turns.cuh"
#include "gantry/kernels/spectral_norm/policy.hpp"

namespace gantry::inline v0::kernels {

struct spectral_args {
  const float* weight;
  int rows, columns;
  float *u, *v, *scaled, *saved_u, *saved_v, *sigma;
  float epsilon;
  bool iterate;
  float *raw_v, *raw_u;    ///< W^T u and W v, scratch
  unsigned column_blocks;  ///< none without iteration
  unsigned scale_blocks;
  unsigned* turns;  ///< two
};

template <int Threads>
struct spectral_shared {
  double warps[Threads / 32];
  double result;
  bool flag;
};

/// The sum over i below count of term(i), in all threads.
template <int Threads, class Term>
__device__ double sum_in_all(int count, spectral_shared<Threads>& shared, Term term) {
  double mine = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += Threads) mine += term(i);
  const double sum = block_sum<Threads>(mine, shared.warps);
  if (threadIdx.x == 0) shared.result = sum;
  __syncthreads();
  const double found = shared.result;
  __syncthreads();
  return found;
}

__device__ inline double at_least(double norm, double epsilon) {
  return norm < epsilon ? epsilon : norm;  // NaN stays
}

template <int Threads>
struct spectral_phases_shared : spectral_shared<Threads> {
  double sums[Threads / 32][32];
  unsigned turn;
};

/// raw_v = W^T u: a warp reads 32 columns of a row, eight warps take every eighth row.
template <int Threads>
__device__ void multiply_columns(const spectral_args& a, spectral_phases_shared<Threads>& shared,
                                 unsigned block) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int column = static_cast<int>(block) * 32 + lane;
  double sum = 0;
  if (column < a.columns)
    for (int row = warp; row < a.rows; row += Threads / 32)
      sum += static_cast<double>(a.weight[static_cast<std::size_t>(row) * a.columns + column]) *
             a.u[row];
  shared.sums[warp][lane] = sum;
  __syncthreads();
  if (warp == 0 && column < a.columns) {
    for (int w = 1; w < Threads / 32; ++w) sum += shared.sums[w][lane];
    a.raw_v[column] = static_cast<float>(sum);
  }
}

/// raw_u = W v, a block per row; the first one also writes v.
template <int Threads>
__device__ void multiply_row(const spectral_args& a, spectral_shared<Threads>& shared,
                             unsigned block) {
  const float* raw = a.iterate ? a.raw_v : a.v;
  double norm = 1;
  if (a.iterate) {
    const double square = sum_in_all<Threads>(
        a.columns, shared, [&](int i) { return static_cast<double>(raw[i]) * raw[i]; });
    norm = at_least(sqrt(square), a.epsilon);
  }
  const float* row = a.weight + std::size_t{block} * a.columns;
  const double dot = sum_in_all<Threads>(a.columns, shared, [&](int i) {
    return static_cast<double>(row[i]) * static_cast<float>(raw[i] / norm);
  });
  if (threadIdx.x == 0) a.raw_u[block] = static_cast<float>(dot);
  if (block != 0) return;
  for (int i = static_cast<int>(threadIdx.x); i < a.columns; i += Threads) {
    const auto one = static_cast<float>(raw[i] / norm);
    if (a.iterate) a.v[i] = one;
    a.saved_v[i] = one;
  }
}

/// scaled = W / sigma; the first block also writes u and sigma.
template <int Threads>
__device__ void scale_by_sigma(const spectral_args& a, spectral_shared<Threads>& shared,
                               unsigned block) {
  double norm = 1;
  if (a.iterate) {
    const double square = sum_in_all<Threads>(
        a.rows, shared, [&](int i) { return static_cast<double>(a.raw_u[i]) * a.raw_u[i]; });
    norm = at_least(sqrt(square), a.epsilon);
  }
  // Without iteration the u that is there counts; with it, nobody reads u in this phase.
  const auto u = [&](int i) { return a.iterate ? static_cast<float>(a.raw_u[i] / norm) : a.u[i]; };
  const double sigma = sum_in_all<Threads>(
      a.rows, shared, [&](int i) { return static_cast<double>(u(i)) * a.raw_u[i]; });
  const std::size_t count = static_cast<std::size_t>(a.rows) * a.columns;
  const std::size_t threads = std::size_t{a.scale_blocks} * Threads;
  for (std::size_t i = std::size_t{block} * Threads + threadIdx.x; i < count; i += threads)
    a.scaled[i] = static_cast<float>(a.weight[i] / sigma);
  if (block != 0) return;
  for (int i = static_cast<int>(threadIdx.x); i < a.rows; i += Threads) {
    const float one = u(i);
    if (a.iterate) a.u[i] = one;
    a.saved_u[i] = one;
  }
  if (threadIdx.x == 0) *a.sigma = static_cast<float>(sigma);
}

/// The three phases; a block works in one of them, as its turn says.
template <int Threads>
struct spectral_normalise_tile {
  using shared_storage = spectral_phases_shared<Threads>;
  __device__ void operator()(const spectral_args& a, shared_storage& shared) const {
    const auto rows = static_cast<unsigned>(a.rows);
    const unsigned turn = take_turn(a.turns, shared.turn), before_scale = a.column_blocks + rows;
    if (turn < a.column_blocks) {
      multiply_columns<Threads>(a, shared, turn);
    } else if (turn < before_scale) {
      wait_for_turns(a.turns, a.column_blocks);
      multiply_row<Threads>(a, shared, turn - a.column_blocks);
    } else {
      wait_for_turns(a.turns, before_scale);
      scale_by_sigma<Threads>(a, shared, turn - before_scale);
    }
    finish_turn(a.turns, before_scale + a.scale_blocks);
  }
};

/// dweight += (G - <G, W / sigma> u v^T) / sigma.
struct spectral_gradient_args {
  const float *gradient, *scaled, *u, *v, *sigma;
  float* dweight;
  int columns;
  std::size_t count;
  float* along;     ///< <G, W / sigma>, scratch
  float* partials;  ///< [blocks]
  unsigned* ticket;
};

/// *along, in two stages of fixed order.
template <int Threads>
struct spectral_along_tile {
  using shared_storage = spectral_shared<Threads>;
  __device__ void operator()(const spectral_gradient_args& a, shared_storage& shared) const {
    double mine = 0;
    for (std::size_t i = std::size_t{blockIdx.x} * Threads + threadIdx.x; i < a.count;
         i += std::size_t{gridDim.x} * Threads)
      mine += static_cast<double>(a.gradient[i]) * a.scaled[i];
    const double sum[1] = {block_sum<Threads>(mine, shared.warps)};
    finish_over_blocks(sum, a.partials, a.ticket, shared.flag,
                       [&](const double(&all)[1]) { *a.along = static_cast<float>(all[0]); });
  }
};

struct spectral_gradient_body {
  spectral_gradient_args a;
  std::size_t count;

  template <int Width>
  __device__ void apply(std::size_t i) const {
    static_assert(Width == 1, "the unit of this body is a number");
    const float outer = *a.along * a.u[i / a.columns] * a.v[i % a.columns];
    a.dweight[i] += (a.gradient[i] - outer) / *a.sigma;
  }
};

}  // namespace gantry::kernels
