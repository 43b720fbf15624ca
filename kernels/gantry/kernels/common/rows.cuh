// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows of numbers: sums over each in a fixed order, and what follows from them, in one launch.
#pragma once

#include <algorithm>

#include "gantry/kernels/common/launch.cuh"
#include "gantry/kernels/common/policy.hpp"

namespace gantry::inline v0::kernels {

/// N sums of a row, the same in all threads that work on it.
template <int N>
struct row_sums {
  double v[N];
};

/// Rows of a block, or of a warp each where they are short. A body has
///   sums, rows, terms, results   the number of sums of a row, and how many of the others there are
///   add(row, term, sums)         adds to as many floats
///   facts(row, sums)             what the results of a row have in common
///   write(row, result, facts)    may overwrite what only this result reads
/// and may have finish(row, facts), for what there is once per row.
template <int Threads, int RowThreads>
struct row_tile {
  static_assert(RowThreads == 32 || RowThreads == Threads, "a row has a warp or a block");
  static constexpr int warps = Threads / 32;

  template <int N>
  struct storage {
    double sums[N][warps];
  };

  template <class Body>
  __device__ void operator()(const Body& body, storage<Body::sums>& shared) const {
    const int thread = static_cast<int>(threadIdx.x);
    const int lane = thread % RowThreads;
    const int row = static_cast<int>(blockIdx.x) * (Threads / RowThreads) + thread / RowThreads;
    float mine[Body::sums] = {};
    if (row < body.rows)
      for (int term = lane; term < body.terms; term += RowThreads) body.add(row, term, mine);
    row_sums<Body::sums> all;
#pragma unroll
    for (int k = 0; k < Body::sums; ++k) {
      double v = mine[k];
      for (int offset = 16; offset > 0; offset /= 2) v += __shfl_xor_sync(0xffffffffu, v, offset);
      all.v[k] = v;
    }
    if constexpr (RowThreads > 32)
      over_warps(all, shared);
    else
      __syncwarp();  // a shuffle orders no memory, and results may overwrite terms
    if (row >= body.rows) return;
    const auto facts = body.facts(row, all);
    for (int result = lane; result < body.results; result += RowThreads)
      body.write(row, result, facts);
    if constexpr (requires { body.finish(row, facts); })
      if (lane == 0) body.finish(row, facts);
  }

 private:
  /// Warps are added one after the other, by each thread for itself.
  template <int N>
  __device__ static void over_warps(row_sums<N>& all, storage<N>& shared) {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    if (threadIdx.x % 32 == 0)
      for (int k = 0; k < N; ++k) shared.sums[k][warp] = all.v[k];
    __syncthreads();
#pragma unroll
    for (int k = 0; k < N; ++k) {
      all.v[k] = 0;
      for (int w = 0; w < warps; ++w) all.v[k] += shared.sums[k][w];
    }
  }
};

inline launch_size row_size(int rows, const row_policy& policy) {
  return {dim3(static_cast<unsigned>(ceil_div(rows, policy.rows()))),
          static_cast<unsigned>(policy.threads)};
}

}  // namespace gantry::kernels
