// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Twins of the instructions in kernels/common/ptx.cuh, by their description in NVIDIA's "Parallel
// Thread Execution ISA". Products are exact, a tile's sums are in double and rounded once: at most
// as bad as hardware, whose order of summation is not documented.
#pragma once

#include <cstring>

#include "simt/runtime.hpp"

namespace gantry::inline v0::kernels::ptx {

namespace detail {

using simt::location;

struct mma_lane {
  float* d;
  const std::uint32_t *a, *b;
};

/// D[16][8] += A[16][K] B[K][8]. `a(A, registers, group, member)` scatters a lane's registers.
template <int K, class ScatterA, class ScatterB>
void multiply(mma_lane** lanes, ScatterA a, ScatterB b) {
  double left[16][K], right[K][8], sum[16][8] = {};
  for (int l = 0; l < 32; ++l) {
    a(left, lanes[l]->a, l / 4, l % 4);
    b(right, lanes[l]->b, l / 4, l % 4);
  }
  for (int r = 0; r < 16; ++r)
    for (int k = 0; k < K; ++k)
      for (int c = 0; c < 8; ++c) sum[r][c] += left[r][k] * right[k][c];
  for (int l = 0; l < 32; ++l)
    for (int i = 0; i < 4; ++i) {
      float& d = lanes[l]->d[i];
      d = static_cast<float>(d + sum[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2]);
    }
}
/// The low or high half of a register as bfloat16.
inline float half(std::uint32_t word, int high) {
  return std::bit_cast<float>(high ? word & 0xffff0000u : word << 16);
}
/// What hardware reads of a tf32 operand.
inline float tf32(std::uint32_t word) { return std::bit_cast<float>(word & 0xffffe000u); }

struct matrix_lane {
  std::uint16_t row[8];
  const void* address;
  std::uint32_t* result;
};

}  // namespace detail

/// mma.sync.m16n8k16, bf16 operands.
inline void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                     simt::location at = simt::location::current()) {
  detail::mma_lane mine{d, a, b};
  simt::collective(
      mine,
      [](detail::mma_lane** lanes, unsigned) {
        detail::multiply<16>(
            lanes,
            [](auto& left, const std::uint32_t* r, int group, int member) {
              for (int i = 0; i < 8; ++i)
                left[group + i / 2 % 2 * 8][member * 2 + i % 2 + i / 4 * 8] =
                    detail::half(r[i / 2], i % 2);
            },
            [](auto& right, const std::uint32_t* r, int group, int member) {
              for (int i = 0; i < 4; ++i)
                right[member * 2 + i % 2 + i / 2 * 8][group] = detail::half(r[i / 2], i % 2);
            });
      },
      "mma.m16n8k16", at);
}

/// mma.sync.m16n8k8, tf32 operands.
inline void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                     simt::location at = simt::location::current()) {
  detail::mma_lane mine{d, a, b};
  simt::collective(
      mine,
      [](detail::mma_lane** lanes, unsigned) {
        detail::multiply<8>(
            lanes,
            [](auto& left, const std::uint32_t* r, int group, int member) {
              for (int i = 0; i < 4; ++i)
                left[group + i % 2 * 8][member + i / 2 * 4] = detail::tf32(r[i]);
            },
            [](auto& right, const std::uint32_t* r, int group, int member) {
              for (int i = 0; i < 2; ++i) right[member + i * 4][group] = detail::tf32(r[i]);
            });
      },
      "mma.m16n8k8.tf32", at);
}

/// cvt.rna.tf32.f32: to nearest, ties away from zero.
inline std::uint32_t to_tf32(float f) {
  const auto bits = std::bit_cast<std::uint32_t>(f);
  if ((bits & 0x7f800000u) == 0x7f800000u) return bits;  // infinities and NaN stay
  return (bits + 0x1000u) & 0xffffe000u;
}

/// ldmatrix.x4: four 8 x 8 matrices of 16-bit numbers; lane l gives the address of row l % 8 of
/// matrix l / 8. Counts the bank conflicts among the eight rows of a matrix.
inline void ldmatrix_x4(std::uint32_t (&r)[4], const void* row,
                        simt::location at = simt::location::current()) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16)
    simt::self->fail("ldmatrix.x4 %s:%u: the address of a row is no multiple of 16", at.file_name(),
                     at.line);
  detail::matrix_lane mine{{}, row, r};
  std::memcpy(mine.row, row, 16);  // each lane reads its own row, so that a race names it
  simt::collective(
      mine,
      [](detail::matrix_lane** lanes, unsigned) {
        for (int m = 0; m < 4; ++m) {
          unsigned banks = 0;
          for (int i = 0; i < 8; ++i)
            banks |= 1u << reinterpret_cast<std::uintptr_t>(lanes[m * 8 + i]->address) / 16 % 8;
          simt::self->statistics().bank_conflicts += 8u - static_cast<unsigned>(__popc(banks));
          for (int l = 0; l < 32; ++l) {
            const std::uint16_t* from = lanes[m * 8 + l / 4]->row + l % 4 * 2;
            lanes[l]->result[m] = from[0] | static_cast<std::uint32_t>(from[1]) << 16;
          }
        }
      },
      "ldmatrix.x4", at);
}

}  // namespace gantry::kernels::ptx
