// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Where a product's numbers come from and go to. An operand has lines (rows of the left one,
// columns of the right one) along the depth. It is read in packs of four that lie together: four
// steps of the depth of one line, or four lines at one step. What lies outside is 0.
#pragma once

#include "gantry/kernels/common/pack.cuh"
#include "gantry/kernels/gemm/fusion.cuh"

namespace gantry::inline v0::kernels {

/// A matrix in memory: [lines][depth] if AlongDepth, else [depth][lines].
template <bool AlongDepth>
struct matrix_operand {
  static constexpr bool along_depth = AlongDepth;
  const float* data;
  int lines, depth;
  bool packs;  ///< every pack is aligned

  /// What is the same for all steps of the depth.
  struct cursor {
    const float* first;
    int valid;  ///< lines of the pack inside the matrix
  };
  __device__ cursor at(int line) const {
    const int left = lines - line;
    const auto pitch = static_cast<std::size_t>(AlongDepth ? depth : 1);
    return {data + static_cast<std::size_t>(line) * pitch, left < 0 ? 0 : left < 4 ? left : 4};
  }
  __device__ pack<4> fetch(const cursor& c, int k) const {
    const int inside = AlongDepth ? (c.valid ? depth - k : 0) : (k < depth ? c.valid : 0);
    const float* p = c.first + static_cast<std::size_t>(k) * (AlongDepth ? 1 : lines);
    if (packs && inside >= 4) return load<4>(p);
    return generate<4>([&](int j) { return j < inside ? p[j] : 0.0f; });
  }
  /// Only where packs are allowed and lines are whole pixels of the norm.
  __device__ void normalise(const norm_pass& norm, const cursor& c, int k,
                            pack<4>& numbers) const requires AlongDepth {
    if (!c.valid || k >= depth) return;
    const auto i = static_cast<std::size_t>(c.first - data) + static_cast<std::size_t>(k);
    numbers = norm.of(i, k % norm.channels, numbers);
    if (blockIdx.y == 0) store(norm.y + i, numbers);
  }
  __device__ void normalise(const norm_gradient_pass& norm, const cursor& c, int k,
                            pack<4>& numbers) const requires(!AlongDepth) {
    if (!c.valid || k >= depth) return;
    const auto line = static_cast<int>(c.first - data);
    const auto i = static_cast<std::size_t>(k) * lines + line;
    numbers = norm.of(i, line % norm.channels, numbers);
    if (blockIdx.y == 0) store(norm.dx + i, numbers);
  }
};

/// A matrix [rows][columns] that takes sum + bias of the column, or is added to.
template <class Fusion>
struct matrix_result {
  float* data;
  const float* bias;  ///< null: none
  int rows, columns;
  bool accumulate;
  bool packs;  ///< every pack is aligned
  Fusion fusion;

  [[nodiscard]] __device__ int width() const { return columns; }
  /// -1 outside.
  [[nodiscard]] __device__ long long offset(int row, int column) const {
    if (row >= rows || column >= columns) return -1;
    return static_cast<long long>(row) * columns + column;
  }
  __device__ void put(int row, int column, const pack<4>& sum) const {
    if (row >= rows || column >= columns) return;
    const std::size_t i = static_cast<std::size_t>(row) * columns + column;
    float* p = data + i;
    const auto whole = [&](int j, float old) {
      const float v = old + sum.v[j];
      return bias ? v + bias[column + j] : v;
    };
    if (packs) {
      const auto old = accumulate ? load<4>(p) : pack<4>{};
      store(p, fusion.finish(i, generate<4>([&](int j) { return whole(j, old.v[j]); })));
    } else {
      for (int j = 0; j < 4 && column + j < columns; ++j)
        store(p + j, fusion.finish(i + j, pack<1>{{whole(j, accumulate ? p[j] : 0.0f)}}));
    }
  }
};

/// How a depth is shared by several blocks.
struct gemm_split {
  int pieces{1};
  float* partials{};    ///< [phase, piece, tile][rows of the tile][columns of the tile]
  unsigned* tickets{};  ///< [phase, tile]
};

/// Where the sums of the left operand's lines over the depth go: of a weight gradient, the bias's.
struct line_sums {
  float* to{};        ///< is added to; null: nowhere
  float* partials{};  ///< [piece][row]
};

/// One product. A problem of several phases gives each its own operands in phase().
template <class Left, class Right, class Result>
struct gemm_problem {
  Left left;
  Right right;
  Result result;
  int depth;
  gemm_split split;
  line_sums lines{};

  const __device__ gemm_problem& phase(int) const { return *this; }
};

}  // namespace gantry::kernels
