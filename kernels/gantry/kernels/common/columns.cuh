// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Sums per channel in two stages of fixed order: a block's threads are lines of neighbouring
// channels, lines are added in their order, and blocks are.
#pragma once

#include <algorithm>

#include "gantry/kernels/common/launch.cuh"
#include "gantry/kernels/common/policy.hpp"
#include "gantry/kernels/common/reduce.cuh"

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

/// A body has the number of its `sums`, add(row, channel, sums), which adds to as many floats, and
/// finish(channel, terms).
template <class Body>
struct channel_args {
  Body body;
  int rows, channels;
  float* partials;    ///< [group of channels][block][sums][channels of a block]
  unsigned* tickets;  ///< [group of channels]
};

/// A block adds up its rows, the last block of a group of channels the blocks' sums.
template <int Threads, int Channels, int Sums>
struct channel_tile {
  static constexpr int lines = Threads / Channels;

  struct shared_storage {
    channel_terms<Sums> sums[lines][Channels];
    bool is_last;
  };

  template <class Body>
  __device__ void operator()(const channel_args<Body>& a, shared_storage& shared) const {
    const int lane = static_cast<int>(threadIdx.x) % Channels;
    const int line = static_cast<int>(threadIdx.x) / Channels;
    const int channel = static_cast<int>(blockIdx.y) * Channels + lane;
    const bool is_channel = channel < a.channels;
    const int blocks = static_cast<int>(gridDim.x);
    float sums[Sums] = {};
    if (is_channel)
      for (int row = static_cast<int>(blockIdx.x) * lines + line; row < a.rows;
           row += blocks * lines)
        a.body.add(row, channel, sums);
    const auto mine = over_lines(terms_of(sums), lane, line, shared.sums);
    const auto partial = [&](int block, int which) -> float& {
      const int group = static_cast<int>(blockIdx.y) * blocks + block;
      return a.partials[(group * Sums + which) * Channels + lane];
    };
    if (line == 0)
      for (int k = 0; k < Sums; ++k)
        partial(static_cast<int>(blockIdx.x), k) = static_cast<float>(mine.v[k]);
    if (!is_last_block(a.tickets + blockIdx.y, gridDim.x, shared.is_last)) return;
    channel_terms<Sums> some{};
    for (int block = line; block < blocks; block += lines)
      for (int k = 0; k < Sums; ++k) some.v[k] += partial(block, k);
    const auto all = over_lines(some, lane, line, shared.sums);
    if (line == 0 && is_channel) a.body.finish(channel, all);
  }
};

/// Sums over `rows` pixels; the scratch begins with `reserved` floats that stay as they are.
/// @throws usage_error where it is too small
template <class Selector, class Body>
void start_columns(const context& c, void (*kernel)(channel_args<Body>), const Body& body, int rows,
                   int channels, std::size_t reserved = 0) {
  constexpr channel_policy policy = Selector{}();
  const int groups = ceil_div(channels, policy.channels);
  const auto of_block = static_cast<std::size_t>(Body::sums * groups * policy.channels);
  if (rows == 0) return;
  expects(c.partial_count >= reserved + of_block && c.ticket_count >= static_cast<unsigned>(groups),
          "Sums per channel need scratch for two numbers per sum and channel, found less; make the "
          "context's scratch larger.");
  const int wanted = ceil_div(rows, policy.lines() * policy.rows);
  const int allowed = c.multiprocessors * policy.blocks_per_multiprocessor / groups;
  const auto room = static_cast<int>(
      std::min<std::size_t>((c.partial_count - reserved) / of_block, std::size_t{1} << 16));
  const int blocks = std::max(1, std::min({wanted, allowed, room}));
  start(c, kernel,
        {dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(groups)),
         static_cast<unsigned>(policy.threads)},
        {body, rows, channels, c.partials + reserved, c.tickets});
}

}  // namespace gantry::kernels
