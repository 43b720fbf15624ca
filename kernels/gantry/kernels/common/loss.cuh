// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Sums over the samples of a loss, whose terms also write their seeds.
#pragma once

#include <algorithm>
#include <cstddef>

#include <cuda_runtime.h>

#include "gantry/base/error.hpp"
#include "gantry/base/math.hpp"
#include "gantry/kernels/common/launch.cuh"
#include "gantry/kernels/common/reduce.cuh"

namespace gantry::inline v0::kernels {

/// A loss has a number per sample: few, so one block as a rule, and no need for packs.
struct loss_policy {
  int threads;
  int terms;  ///< of a thread, before a second block is worth its last stage
  int most_blocks;
  friend constexpr bool operator==(const loss_policy&, const loss_policy&) = default;
};

struct loss_policy_selector {
  constexpr loss_policy operator()() const { return {256, 4, 64}; }
};

namespace detail {

/// Blocks of a loss over `count` numbers: at most loss_policy::most_blocks, with a partial each,
/// and one ticket. @throws usage_error
inline launch_size loss_size(const context& c, std::size_t count) {
  constexpr loss_policy policy = loss_policy_selector{}();
  const auto most = static_cast<std::size_t>(policy.most_blocks);
  expects(c.partial_count >= most && c.ticket_count >= 1,
          "A loss needs scratch for 64 partial sums and a ticket, found less; make the context's "
          "scratch larger.");
  const auto per_block = static_cast<std::size_t>(policy.threads * policy.terms);
  return {dim3(static_cast<unsigned>(std::min(ceil_div(count, per_block), most))),
          static_cast<unsigned>(policy.threads)};
}

}  // namespace detail

/// Where a loss leaves copies of the outputs that it reads, and of the sum behind it; null:
/// nowhere.
struct output_copies {
  float *a{}, *b{}, *sum{};

  /// x, which goes to a copy too.
  __device__ static float pass(float x, float* copy, std::size_t i) {
    if (copy) copy[i] = x;
    return x;
  }
};

/// What losses over two batches have for loss_tile: f is of the first `count_a` of `count` outputs,
/// g of the others.
template <class OnA, class OnB>
struct two_batch_loss {
  std::size_t count_a, count;
  float* sum;
  OnA f;
  OnB g;
  float* partials;  ///< [blocks]
  unsigned* ticket;
  output_copies copies;
  static constexpr float scale = 1.0f;  // each batch has its own
};

/// Every block adds up its share, the last one the blocks' sums in their order.
template <int Threads>
struct loss_tile {
  struct shared_storage {
    double warps[Threads / 32];
    bool flag;
  };

  template <class Args>
  __device__ void operator()(const Args& a, shared_storage& shared) const {
    double mine = 0;
    for (std::size_t i = std::size_t{blockIdx.x} * Threads + threadIdx.x; i < a.count;
         i += std::size_t{gridDim.x} * Threads)
      mine += a.term(i);
    const double total[1] = {block_sum<Threads>(mine, shared.warps)};
    finish_over_blocks(total, a.partials, a.ticket, shared.flag, [&](const double(&sum)[1]) {
      const float loss = *a.sum + static_cast<float>(a.scale * sum[0]);
      *a.sum = loss;
      if (a.copies.sum) *a.copies.sum = loss;
    });
  }
};

}  // namespace gantry::kernels
