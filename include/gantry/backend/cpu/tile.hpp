// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The two kernels that all products come down to. Both keep a tile of the result in the registers
// (14 x 32 with AVX-512, 6 x 16 with AVX2) and reach 97 to 99 % of the multiply-add peak from the
// first-level cache; docs/05_cpu_kernels.md has the measurements.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "gantry/backend/cpu/simd.hpp"
#include "gantry/base/math.hpp"

namespace gantry::inline v0::backend::detail {

/// One run of a reduction: where row 0 of the left operand and column 0 of the right one start.
struct reduction_run {
  const float* a;
  const float* b;
};
struct reduction_runs {
  const reduction_run* data;
  int count;
};

/// What all runs of a product share; strides in floats. `column_stride` is from 16 columns of the
/// right operand to the next. For `multiply`, 16 values of a row of the left operand lie together,
/// the next 16 `a_group` on, rows are `a_stride` apart, and the right operand is packed: 16 columns
/// of one value, then those of the next. For `multiply_transposed`, the rows of the left operand
/// lie together, and values are `a_stride` and `b_stride` apart.
struct reduction_shape {
  int length;
  std::ptrdiff_t column_stride;
  std::ptrdiff_t a_stride;
  std::ptrdiff_t a_group{};
  std::ptrdiff_t b_stride{};
};

/// Where a product goes: 16 columns lie together.
struct product_target {
  float* c;
  std::ptrdiff_t row_stride, column_stride;
  [[nodiscard]] product_target from_row(int row) const {
    return {c + row * row_stride, row_stride, column_stride};
  }
  /// From block j of 16 columns on.
  [[nodiscard]] product_target from_column(int j) const {
    return {c + j * column_stride, row_stride, column_stride};
  }
};

template <int Rows, int Blocks>
struct register_tile {
  static constexpr int columns = Blocks * simd::vectors;
  simd::vec value[Rows][columns];

  [[gnu::always_inline]] void load(const product_target& t, bool accumulate) {
    simd::unroll<Rows>([&](auto r) __attribute__((always_inline)) {
      simd::unroll<columns>([&](auto j) __attribute__((always_inline)) {
        value[r][j] = accumulate ? simd::load(place(t, r, j)) : simd::vec{};
      });
    });
  }
  [[gnu::always_inline]] void store(const product_target& t) const {
    simd::unroll<Rows>([&](auto r) __attribute__((always_inline)) {
      simd::unroll<columns>([&](auto j) __attribute__((always_inline)) {
        simd::store(place(t, r, j), value[r][j]);
      });
    });
  }
  /// value += a[row * stride] b[column].
  [[gnu::always_inline]] void add_outer(const float* a, std::ptrdiff_t stride, const float* b,
                                        std::ptrdiff_t column_stride) {
    simd::vec w[columns];
    simd::unroll<columns>([&](auto j) __attribute__((always_inline)) {
      w[j] = simd::load(b + j / simd::vectors * column_stride + j % simd::vectors * simd::lanes);
    });
    simd::unroll<Rows>([&](auto r) __attribute__((always_inline)) {
      const float factor = a[r * stride];
      simd::unroll<columns>([&](auto j)
                                __attribute__((always_inline)) { value[r][j] += factor * w[j]; });
    });
  }

 private:
  [[gnu::always_inline]] static float* place(const product_target& t, int r, int j) {
    return t.c + r * t.row_stride + j / simd::vectors * t.column_stride +
           j % simd::vectors * simd::lanes;
  }
};

/// c (+)= the sum over runs of a b. `skip` floats are left out at the front of every a: the rows
/// before this tile.
template <int Rows, int Blocks>
[[gnu::noinline]] void multiply_tile(const reduction_runs& runs, const reduction_shape& s,
                                     std::ptrdiff_t skip, const product_target& t,
                                     bool accumulate) {
  register_tile<Rows, Blocks> tile;
  tile.load(t, accumulate);
  const std::ptrdiff_t stride = s.a_stride, columns = s.column_stride;
  for (int q = 0; q < runs.count; ++q) {
    const float *a = runs.data[q].a + skip, *b = runs.data[q].b;
    int k = 0;
    // Four steps at a time: more do not make the tile faster, but every program longer to compile.
    for (; k + 16 <= s.length; k += 16, a += s.a_group - 16)
#pragma GCC unroll 1
      for (int quarter = 0; quarter < 4; ++quarter, a += 4, b += 64)
        simd::unroll<4>([&](auto i) __attribute__((always_inline)) {
          tile.add_outer(a + i, stride, b + 16 * i, columns);
        });
    for (; k < s.length; ++k, ++a, b += 16) tile.add_outer(a, stride, b, columns);
  }
  tile.store(t);
}

/// Steps of a reduction after which a row of an operand is needed that is asked for now, of the one
/// whose rows are further apart. Those of a dense layer's weights are kilobytes apart, which
/// processors do not foresee.
inline constexpr int rows_ahead = 12;

/// c (+)= the sum over runs of a^T b. Where it adds to what is there, a weight gradient, the
/// columns that follow are asked for while this tile computes.
template <int Rows, int Blocks>
[[gnu::noinline]] void multiply_transposed_tile(const reduction_runs& runs,
                                                const reduction_shape& s, std::ptrdiff_t skip,
                                                const product_target& t, bool accumulate) {
  register_tile<Rows, Blocks> tile;
  tile.load(t, accumulate);
  if (accumulate)
    for (int r = 0; r < Rows; ++r)
      for (int j = Blocks; j < 2 * Blocks; ++j)
        __builtin_prefetch(t.c + r * t.row_stride + j * t.column_stride, 1);
  const std::ptrdiff_t a_stride = s.a_stride, b_stride = s.b_stride, columns = s.column_stride;
  const bool left_is_far = a_stride >= b_stride;
  const std::ptrdiff_t far_stride = left_is_far ? a_stride : b_stride;
  for (int q = 0; q < runs.count; ++q) {
    const float *a = runs.data[q].a + skip, *b = runs.data[q].b;
    const float* ahead = (left_is_far ? a : b) + rows_ahead * far_stride;
#pragma GCC unroll 4
    for (int k = 0; k < s.length; ++k, a += a_stride, b += b_stride, ahead += far_stride) {
      __builtin_prefetch(ahead);
      if constexpr (Blocks > 1) __builtin_prefetch(ahead + 16 * Blocks - 1);
      tile.add_outer(a, 1, b, columns);
    }
  }
  tile.store(t);
}

using tile_function = void (*)(const reduction_runs&, const reduction_shape&, std::ptrdiff_t,
                               const product_target&, bool);

/// tiles[blocks - 1][rows - 1]
using tile_table =
    std::array<std::array<tile_function, simd::tile_rows>, static_cast<std::size_t>(2)>;

inline constexpr tile_table plain_tiles = []<std::size_t... R>(std::index_sequence<R...>) {
  return tile_table{{{multiply_tile<R + 1, 1>...}, {multiply_tile<R + 1, simd::tile_blocks>...}}};
}
(std::make_index_sequence<simd::tile_rows>{});

inline constexpr tile_table transposed_tiles = []<std::size_t... R>(std::index_sequence<R...>) {
  return tile_table{{{multiply_transposed_tile<R + 1, 1>...},
                     {multiply_transposed_tile<R + 1, simd::tile_blocks>...}}};
}
(std::make_index_sequence<simd::tile_rows>{});

/// Calls f(first row, rows) for tiles of nearly equal height that cover `rows` rows.
template <class F>
void for_each_row_tile(int rows, F&& f) {
  const int tiles = ceil_div(rows, simd::tile_rows);
  for (int i = 0, row = 0; i < tiles; ++i) {
    const int height = rows / tiles + (i < rows % tiles ? 1 : 0);
    f(row, height);
    row += height;
  }
}

/// A product of `rows` rows and `blocks` (1 .. tile_blocks) blocks of 16 columns.
inline void multiply(const reduction_runs& runs, const reduction_shape& s, int rows, int blocks,
                     const product_target& t, bool accumulate) {
  for_each_row_tile(rows, [&](int row, int height) {
    plain_tiles[blocks - 1][height - 1](runs, s, row * s.a_stride, t.from_row(row), accumulate);
  });
}

/// The same with a transposed left operand.
inline void multiply_transposed(const reduction_runs& runs, const reduction_shape& s, int rows,
                                int blocks, const product_target& t, bool accumulate) {
  for_each_row_tile(rows, [&](int row, int height) {
    transposed_tiles[blocks - 1][height - 1](runs, s, row, t.from_row(row), accumulate);
  });
}

/// c += a^T b for up to 16 rows and `columns` columns, a multiple of 16 up to a tile's or any
/// number below 16; no column behind them is written.
inline void add_product(const reduction_runs& runs, const reduction_shape& s, int rows, int columns,
                        const product_target& t) {
  if (columns % 16 == 0) return multiply_transposed(runs, s, rows, columns / 16, t, true);
  alignas(64) float whole[16 * 16];
  multiply_transposed(runs, s, rows, 1, {whole, 16, 16}, false);
  for (int r = 0; r < rows; ++r)
    for (int j = 0; j < columns; ++j) t.c[r * t.row_stride + j] += whole[r * 16 + j];
}

/// Calls f(first block, blocks) for groups of up to tile_blocks blocks of 16 columns.
template <class F>
void for_each_column_group(int begin, int end, F&& f) {
  for (int j = begin; j < end; j += simd::tile_blocks) f(j, std::min(simd::tile_blocks, end - j));
}

}  // namespace gantry::backend::detail
