// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// One block's tile of a product: operands go from memory through registers into two stages of
// shared memory, with one barrier per step of the depth; sums leave through shared memory, so that
// threads next to each other write packs next to each other.
#pragma once

#include "gantry/kernels/common/reduce.cuh"
#include "gantry/kernels/gemm/core.cuh"
#include "gantry/kernels/gemm/operand.cuh"

namespace gantry::inline v0::kernels {

/// The packs of one operand that a thread moves per step.
template <class Operand, int Lines, int Depth, int Threads>
class stager {
  static constexpr int packs = Lines * Depth / 4 / Threads;
  static_assert(packs * 4 * Threads == Lines * Depth && Depth % 8 == 0,
                "the threads of a block must share a step's packs evenly");

 public:
  __device__ stager(const Operand& operand, int first_line) : operand_(operand) {
#pragma unroll
    for (int i = 0; i < packs; ++i) cursors_[i] = operand.at(first_line + line(i));
  }
  __device__ void fetch(int first_k) {
#pragma unroll
    for (int i = 0; i < packs; ++i) held_[i] = operand_.fetch(cursors_[i], first_k + step(i));
  }
  template <class Stage>
  __device__ void put(Stage& stage) const {
#pragma unroll
    for (int i = 0; i < packs; ++i)
      stage.template put<Operand::along_depth>(line(i), step(i), held_[i]);
  }

 private:
  /// Neighbouring threads take neighbouring memory; where the stage is transposed, eight of them
  /// take eight steps, so that their stores fall into different banks.
  __device__ static int index(int i) { return static_cast<int>(threadIdx.x) + i * Threads; }
  __device__ static int line(int i) {
    return Operand::along_depth ? index(i) / (Depth / 4) : index(i) / 8 % (Lines / 4) * 4;
  }
  __device__ static int step(int i) {
    return Operand::along_depth ? index(i) % (Depth / 4) * 4
                                : index(i) % 8 + index(i) / (8 * (Lines / 4)) * 8;
  }
  const Operand& operand_;
  typename Operand::cursor cursors_[packs];
  pack<4> held_[packs];
};

template <gemm_math Math, gemm_policy P>
class gemm_tile {
  using core = typename gemm_core_of<Math, P>::type;
  struct stage {
    typename core::template operand<P.rows> left;
    typename core::template operand<P.columns> right;
  };

  /// As many rows of sums as a warp has.
  struct slab {
    __align__(16) float v[P.warp_rows][P.columns + 4];
  };

 public:
  struct shared_storage {
    union {
      stage stages[2];
      slab sums;
    };
    bool is_last;
  };

  template <class Problem>
  __device__ void operator()(const Problem& problem, shared_storage& shared) const {
    const int phase = static_cast<int>(blockIdx.z) / problem.split.pieces;
    const int piece = static_cast<int>(blockIdx.z) % problem.split.pieces;
    const auto& p = problem.phase(phase);
    core sums;
    accumulate(p, piece, shared, sums);
    const int row = static_cast<int>(blockIdx.x) * P.rows;
    const int column = static_cast<int>(blockIdx.y) * P.columns;
    const auto put = [&](int r, int c, const pack<4>& sum) {
      p.result.put(row + r, column + c, sum);
    };
    if (problem.split.pieces == 1)
      drain(sums, shared, put);
    else
      gather(problem.split, {phase, piece}, sums, shared, put);
  }

 private:
  template <class Phase>
  __device__ static void accumulate(const Phase& p, int piece, shared_storage& shared, core& sums) {
    const int steps = (p.depth + P.depth - 1) / P.depth;
    const int share = (steps + p.split.pieces - 1) / p.split.pieces;
    const int begin = piece * share, end = begin + share < steps ? begin + share : steps;
    if (begin >= end) return;
    stager<decltype(p.left), P.rows, P.depth, P.threads()> left(
        p.left, static_cast<int>(blockIdx.x) * P.rows);
    stager<decltype(p.right), P.columns, P.depth, P.threads()> right(
        p.right, static_cast<int>(blockIdx.y) * P.columns);
    const auto fetch = [&](int step) {
      left.fetch(step * P.depth);
      right.fetch(step * P.depth);
    };
    const auto put = [&](stage& s) {
      left.put(s.left);
      right.put(s.right);
    };
    // The turn before the first only fills a stage: written as a turn, so that the code of fetch
    // and put is there once.
    for (int step = begin - 1; step < end; ++step) {
      const bool more = step + 1 < end;
      const int now = (step - begin) & 1;
      if (more) fetch(step + 1);
      if (step >= begin) sums.multiply(shared.stages[now].left, shared.stages[now].right);
      if (more) put(shared.stages[1 - now]);
      __syncthreads();
    }
  }

  /// f(row, column, pack of sums) for the whole tile.
  template <class F>
  __device__ static void drain(core& sums, shared_storage& shared, F f) {
    constexpr int packs_of_row = P.columns / 4;
    for (int first = 0; first < P.rows; first += P.warp_rows) {
      sums.visit([&](int r, int c, const auto& sum) {
        if (r >= first && r < first + P.warp_rows) store(&shared.sums.v[r - first][c], sum);
      });
      __syncthreads();
      for (int i = static_cast<int>(threadIdx.x); i < P.warp_rows * packs_of_row;
           i += P.threads()) {
        const int r = i / packs_of_row, c = i % packs_of_row * 4;
        f(first + r, c, load<4>(&shared.sums.v[r][c]));
      }
      __syncthreads();
    }
  }

  /// Leaves this piece's sums in memory; the last block of the tile adds those of all pieces up, in
  /// their order.
  struct place {
    int phase, piece;
  };
  template <class F>
  __device__ static void gather(const gemm_split& split, place at, core& sums,
                                shared_storage& shared, F f) {
    const std::size_t tiles = std::size_t{gridDim.x} * gridDim.y;
    const std::size_t tile = std::size_t{blockIdx.y} * gridDim.x + blockIdx.x;
    constexpr auto area = static_cast<std::size_t>(P.rows * P.columns);
    const auto partial = [&](int piece, int offset) {
      const auto index = static_cast<std::size_t>(at.phase * split.pieces + piece) * tiles + tile;
      return split.partials + index * area + offset;
    };
    drain(sums, shared, [&](int r, int c, const pack<4>& sum) {
      store(partial(at.piece, r * P.columns + c), sum);
    });
    if (!is_last_block(split.tickets + static_cast<std::size_t>(at.phase) * tiles + tile,
                       static_cast<unsigned>(split.pieces), shared.is_last))
      return;
    for (int i = static_cast<int>(threadIdx.x) * 4; i < P.rows * P.columns; i += P.threads() * 4) {
      auto sum = load<4>(partial(0, i));
      for (int piece = 1; piece < split.pieces; ++piece) {
        const auto more = load<4>(partial(piece, i));
#pragma unroll
        for (int j = 0; j < 4; ++j) sum.v[j] += more.v[j];
      }
      f(i / P.columns, i % P.columns, sum);
    }
  }
};

}  // namespace gantry::kernels
