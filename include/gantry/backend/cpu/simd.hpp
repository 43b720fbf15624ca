// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Vectors of the instruction set that the translation unit is compiled for, through the compilers'
// vector extensions: AVX-512, AVX (with FMA), NEON, or 4 floats anywhere else. All translation
// units of a program must be compiled for the same one.
#pragma once

#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

namespace gantry::inline v0::backend::simd {

/// Floats of a vector, and the tile of a product that stays in the registers: rows x blocks of 16
/// columns.
#if defined(__AVX512F__)
inline constexpr int lanes = 16, tile_rows = 14, tile_blocks = 2;
#elif defined(__AVX__)
inline constexpr int lanes = 8, tile_rows = 6, tile_blocks = 1;
#elif defined(__ARM_NEON) && defined(__aarch64__)
inline constexpr int lanes = 4, tile_rows = 6, tile_blocks = 1;
#else
inline constexpr int lanes = 4, tile_rows = 3, tile_blocks = 1;
#endif

/// Vectors in 16 floats.
inline constexpr int vectors = 16 / lanes;

using vec [[gnu::vector_size(4 * lanes)]] = float;

/// At any address.
[[gnu::always_inline]] inline vec load(const float* p) {
  vec v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
[[gnu::always_inline]] inline void store(float* p, const vec& v) { std::memcpy(p, &v, sizeof(v)); }

/// Calls f(integral_constant<int, 0>) ... f(integral_constant<int, N - 1>), inlined.
template <int N, class F>
[[gnu::always_inline]] inline void unroll(F&& f) {
  [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    (f(std::integral_constant<int, I>{}), ...);
  }
  (std::make_integer_sequence<int, N>{});
}

}  // namespace gantry::backend::simd
