// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// One block's tile of a product: operands go from memory through registers into two stages of
// shared memory, with one barrier per step of the depth; sums leave through shared memory, so that
// threads next to each other write packs next to each other.
#pragma once

#include <type_traits>

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
  /// What a norm makes of what is held; not in fetch(), whose loads nothing may wait for.
  template <class Norm>
  __device__ void normalise(const Norm& norm, int first_k) {
#pragma unroll
    for (int i = 0; i < packs; ++i)
      operand_.normalise(norm, cursors_[i], first_k + step(i), held_[i]);
  }
  template <class Stage>
  __device__ void put(Stage& stage) const {
#pragma unroll
    for (int i = 0; i < packs; ++i)
      stage.template put<Operand::along_depth>(line(i), step(i), held_[i]);
  }
  /// Adds what is held to the sums of four lines, which are the same for all packs of a thread.
  __device__ void add_to(pack<4>& sums) const {
    static_assert(!Operand::along_depth && Threads == 2 * Lines, "a thread has four lines");
#pragma unroll
    for (int i = 0; i < packs; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) sums.v[j] += held_[i].v[j];
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
  using summer = result_summer<P.threads(), P.rows, P.columns>;
  struct shared_storage {
    union {
      stage stages[2];
      slab sums;
      typename summer::shared_storage results;
    };
    bool is_last;
  };

  template <class Problem>
  __device__ void operator()(const Problem& problem, shared_storage& shared) const {
    const int phase = static_cast<int>(blockIdx.z) / problem.split.pieces;
    const int piece = static_cast<int>(blockIdx.z) % problem.split.pieces;
    const auto& p = problem.phase(phase);
    using phase_type = std::remove_cvref_t<decltype(p)>;
    core sums;
    const pack<4> lines = accumulate(p, piece, shared, sums);
    const int row = static_cast<int>(blockIdx.x) * P.rows;
    const int column = static_cast<int>(blockIdx.y) * P.columns;
    const auto put = [&](int r, int c, const pack<4>& sum) {
      p.result.put(row + r, column + c, sum);
    };
    if constexpr (sums_lines<phase_type>) add_lines(p, piece, lines);
    if (problem.split.pieces == 1)
      drain(sums, shared, put);
    else if (!gather(problem.split, {phase, piece}, sums, shared, put))
      return;
    if constexpr (sums_lines<phase_type>) finish_lines(p);
    if constexpr (requires { p.result.fusion.sums; }) {
      const result_sums& s = p.result.fusion.sums;
      if (s.kind == sums_kind::none) return;
      const int blocks = static_cast<int>(gridDim.x * gridDim.z) / problem.split.pieces;
      const int block = phase * static_cast<int>(gridDim.x) + static_cast<int>(blockIdx.x);
      summer::run(s, p.result, row, block, blocks, shared.results);
    }
  }

 private:
  /// Only a weight gradient's left operand runs against the depth.
  template <class Phase>
  static constexpr bool sums_lines = !decltype(Phase::left)::along_depth;
  template <class Phase>
  static constexpr bool left_loads_norm = P.has_room_for_norm() &&
                                          requires(const Phase& p, pack<4>& numbers) {
    p.left.normalise(p.result.fusion.norm, p.left.at(0), 0, numbers);
  };
  template <class Phase>
  static constexpr bool right_loads_norm = P.has_room_for_norm() &&
                                           requires(const Phase& p, pack<4>& numbers) {
    p.result.fusion.norms_right();
    p.right.normalise(p.result.fusion.norm, p.right.at(0), 0, numbers);
  };

  /// @returns the sums of the thread's four lines, where they are wanted
  template <class Phase>
  __device__ static pack<4> accumulate(const Phase& p, int piece, shared_storage& shared,
                                       core& sums) {
    pack<4> lines{};
    const int steps = (p.depth + P.depth - 1) / P.depth;
    const int share = (steps + p.split.pieces - 1) / p.split.pieces;
    const int begin = piece * share, end = begin + share < steps ? begin + share : steps;
    if (begin >= end) return lines;
    stager<decltype(p.left), P.rows, P.depth, P.threads()> left(
        p.left, static_cast<int>(blockIdx.x) * P.rows);
    stager<decltype(p.right), P.columns, P.depth, P.threads()> right(
        p.right, static_cast<int>(blockIdx.y) * P.columns);
    const auto fetch = [&](int step) {
      left.fetch(step * P.depth);
      right.fetch(step * P.depth);
    };
    const auto put = [&](stage& s, int step) {
      if constexpr (left_loads_norm<Phase>)
        if (p.result.fusion.norms_left()) left.normalise(p.result.fusion.norm, step * P.depth);
      if constexpr (right_loads_norm<Phase>)
        if (p.result.fusion.norms_right()) right.normalise(p.result.fusion.norm, step * P.depth);
      left.put(s.left);
      right.put(s.right);
      if constexpr (sums_lines<Phase>) left.add_to(lines);
    };
    // The turn before the first only fills a stage: written as a turn, so that the code of fetch
    // and put is there once.
    for (int step = begin - 1; step < end; ++step) {
      const bool more = step + 1 < end;
      const int now = (step - begin) & 1;
      if (more) fetch(step + 1);
      if (step >= begin) sums.multiply(shared.stages[now].left, shared.stages[now].right);
      if (more) put(shared.stages[1 - now], step + 1);
      __syncthreads();
    }
    return lines;
  }

  /// Eight neighbouring threads have the same four lines; of the blocks that have them, the first
  /// column's add them.
  template <class Phase>
  __device__ static void add_lines(const Phase& p, int piece, pack<4> lines) {
    if (!p.lines.to || blockIdx.y != 0) return;
#pragma unroll
    for (int offset = 4; offset > 0; offset /= 2)
#pragma unroll
      for (int j = 0; j < 4; ++j) lines.v[j] += __shfl_xor_sync(0xffffffffu, lines.v[j], offset);
    if (threadIdx.x % 8 != 0) return;
    const int row = static_cast<int>(blockIdx.x) * P.rows + static_cast<int>(threadIdx.x) / 8 * 4;
    const bool whole = p.split.pieces == 1;
    float* to =
        whole ? p.lines.to : p.lines.partials + piece * static_cast<int>(gridDim.x) * P.rows;
    for (int j = 0; j < 4 && (!whole || row + j < p.result.rows); ++j)
      to[row + j] = whole ? to[row + j] + lines.v[j] : lines.v[j];
  }
  /// In the last block of a tile whose depth was shared.
  template <class Phase>
  __device__ static void finish_lines(const Phase& p) {
    const int row = static_cast<int>(blockIdx.x) * P.rows + static_cast<int>(threadIdx.x);
    if (!p.lines.to || blockIdx.y != 0 || p.split.pieces == 1 || threadIdx.x >= P.rows ||
        row >= p.result.rows)
      return;
    float sum = 0;
    for (int piece = 0; piece < p.split.pieces; ++piece)
      sum += p.lines.partials[piece * static_cast<int>(gridDim.x) * P.rows + row];
    p.lines.to[row] += sum;
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
  /// their order. @returns whether this is that block
  struct place {
    int phase, piece;
  };
  template <class F>
  __device__ static bool gather(const gemm_split& split, place at, core& sums,
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
      return false;
    for (int i = static_cast<int>(threadIdx.x) * 4; i < P.rows * P.columns; i += P.threads() * 4) {
      auto sum = load<4>(partial(0, i));
      for (int piece = 1; piece < split.pieces; ++piece) {
        const auto more = load<4>(partial(piece, i));
#pragma unroll
        for (int j = 0; j < 4; ++j) sum.v[j] += more.v[j];
      }
      f(i / P.columns, i % P.columns, sum);
    }
    return true;
  }
};

}  // namespace gantry::kernels
