// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Tiles of matrix products, and which one a shape gets.
#pragma once

#include <algorithm>
#include <limits>

#include "gantry/base/math.hpp"
#include "gantry/kernels/common/policy.hpp"

namespace gantry::inline v0::kernels {

/// Parts that a number is split into.
constexpr int gemm_parts(gemm_math m) {
  return m == gemm_math::bf16x6 ? 3 : m == gemm_math::bf16x3 ? 2 : 1;
}

struct gemm_policy {
  int rows, columns, depth;     ///< of a block's tile
  int warp_rows, warp_columns;  ///< of a warp's
  int blocks;                   ///< that a multiprocessor must have registers for
  [[nodiscard]] constexpr int threads() const {
    return rows / warp_rows * (columns / warp_columns) * 32;
  }
  /// Whether a thread has registers left for a batch norm in the load: a multiprocessor has 65536,
  /// and with 128 of them the large tiles' kernels spill.
  [[nodiscard]] constexpr bool has_room_for_norm() const {
    return 65536 / (threads() * blocks) > 128;
  }
  friend constexpr bool operator==(const gemm_policy&, const gemm_policy&) = default;
};

enum class gemm_size { large, small };

/// Two tiles per kind of arithmetic. A large one reads each operand half as often; a small one
/// makes four times as many blocks. fp32 and bf16x3 keep the units busy with one block's
/// independent products; the others' registers are cut so that two or three blocks fit, unspilled.
constexpr gemm_policy gemm_policy_of(gemm_math m, gemm_size s) {
  if (s == gemm_size::small) return {64, 64, 16, 32, 32, 3};
  if (m == gemm_math::bf16x6) return {128, 64, 16, 32, 32, 2};
  if (m == gemm_math::fp32) return {128, 128, 8, 64, 32, 1};
  if (m == gemm_math::bf16x3) return {128, 128, 16, 64, 32, 1};
  return {128, 128, 16, 64, 32, 2};
}

/// What a kernel is a template on: names only enums, for nvcc 13.0 writes host stubs that do not
/// compile for template arguments of a class type.
template <gemm_math Math, gemm_size Size>
struct gemm_selector {
  static constexpr gemm_math math = Math;
  static constexpr gemm_policy policy = gemm_policy_of(Math, Size);
};

/// `phases` products of rows x depth by depth x columns.
struct gemm_shape {
  int rows, columns, depth, phases{1};
};

/// For extents that only a launch knows.
inline constexpr int any_extent = std::numeric_limits<int>::max();

struct gemm_choice {
  gemm_size size;
  int split;  ///< blocks that share the depth of a tile
  friend constexpr bool operator==(const gemm_choice&, const gemm_choice&) = default;
};

constexpr int gemm_tiles(const gemm_shape& s, const gemm_policy& p) {
  return ceil_div(s.rows, p.rows) * ceil_div(s.columns, p.columns) * s.phases;
}

/// False if half of a large tile or more would be empty.
constexpr bool is_worth_large(const gemm_shape& s, gemm_math m) {
  const gemm_policy p = gemm_policy_of(m, gemm_size::large);
  return s.rows > p.rows / 2 && s.columns > p.columns / 2;
}

/// Into which a depth is cut at most.
inline constexpr int most_pieces = 32;

/// The large tile if it gives every multiprocessor a block, else the small one; what is then still
/// idle shares the depth, in pieces of at least eight steps.
constexpr gemm_choice select_gemm(const gemm_shape& s, gemm_math m, int multiprocessors) {
  constexpr int fewest_steps = 8;
  if (is_worth_large(s, m) && gemm_tiles(s, gemm_policy_of(m, gemm_size::large)) >= multiprocessors)
    return {gemm_size::large, 1};
  const gemm_policy p = gemm_policy_of(m, gemm_size::small);
  const int idle = multiprocessors / gemm_tiles(s, p);
  const int pieces = ceil_div(s.depth, p.depth) / fewest_steps;
  return {gemm_size::small, std::clamp(std::min(idle, pieces), 1, most_pieces)};
}

}  // namespace gantry::kernels
