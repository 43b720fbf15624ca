// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of a tile: what a stage of shared memory looks like, how a pack gets into it, and
// what a warp makes of it.
#pragma once

#include <cuda_bf16.h>

#include "gantry/kernels/common/pack.cuh"
#include "gantry/kernels/common/ptx.cuh"
#include "gantry/kernels/gemm/policy.hpp"

namespace gantry::inline v0::kernels {

/// Where a warp's tile begins in the block's.
template <gemm_policy P>
struct warp_origin {
  int lane = static_cast<int>(threadIdx.x) % 32;
  int row = static_cast<int>(threadIdx.x) / 32 / (P.columns / P.warp_columns) * P.warp_rows;
  int column = static_cast<int>(threadIdx.x) / 32 % (P.columns / P.warp_columns) * P.warp_columns;
};

/// fp32 on the ordinary units: operands lie [depth][lines], a thread has squares of 4 x 4 sums.
template <gemm_policy P>
class simt_core {
  static constexpr int lane_rows = 8, lane_columns = 4;
  static constexpr int tall = P.warp_rows / lane_rows / 4, wide = P.warp_columns / lane_columns / 4;
  static_assert(tall * lane_rows * 4 == P.warp_rows && wide * lane_columns * 4 == P.warp_columns,
                "a warp's tile must be a multiple of 32 x 16");

 public:
  template <int Lines>
  struct operand {
    float v[P.depth][Lines + 4];

    template <bool AlongDepth>
    __device__ void put(int line, int k, const pack<4>& numbers) {
      if constexpr (AlongDepth) {
#pragma unroll
        for (int j = 0; j < 4; ++j) v[k + j][line] = numbers.v[j];
      } else {
        store(&v[k][line], numbers);
      }
    }
  };

  __device__ void multiply(const operand<P.rows>& left, const operand<P.columns>& right) {
#pragma unroll
    for (int k = 0; k < P.depth; ++k) {
      pack<4> a[tall], b[wide];
#pragma unroll
      for (int i = 0; i < tall; ++i) a[i] = load<4>(&left.v[k][row(i)]);
#pragma unroll
      for (int j = 0; j < wide; ++j) b[j] = load<4>(&right.v[k][column(j)]);
#pragma unroll
      for (int i = 0; i < tall * 4; ++i)
#pragma unroll
        for (int j = 0; j < wide * 4; ++j)
          sum_[i][j / 4].v[j % 4] += a[i / 4].v[i % 4] * b[j / 4].v[j % 4];
    }
  }
  /// f(row, column, pack of sums) for all sums of this thread.
  template <class F>
  __device__ void visit(F f) const {
#pragma unroll
    for (int i = 0; i < tall * 4; ++i)
#pragma unroll
      for (int j = 0; j < wide; ++j) f(row(i / 4) + i % 4, column(j), sum_[i][j]);
  }

 private:
  __device__ int row(int i) const {
    return at_.row + (i * lane_rows + at_.lane / lane_columns) * 4;
  }
  __device__ int column(int j) const {
    return at_.column + (j * lane_columns + at_.lane % lane_columns) * 4;
  }
  warp_origin<P> at_;
  pack<4> sum_[tall * 4][wide]{};
};

/// What the two kinds of tensor-core arithmetic share: sums of 16 x 8 tiles in mma's layout.
template <gemm_policy P>
class mma_sums {
 public:
  static constexpr int tall = P.warp_rows / 16, wide = P.warp_columns / 8;
  static_assert(tall * 16 == P.warp_rows && wide % 2 == 0,
                "a warp's tile must be a multiple of 16 x 16");

  template <class F>
  __device__ void visit(F f) const {
#pragma unroll
    for (int i = 0; i < tall; ++i)
#pragma unroll
      for (int j = 0; j < wide; ++j)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const pack<2> two{{sum[i][j][half * 2], sum[i][j][half * 2 + 1]}};
          f(at.row + i * 16 + half * 8 + at.lane / 4, at.column + j * 8 + at.lane % 4 * 2, two);
        }
  }

 protected:
  warp_origin<P> at;
  float sum[tall][wide][4]{};
};

/// tf32: operands lie [lines][depth], rounded when they are stored. The pitch of depth + 4 gives
/// the 32 lanes of a fragment 32 different banks.
template <gemm_policy P>
class tf32_core : public mma_sums<P> {
  using sums = mma_sums<P>;

 public:
  template <int Lines>
  struct operand {
    std::uint32_t v[Lines][P.depth + 4];

    template <bool AlongDepth>
    __device__ void put(int line, int k, const pack<4>& numbers) {
      pack<4, std::uint32_t> bits;
#pragma unroll
      for (int j = 0; j < 4; ++j) bits.v[j] = ptx::to_tf32(numbers.v[j]);
      if constexpr (AlongDepth) {
        store(&v[line][k], bits);
      } else {
#pragma unroll
        for (int j = 0; j < 4; ++j) v[line + j][k] = bits.v[j];
      }
    }
  };

  __device__ void multiply(const operand<P.rows>& left, const operand<P.columns>& right) {
    const int group = this->at.lane / 4, member = this->at.lane % 4;
#pragma unroll
    for (int k = 0; k < P.depth; k += 8) {
      std::uint32_t a[sums::tall][4], b[sums::wide][2];
#pragma unroll
      for (int i = 0; i < sums::tall; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          a[i][e] = left.v[this->at.row + i * 16 + e % 2 * 8 + group][k + e / 2 * 4 + member];
#pragma unroll
      for (int j = 0; j < sums::wide; ++j)
#pragma unroll
        for (int e = 0; e < 2; ++e)
          b[j][e] = right.v[this->at.column + j * 8 + group][k + e * 4 + member];
#pragma unroll
      for (int i = 0; i < sums::tall; ++i)
#pragma unroll
        for (int j = 0; j < sums::wide; ++j) ptx::mma_tf32(this->sum[i][j], a[i], b[j]);
    }
  }
};

/// bf16: operands lie [part][lines][depth], a number as the sum of its parts. The pitch of
/// depth + 8 keeps ldmatrix free of bank conflicts.
template <gemm_policy P, int Parts>
class bf16_core : public mma_sums<P> {
  using sums = mma_sums<P>;

 public:
  template <int Lines>
  struct operand {
    __align__(16) std::uint16_t v[Parts][Lines][P.depth + 8];

    template <bool AlongDepth>
    __device__ void put(int line, int k, const pack<4>& numbers) {
      pack<4> rest = numbers;
#pragma unroll
      for (int part = 0; part < Parts; ++part) {
        pack<4, std::uint16_t> bits;
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const __nv_bfloat16 head = __float2bfloat16_rn(rest.v[j]);
          bits.v[j] = __bfloat16_as_ushort(head);
          rest.v[j] -= __bfloat162float(head);
        }
        if constexpr (AlongDepth) {
          store(&v[part][line][k], bits);
        } else {
#pragma unroll
          for (int j = 0; j < 4; ++j) v[part][line + j][k] = bits.v[j];
        }
      }
    }
  };

  __device__ void multiply(const operand<P.rows>& left, const operand<P.columns>& right) {
    const int lane = this->at.lane;
    const int a_row = this->at.row + lane % 16, a_depth = lane / 16 * 8;
    const int b_row = this->at.column + lane / 16 * 8 + lane % 8, b_depth = lane / 8 % 2 * 8;
#pragma unroll
    for (int k = 0; k < P.depth; k += 16) {
      std::uint32_t b[Parts][sums::wide / 2][4];
#pragma unroll
      for (int part = 0; part < Parts; ++part)
#pragma unroll
        for (int j = 0; j < sums::wide / 2; ++j)
          ptx::ldmatrix_x4(b[part][j], &right.v[part][b_row + j * 16][k + b_depth]);
#pragma unroll
      for (int i = 0; i < sums::tall; ++i) {
        std::uint32_t a[Parts][4];
#pragma unroll
        for (int part = 0; part < Parts; ++part)
          ptx::ldmatrix_x4(a[part], &left.v[part][a_row + i * 16][k + a_depth]);
#pragma unroll
        for (int j = 0; j < sums::wide; ++j) add_products(this->sum[i][j], a, b, j);
      }
    }
  }

 private:
  /// The products of parts whose size is not below the last part's, the smallest first.
  __device__ static void add_products(float (&d)[4], const std::uint32_t (&a)[Parts][4],
                                      const std::uint32_t (&b)[Parts][sums::wide / 2][4], int j) {
#pragma unroll
    for (int order = Parts - 1; order >= 0; --order)
#pragma unroll
      for (int part = 0; part <= order; ++part) {
        const std::uint32_t(&words)[4] = b[order - part][j / 2];
        const std::uint32_t two[2] = {words[j % 2 * 2], words[j % 2 * 2 + 1]};
        ptx::mma_bf16(d, a[part], two);
      }
  }
};

template <gemm_math Math, gemm_policy P>
struct gemm_core_of {
  using type = bf16_core<P, gemm_parts(Math)>;
};
template <gemm_policy P>
struct gemm_core_of<gemm_math::fp32, P> {
  using type = simt_core<P>;
};
template <gemm_policy P>
struct gemm_core_of<gemm_math::tf32, P> {
  using type = tf32_core<P>;
};

}  // namespace gantry::kernels
