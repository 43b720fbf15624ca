// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Sums in a fixed order, within a block and over blocks: equal inputs give equal bits.
#pragma once

#include <cuda_runtime.h>

namespace gantry::inline v0::kernels {

/// The sum over a block whose threads all call it; valid in thread 0. Lanes are added as a tree,
/// warps one after the other.
template <int Threads>
__device__ double block_sum(double v, double (&warps)[Threads / 32]) {
  static_assert(Threads % 32 == 0, "a block that adds up has whole warps");
  for (int offset = 16; offset > 0; offset /= 2) v += __shfl_xor_sync(0xffffffffu, v, offset);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = v;
  __syncthreads();
  if (threadIdx.x == 0)
    for (int w = 1; w < Threads / 32; ++w) v += warps[w];
  return v;
}

/// True in all threads of the block that comes last of `blocks`: it sees what the others wrote
/// before. All threads of a block call it; it leaves the ticket at 0.
__device__ inline bool is_last_block(unsigned* ticket, unsigned blocks, bool& shared_flag) {
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    shared_flag = atomicAdd(ticket, 1u) == blocks - 1;
    if (shared_flag) atomicExch(ticket, 0u);
  }
  __syncthreads();
  const bool last = shared_flag;
  if (last) __threadfence();
  return last;
}

/// f(the sums over all blocks of what their first threads bring), in one thread of the block that
/// comes last, which adds the blocks' numbers in their order. partials: [blocks][N]. All threads of
/// a block call it; it leaves the ticket at 0.
template <int N, class F>
__device__ void finish_over_blocks(const double (&mine)[N], float* partials, unsigned* ticket,
                                   bool& shared_flag, F f) {
  if (threadIdx.x == 0)
    for (int k = 0; k < N; ++k) partials[N * blockIdx.x + k] = static_cast<float>(mine[k]);
  if (!is_last_block(ticket, gridDim.x, shared_flag) || threadIdx.x != 0) return;
  double sums[N] = {};
  for (unsigned b = 0; b < gridDim.x; ++b)
    for (int k = 0; k < N; ++k) sums[k] += partials[N * b + k];
  f(sums);
}

}  // namespace gantry::kernels
