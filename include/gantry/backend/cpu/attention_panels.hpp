// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Matrices of one sample for the register tiles, and the rows of a softmax in them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>

#include <Eigen/Core>

#include "gantry/backend/cpu/backend.hpp"
#include "gantry/backend/cpu/tile.hpp"
#include "gantry/backend/cpu/transfer.hpp"
#include "gantry/backend/cpu/transpose.hpp"
#include "gantry/ops/attention.hpp"

namespace gantry::inline v0::backend::detail {

/// A matrix as [column / 16][row][16]: at once a left operand, a packed right operand, the left
/// operand of a transposed product and a target. What lies behind the last column is unspecified.
struct panels {
  float* data;
  int rows, columns;
  [[nodiscard]] float* at(int row, int column) const {
    return data + (static_cast<std::ptrdiff_t>(column / 16) * rows + row) * 16 + column % 16;
  }
  [[nodiscard]] std::ptrdiff_t block_stride() const { return std::ptrdiff_t{16} * rows; }
  [[nodiscard]] int blocks() const { return ceil_div(columns, 16); }
  static constexpr std::size_t elements(int rows, int columns) {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(round_up(columns, 16));
  }
};

/// Hands out parts of scratch memory.
class panel_memory {
 public:
  explicit panel_memory(float* memory) : next_(memory) {}
  panels take(int rows, int columns) {
    float* const data = next_;
    next_ += panels::elements(rows, columns);
    return {data, rows, columns};
  }

 private:
  float* next_;
};

/// Rows of a matrix, from `first` on.
struct panel_rows {
  panels matrix;
  int first, count;
};

/// c (+)= a b. b has as many rows as a columns.
inline void multiply_panels(const panel_rows& a, const panels& b, const panel_rows& c,
                            bool accumulate) {
  for (int k = 0; k < b.rows; k += 256)
    for_each_column_group(0, b.blocks(), [&](int j, int width) {
      const reduction_run run{a.matrix.at(a.first, k), b.at(k, 16 * j)};
      multiply({&run, 1},
               {.length = std::min(256, b.rows - k),
                .column_stride = b.block_stride(),
                .a_stride = 16,
                .a_group = a.matrix.block_stride()},
               a.count, width, {c.matrix.at(c.first, 16 * j), 16, c.matrix.block_stride()},
               accumulate || k > 0);
    });
}

/// c (+)= a^T b for rows of a and b.
inline void multiply_panels_transposed(const panel_rows& a, const panel_rows& b, const panels& c,
                                       bool accumulate) {
  for (int row = 0; row < c.rows; row += 16)
    for_each_column_group(0, c.blocks(), [&](int j, int width) {
      const reduction_run run{a.matrix.at(a.first, row), b.matrix.at(b.first, 16 * j)};
      multiply_transposed({&run, 1},
                          {.length = a.count,
                           .column_stride = b.matrix.block_stride(),
                           .a_stride = 16,
                           .b_stride = 16},
                          std::min(16, c.rows - row), width,
                          {c.at(row, 16 * j), 16, c.block_stride()}, accumulate);
    });
}

inline panels transposed(const panels& a, panel_memory& memory) {
  const panels t = memory.take(a.columns, a.rows);
  for (int row = 0; row < a.rows; row += 16)
    for (int column = 0; column < a.columns; column += 16)
      transpose_part(a.at(row, column), 16, std::min(16, a.rows - row),
                     std::min(16, a.columns - column), t.at(column, row), 16);
  return t;
}

/// Channels `channel` on of a canonical sample of `stride` channels, and the way back.
inline void load_panels(const float* sample, int stride, int channel, const panels& to) {
  for (int column = 0; column < to.columns; column += 16)
    for (int row = 0; row < to.rows; ++row)
      std::copy_n(sample + row * stride + channel + column, std::min(16, to.columns - column),
                  to.at(row, column));
}
inline void store_panels(const panels& from, float* sample, int stride, int channel) {
  for (int column = 0; column < from.columns; column += 16)
    for (int row = 0; row < from.rows; ++row)
      std::copy_n(from.at(row, column), std::min(16, from.columns - column),
                  sample + row * stride + channel + column);
}

/// Sample i of a batch in canonical order, and the way back.
template <class Layout, hwc Shape>
void read_sample(const float* x, int n, int i, float* to) {
  for_each_run<Layout, Shape>(
      n, i, [&](int k, std::size_t place, int length) { std::copy_n(x + place, length, to + k); });
}
template <class Layout, hwc Shape>
void write_sample(const float* from, float* y, int n, int i) {
  for_each_run<Layout, Shape>(n, i, [&](int k, std::size_t place, int length) {
    std::copy_n(from + k, length, y + place);
  });
}

/// Calls f(offset, count) for the parts of a row that lie together; whole blocks have a constant
/// count, so that loops over them are vectorised.
template <class F>
void for_each_row_part(const panels& m, int row, F&& f) {
  int column = 0;
  for (; column + 16 <= m.columns; column += 16)
    f(m.at(row, column) - m.data, std::integral_constant<int, 16>{});
  if (column < m.columns) f(m.at(row, column) - m.data, m.columns - column);
}

/// Sums term(offset) over a row: in 16 lanes, and in double over those.
template <class F>
float row_sum(const panels& m, int row, F&& term) {
  float lanes[16] = {};
  for_each_row_part(m, row, [&](std::ptrdiff_t at, auto count) {
    for (int j = 0; j < count; ++j) lanes[j] += term(at + j);
  });
  double sum = 0;
  for (const float lane : lanes) sum += static_cast<double>(lane);
  return static_cast<float>(sum);
}
/// Runs f(offset) over a row.
template <class F>
void for_each_in_row(const panels& m, int row, F&& f) {
  for_each_row_part(m, row, [&](std::ptrdiff_t at, auto count) {
    for (int j = 0; j < count; ++j) f(at + j);
  });
}

/// A row = exp(row - shift). Eigen's exponential is vectorised, the standard library's is not.
inline void exponentials(const panels& m, int row, float shift) {
  for_each_row_part(m, row, [&](std::ptrdiff_t at, auto count) {
    float* x = m.data + at;
    if constexpr (std::is_same_v<decltype(count), int>) {
      for (int j = 0; j < count; ++j) x[j] = std::exp(x[j] - shift);
    } else {
      Eigen::Map<Eigen::Array<float, 16, 1>> lanes(x);
      lanes = (lanes - shift).exp();
    }
  });
}

/// A row of scores becomes one of weights. @returns the logarithm of the sum of their exponentials
inline float softmax_row(const panels& m, int row) {
  float largest[16];
  std::fill_n(largest, 16, *m.at(row, 0));
  for_each_row_part(m, row, [&](std::ptrdiff_t at, auto count) {
    for (int j = 0; j < count; ++j) largest[j] = std::max(largest[j], m.data[at + j]);
  });
  const float shift = *std::max_element(largest, largest + 16);
  exponentials(m, row, shift);
  const float* x = m.data;
  const float sum = row_sum(m, row, [x](std::ptrdiff_t i) { return x[i]; }), inverse = 1.0f / sum;
  for_each_in_row(m, row, [y = m.data, inverse](std::ptrdiff_t i) { y[i] *= inverse; });
  return shift + std::log(sum);
}

}  // namespace gantry::backend::detail
