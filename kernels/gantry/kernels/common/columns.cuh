// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Sums per channel: a block's threads are lines of neighbouring channels; lines are added in their
// order.
#pragma once

#include <cuda_runtime.h>

namespace gantry::inline v0::kernels {

/// N sums of a channel.
template <int N>
struct channel_terms {
  double v[N];
  __device__ channel_terms& operator+=(const channel_terms& more) {
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] += more.v[k];
    return *this;
  }
};

/// What a thread has added.
template <int N>
__device__ channel_terms<N> terms_of(const float (&sums)[N]) {
  channel_terms<N> terms;
#pragma unroll
  for (int k = 0; k < N; ++k) terms.v[k] = sums[k];
  return terms;
}

/// The sum over a channel's lines, one after the other; valid in line 0. All threads call it.
template <int Lines, int Channels, int N>
__device__ channel_terms<N> over_lines(channel_terms<N> sum, int lane, int line,
                                       channel_terms<N> (&shared)[Lines][Channels]) {
  shared[line][lane] = sum;
  __syncthreads();
  if (line == 0)
    for (int l = 1; l < Lines; ++l) sum += shared[l][lane];
  return sum;
}

}  // namespace gantry::kernels
