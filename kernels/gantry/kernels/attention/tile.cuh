// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Attention of pixels to the pixels of their sample (ops/attention.hpp). A warp has a row of the
// softmax, or a column where gradients by keys and values add up over rows: its lanes take pixels
// while there are scores to compute, then channels. Weights are computed again, never stored.
#pragma once

#include <cmath>
#include <cstddef>

#include "gantry/kernels/attention/policy.hpp"
#include "gantry/kernels/common/launch.cuh"

namespace gantry::inline v0::kernels {

template <int Positions, int Keys, int Values>
struct attention_shape {
  static constexpr int positions = Positions, keys = Keys, values = Values,
                       width = 2 * Keys + Values;

  /// Rows are counted over all samples.
  __device__ static const float* q(const float* x, std::size_t row) { return x + row * width; }
  __device__ static const float* k(const float* x, std::size_t row) { return q(x, row) + Keys; }
  __device__ static const float* v(const float* x, std::size_t row) { return k(x, row) + Keys; }
  __device__ static std::size_t first_of(std::size_t row) { return row / Positions * Positions; }
};

/// Unrolled a little only: else a row of many channels would be kept in registers.
template <int N>
__device__ float inner_product(const float* a, const float* b) {
  float sum = 0;
#pragma unroll 4
  for (int i = 0; i < N; ++i) sum += a[i] * b[i];
  return sum;
}

/// The same in all lanes; lanes are added as a tree.
__device__ inline float warp_sum(float v) {
  for (int offset = 16; offset > 0; offset /= 2) v += __shfl_xor_sync(0xffffffffu, v, offset);
  return v;
}
/// The largest number; NaN may or may not be it.
__device__ inline float warp_top(float v) {
  for (int offset = 16; offset > 0; offset /= 2) {
    const float other = __shfl_xor_sync(0xffffffffu, v, offset);
    v = v < other ? other : v;
  }
  return v;
}

/// Warps with some numbers per pixel each. A body has `rows`, `arrays` and work(row, lane, memory),
/// which all lanes of a warp call together.
template <int Threads>
struct attention_tile {
  template <class Body>
  struct shared_storage {
    float numbers[Threads / 32][Body::arrays][Body::shape::positions];
  };
  template <class Body>
  __device__ void operator()(const Body& body, shared_storage<Body>& shared) const {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int row = static_cast<int>(blockIdx.x) * (Threads / 32) + warp;
    if (row < body.rows)
      body.work(static_cast<std::size_t>(row), static_cast<int>(threadIdx.x) % 32,
                shared.numbers[warp]);
  }
};

/// y and the normalisers.
template <class Shape>
struct attention_forward_body {
  using shape = Shape;
  static constexpr int arrays = 1;
  const float* x;
  float *y, *normaliser;
  int rows;

  __device__ void work(std::size_t row, int lane, float (&memory)[1][Shape::positions]) const {
    const std::size_t first = Shape::first_of(row);
    auto& weight = memory[0];
    float top = -INFINITY;
    for (int j = lane; j < Shape::positions; j += 32) {
      weight[j] = inner_product<Shape::keys>(Shape::q(x, row), Shape::k(x, first + j));
      top = top < weight[j] ? weight[j] : top;
    }
    top = warp_top(top);
    float sum = 0;
    for (int j = lane; j < Shape::positions; j += 32) {
      weight[j] = expf(weight[j] - top);
      sum += weight[j];
    }
    sum = warp_sum(sum);
    __syncwarp();
    for (int c = lane; c < Shape::values; c += 32) {
      float result = 0;
      for (int j = 0; j < Shape::positions; ++j) result += weight[j] * Shape::v(x, first + j)[c];
      y[row * Shape::values + c] = result / sum;
    }
    if (lane == 0) normaliser[row] = top + logf(sum);
  }
};

/// ty.
template <class Shape>
struct attention_tangent_body {
  using shape = Shape;
  static constexpr int arrays = 2;
  const float *x, *normaliser, *tx;
  float* ty;
  int rows;

  __device__ void work(std::size_t row, int lane, float (&memory)[2][Shape::positions]) const {
    const std::size_t first = Shape::first_of(row);
    auto &weight = memory[0], &moved = memory[1];
    const float *q = Shape::q(x, row), *tq = Shape::q(tx, row);
    float mean = 0;
    for (int j = lane; j < Shape::positions; j += 32) {
      const float* k = Shape::k(x, first + j);
      weight[j] = expf(inner_product<Shape::keys>(q, k) - normaliser[row]);
      moved[j] = inner_product<Shape::keys>(tq, k) +
                 inner_product<Shape::keys>(q, Shape::k(tx, first + j));
      mean += weight[j] * moved[j];
    }
    mean = warp_sum(mean);
    for (int j = lane; j < Shape::positions; j += 32) moved[j] = weight[j] * (moved[j] - mean);
    __syncwarp();
    for (int c = lane; c < Shape::values; c += 32) {
      float result = 0;
      for (int j = 0; j < Shape::positions; ++j)
        result += moved[j] * Shape::v(x, first + j)[c] + weight[j] * Shape::v(tx, first + j)[c];
      ty[row * Shape::values + c] = result;
    }
  }
};

/// What gradients have in common. Second: those of <gy, ty> + <ey, y>, ey null being 0; else those
/// of <ey, y>.
template <class Shape, bool Second>
struct attention_gradient {
  const float *x, *normaliser, *tx, *gy, *ey;
  float* ex;
  float* means;  ///< [3][rows], which the rows' kernel writes
  int rows;

  /// Of row i and pixel j; `both` without the means.
  struct pair {
    float weight, slope, factor, both;
  };
  __device__ pair between(std::size_t i, std::size_t j) const {
    const float *q = Shape::q(x, i), *k = Shape::k(x, j), *v = Shape::v(x, j);
    pair p{};
    p.weight = expf(inner_product<Shape::keys>(q, k) - normaliser[i]);
    if (ey) p.both = inner_product<Shape::values>(ey + i * Shape::values, v);
    if constexpr (Second) {
      const float* seed = gy + i * Shape::values;
      p.slope = inner_product<Shape::keys>(Shape::q(tx, i), k) +
                inner_product<Shape::keys>(q, Shape::k(tx, j));
      p.factor = inner_product<Shape::values>(seed, v);
      p.both += p.slope * p.factor + inner_product<Shape::values>(seed, Shape::v(tx, j));
    }
    return p;
  }
};

/// The part of ex that belongs to queries, and the rows' means.
template <class Shape, bool Second>
struct attention_rows_body : attention_gradient<Shape, Second> {
  using shape = Shape;
  static constexpr int arrays = Second ? 4 : 2;

  __device__ void work(std::size_t row, int lane, float (&memory)[arrays][Shape::positions]) const {
    const std::size_t first = Shape::first_of(row), all = static_cast<std::size_t>(this->rows);
    auto &weight = memory[0], &both = memory[1];
    auto &slope = memory[arrays - 2], &factor = memory[arrays - 1];  // where Second
    float mean_slope = 0, mean_factor = 0, mean = 0;
    for (int j = lane; j < Shape::positions; j += 32) {
      const auto p = this->between(row, first + j);
      weight[j] = p.weight;
      both[j] = p.both;
      if constexpr (Second) {
        slope[j] = p.slope;
        factor[j] = p.factor;
        mean_slope += p.weight * p.slope;
        mean_factor += p.weight * p.factor;
      }
    }
    mean_slope = warp_sum(mean_slope);
    mean_factor = warp_sum(mean_factor);
    for (int j = lane; j < Shape::positions; j += 32) {
      if constexpr (Second) both[j] -= mean_slope * factor[j] + mean_factor * slope[j];
      mean += weight[j] * both[j];
    }
    mean = warp_sum(mean);
    for (int j = lane; j < Shape::positions; j += 32) {
      both[j] = weight[j] * (both[j] - mean);
      if constexpr (Second) factor[j] = weight[j] * (factor[j] - mean_factor);
    }
    if (lane == 0) {
      this->means[row] = mean;
      this->means[all + row] = mean_slope;
      this->means[2 * all + row] = mean_factor;
    }
    __syncwarp();
    for (int c = lane; c < Shape::keys; c += 32) {
      float result = 0;
      for (int j = 0; j < Shape::positions; ++j) {
        result += both[j] * Shape::k(this->x, first + j)[c];
        if constexpr (Second) result += factor[j] * Shape::k(this->tx, first + j)[c];
      }
      this->ex[row * Shape::width + c] = result;
    }
  }
};

/// The parts that belong to keys and values; needs the rows' means.
template <class Shape, bool Second>
struct attention_columns_body : attention_gradient<Shape, Second> {
  using shape = Shape;
  static constexpr int arrays = Second ? 4 : 2;

  __device__ void work(std::size_t column, int lane,
                       float (&memory)[arrays][Shape::positions]) const {
    const std::size_t first = Shape::first_of(column), all = static_cast<std::size_t>(this->rows);
    auto &weight = memory[0], &by_score = memory[1];
    auto &by_slope = memory[arrays - 2], &by_value = memory[arrays - 1];  // where Second
    for (int i = lane; i < Shape::positions; i += 32) {
      const std::size_t row = first + i;
      const auto p = this->between(row, column);
      float both = p.both;
      if constexpr (Second) {
        const float mean_slope = this->means[all + row], mean_factor = this->means[2 * all + row];
        both -= mean_slope * p.factor + mean_factor * p.slope;
        by_slope[i] = p.weight * (p.factor - mean_factor);
        by_value[i] = p.weight * (p.slope - mean_slope);
      }
      weight[i] = p.weight;
      by_score[i] = p.weight * (both - this->means[row]);
    }
    __syncwarp();
    float* parts = this->ex + column * Shape::width + Shape::keys;
    for (int c = lane; c < Shape::keys; c += 32) {
      float result = 0;
      for (int i = 0; i < Shape::positions; ++i) {
        result += by_score[i] * Shape::q(this->x, first + i)[c];
        if constexpr (Second) result += by_slope[i] * Shape::q(this->tx, first + i)[c];
      }
      parts[c] = result;
    }
    for (int c = lane; c < Shape::values; c += 32) {
      float result = 0;
      for (int i = 0; i < Shape::positions; ++i) {
        const std::size_t at = (first + i) * Shape::values + c;
        if (this->ey) result += weight[i] * this->ey[at];
        if constexpr (Second) result += by_value[i] * this->gy[at];
      }
      parts[Shape::keys + c] = result;
    }
  }
};

}  // namespace gantry::kernels
