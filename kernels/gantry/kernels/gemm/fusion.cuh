// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What a product does besides multiplying, chosen at launch: one kernel for a layer with and
// without its activation, its batch norm's sums, its bias, the pass of the batch norm before it.
#pragma once

#include "gantry/kernels/common/norm_pass.cuh"
#include "gantry/kernels/common/norm_sums.cuh"
#include "gantry/kernels/common/pack.cuh"
#include "gantry/kernels/common/reduce.cuh"

namespace gantry::inline v0::kernels {

enum class sums_kind { none, statistics, gradients };

/// Sums over the results per channel, for the batch norm behind (statistics) or before
/// (gradients). Results lie as [pixel][channel]; a dense layer's row may be several pixels.
struct result_sums {
  sums_kind kind{};
  int channels{};
  int batches{1};  ///< 2: either half of the results has sums of its own
  statistics_body statistics{};
  gradient_sums_body gradients{};
  std::size_t reserved{};  ///< floats of the scratch that stay as they are
  float* partials{};       ///< [batch][column tile][block][columns of a tile][4]
  unsigned* tickets{};     ///< [column tile], one where channels are not columns
};

struct product_fusion {
  any_activation f{};
  const float* gate{};  ///< see activation_behind
  result_sums sums{};
  /// The left operand is norm.x, which becomes norm.y in the load; the blocks of the first column
  /// of tiles leave norm.y in memory, each number once.
  norm_pass norm{};
  [[nodiscard]] __device__ bool norms_left() const { return norm.y != nullptr; }

  /// What goes to memory of results whose first has number i among all.
  template <int Width>
  __device__ pack<Width> finish(std::size_t i, const pack<Width>& v) const {
    return activation_behind{f, gate}.finish(i, v);
  }
};

/// What a product for weights' gradients does besides.
struct weights_fusion {
  float* line_sums{};  ///< the bias's gradient, which is added to
  /// An operand is norm_gradient.dy, which becomes norm_gradient.dx as norm.x becomes norm.y.
  norm_gradient_pass norm_gradient{};
};

/// Results as they are; the operand that is norm.dy becomes norm.dx in the load. Either: that may
/// be the right one.
template <bool Either>
struct gradient_norm_fusion {
  norm_gradient_pass norm{};
  bool of_right{};
  [[nodiscard]] __device__ bool norms_left() const { return norm.dx && !of_right; }
  [[nodiscard]] __device__ bool norms_right() const requires Either { return norm.dx && of_right; }
  template <int Width>
  __device__ pack<Width> finish(std::size_t, const pack<Width>& v) const {
    return v;
  }
};

/// Sums of numbers that a block has written, and in the last block of all of them what follows.
/// Partial sums of statistics are count, mean and squares around it, so that a mean of 100 does not
/// swallow a deviation of 1. All is added in a fixed order.
template <int Threads, int Rows, int Columns>
class result_summer {
  static constexpr int lines = Threads / Columns;
  static_assert(lines * Columns == Threads, "the threads of a block must be whole lines of it");
  struct terms {
    double v[3];
  };

 public:
  struct shared_storage {
    terms of[lines][Columns];
    bool is_last;
  };

  /// All threads of block `block` of `blocks` in the grid's column of tiles call it when the
  /// block's results, which begin at a row and a column, are written.
  template <class Result>
  __device__ static void run(const result_sums& s, const Result& result, int first_row, int block,
                             int blocks, shared_storage& shared) {
    const int lane = static_cast<int>(threadIdx.x) % Columns;
    const int line = static_cast<int>(threadIdx.x) / Columns;
    const int tile = static_cast<int>(blockIdx.y), tiles = static_cast<int>(gridDim.y);
    const auto partial = [&](int batch, int of_tile, int of_block, int column) -> pack<4>& {
      return reinterpret_cast<pack<4>*>(
          s.partials)[((batch * tiles + of_tile) * blocks + of_block) * Columns + column];
    };
#pragma unroll 1
    for (int batch = 0; batch < s.batches; ++batch) {
      __syncthreads();
      shared.of[line][lane] = of_block(s, result, batch, first_row + line, tile * Columns + lane);
      __syncthreads();
      if (line == 0) {
        const terms t = combined(s.kind, lines, [&](int l) { return shared.of[l][lane]; });
        partial(batch, tile, block,
                lane) = {{static_cast<float>(t.v[0]), static_cast<float>(t.v[1]),
                          static_cast<float>(t.v[2]), 0}};
      }
    }
    const bool folded = s.channels != result.width();
    if (!is_last_block(s.tickets + (folded ? 0 : tile),
                       static_cast<unsigned>(folded ? blocks * tiles : blocks), shared.is_last))
      return;
    const int next = (tile + 1) * Columns;
    const int end = folded || next > s.channels ? s.channels : next;
#pragma unroll 1
    for (int batch = 0; batch < s.batches; ++batch)  // running statistics see one after the other
      for (int first = folded ? 0 : tile * Columns; first < end; first += Columns) {
        const int channel = first + lane, count = result.width() / s.channels * blocks;
        if (channel < end)
          shared.of[line][lane] = combined(s.kind, (count - line + lines - 1) / lines, [&](int k) {
            const int index = line + k * lines, column = channel + index / blocks * s.channels;
            return terms_of(partial(batch, column / Columns, index % blocks, column % Columns));
          });
        __syncthreads();
        if (line == 0 && channel < end)
          finish(s, batch, channel,
                 combined(s.kind, lines, [&](int l) { return shared.of[l][lane]; }));
        __syncthreads();
      }
  }

 private:
  __device__ static terms terms_of(const pack<4>& p) { return {{p.v[0], p.v[1], p.v[2]}}; }

  /// What one thread adds up: every lines-th row of a column, some loads at a time.
  template <class Result>
  __device__ static terms of_block(const result_sums& s, const Result& result, int batch, int row,
                                   int column) {
    constexpr int together = 8;
    static_assert(Rows % (together * lines) == 0, "a tile is whole groups of loads");
    const int channel = column % s.channels + batch * s.channels;
    const int begin = result.rows / s.batches * batch, end = result.rows / s.batches + begin;
    const bool of_gradients = s.kind == sums_kind::gradients;
    const float* const data = of_gradients ? s.gradients.dy : s.statistics.x;
    const float mean = of_gradients ? s.gradients.mean[channel] : 0.0f;
    const float inverse = of_gradients ? s.gradients.inverse_deviation[channel] : 0.0f;
    float sums[2] = {}, shift = 0;
    int count = 0;
    for (int first = 0; first < Rows; first += together * lines) {
      float v[together], beside[together];
      bool inside[together];
#pragma unroll
      for (int k = 0; k < together; ++k) {
        const int at = row + first + k * lines;
        const long long i = at < begin || at >= end ? -1 : result.offset(at, column);
        inside[k] = i >= 0;
        v[k] = inside[k] ? data[i] : 0.0f;
        beside[k] = inside[k] && of_gradients ? (s.gradients.x[i] - mean) * inverse : 0.0f;
      }
#pragma unroll
      for (int k = 0; k < together; ++k) {
        if (!inside[k]) continue;
        if (count++ == 0 && !of_gradients) shift = v[k];
        const float d = v[k] - shift;
        sums[0] += d;
        sums[1] += d * (of_gradients ? beside[k] : d);
      }
    }
    if (of_gradients) return {{sums[0], sums[1], 0}};
    if (count == 0) return {};
    const double offset = static_cast<double>(sums[0]) / count;
    return {{static_cast<double>(count), shift + offset, sums[1] - offset * sums[0]}};
  }

  /// `count` terms one after the other: sums; or counts, means and squares around them.
  template <class At>
  __device__ static terms combined(sums_kind kind, int count, At at) {
    terms all{};
    if (count <= 0) return all;
    const double origin = kind == sums_kind::statistics ? at(0).v[1] : 0;
    for (int k = 0; k < count; ++k) {
      const terms t = at(k);
      if (kind == sums_kind::statistics) {
        const double away = t.v[1] - origin;
        all.v[0] += t.v[0];
        all.v[1] += t.v[0] * away;
        all.v[2] += t.v[2] + t.v[0] * away * away;
      } else {
        all.v[0] += t.v[0];
        all.v[1] += t.v[1];
      }
    }
    if (kind == sums_kind::gradients || all.v[0] == 0) return all;
    const double away = all.v[1] / all.v[0];
    return {{all.v[0], origin + away, all.v[2] - away * all.v[1]}};
  }

  __device__ static void finish(const result_sums& s, int batch, int channel, const terms& t) {
    if (s.kind == sums_kind::statistics)
      s.statistics.of_batch(batch).finish(channel, t.v[1], t.v[2] / t.v[0]);
    else
      s.gradients.of_batch(batch).finish(channel, {{t.v[0], t.v[1]}});
  }
};

}  // namespace gantry::kernels
