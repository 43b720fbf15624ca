// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Blocks of 16 x 16 floats transposed in the registers: how weights are packed and how dense layers
// turn a batch into columns.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

#include "gantry/backend/cpu/simd.hpp"

namespace gantry::inline v0::backend::detail {

/// Exchanges the off-diagonal halves of all 2 Step x 2 Step squares of two rows that are Step apart
/// (Eklundh's transposition, one stage).
template <int Step>
[[gnu::always_inline]] inline void exchange(simd::vec& upper, simd::vec& lower) {
  [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    const simd::vec u = upper, l = lower;
    upper = __builtin_shufflevector(u, l, (I & Step ? simd::lanes + I - Step : I)...);
    lower = __builtin_shufflevector(u, l, (I & Step ? simd::lanes + I : I + Step)...);
  }
  (std::make_integer_sequence<int, simd::lanes>{});
}

/// Transposes lanes x lanes values held in registers.
[[gnu::always_inline]] inline void transpose_registers(simd::vec (&v)[simd::lanes]) {
  const auto stage = [&]<int Step>(std::integral_constant<int, Step>)
      __attribute__((always_inline)) {
    simd::unroll<simd::lanes>([&](auto r) __attribute__((always_inline)) {
      if constexpr ((r & Step) == 0 && Step < simd::lanes) exchange<Step>(v[r], v[r + Step]);
    });
  };
  stage(std::integral_constant<int, 1>{});
  stage(std::integral_constant<int, 2>{});
  stage(std::integral_constant<int, 4>{});
  stage(std::integral_constant<int, 8>{});
}

/// to[j][i] = from[i][j] for 16 x 16 values; strides between rows.
inline void transpose_block(const float* from, std::ptrdiff_t from_stride, float* to,
                            std::ptrdiff_t to_stride) {
  for (int i = 0; i < 16; i += simd::lanes)
    for (int j = 0; j < 16; j += simd::lanes) {
      simd::vec v[simd::lanes];
      simd::unroll<simd::lanes>([&](auto r) __attribute__((always_inline)) {
        v[r] = simd::load(from + (i + r) * from_stride + j);
      });
      transpose_registers(v);
      simd::unroll<simd::lanes>([&](auto r) __attribute__((always_inline)) {
        simd::store(to + (j + r) * to_stride + i, v[r]);
      });
    }
}

/// The same for rows x columns <= 16 x 16 values; only those are read and written.
inline void transpose_part(const float* from, std::ptrdiff_t from_stride, int rows, int columns,
                           float* to, std::ptrdiff_t to_stride) {
  if (rows == 16 && columns == 16) return transpose_block(from, from_stride, to, to_stride);
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j) to[j * to_stride + i] = from[i * from_stride + j];
}

}  // namespace gantry::backend::detail
