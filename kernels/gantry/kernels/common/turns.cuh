// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Phases of one launch: a block's work follows from the turn that it takes when it starts, and it
// waits only for turns before its own. Whoever has one of those runs already, so that somebody
// always gets on, however few blocks the device holds at a time and in whatever order it starts
// them. (A barrier of the whole grid would need all blocks on the device at once.)
#pragma once

#include <cuda_runtime.h>

namespace gantry::inline v0::kernels {

/// This block's turn, from 0. turns: how many have been taken, how many have been finished; both
/// are 0 before and after the launch. All threads of a block call it, once.
__device__ inline unsigned take_turn(unsigned* turns, unsigned& shared_turn) {
  if (threadIdx.x == 0) shared_turn = atomicAdd(turns, 1u);
  __syncthreads();
  return shared_turn;
}

/// Returns once `count` turns have been finished, all of them before this block's own; what they
/// wrote is then visible. They must be finished in an order that makes the first `count` to finish
/// those with the lowest numbers: each phase waits for the whole one before it. All threads call
/// it.
__device__ inline void wait_for_turns(unsigned* turns, unsigned count) {
  if (threadIdx.x == 0)
    while (atomicAdd(turns + 1, 0u) < count) __nanosleep(100);
  __syncthreads();
  __threadfence();
}

/// Makes what the block wrote visible to those that wait. The last of `all` turns leaves both
/// numbers at 0. All threads call it, at the end.
__device__ inline void finish_turn(unsigned* turns, unsigned all) {
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0 && atomicAdd(turns + 1, 1u) == all - 1) {
    atomicExch(turns, 0u);
    atomicExch(turns + 1, 0u);
  }
}

}  // namespace gantry::kernels
