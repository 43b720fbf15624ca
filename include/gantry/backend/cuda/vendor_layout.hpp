// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Products and convolutions in the words of cuBLASLt and cuDNN: which matrices and tensors, and how
// they lie. Nothing here needs a library or a device.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "gantry/ops/conv2d.hpp"
#include "gantry/ops/linear.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0::backend {

/// Who multiplies: the kernels of kernels/, or cuBLASLt and cuDNN. All other ops are the same.
enum class device_kernels { own, vendor };

constexpr std::string_view device_kernels_name(device_kernels set) {
  return set == device_kernels::own ? "own" : "vendor";
}

/// The library's arithmetic: exact fp32, tf32, or bf16 products with fp32 sums.
enum class vendor_math { fp32, tf32, bf16 };

/// d[rows][columns] = op(a) op(b), or d += op(a) op(b), of matrices that lie by columns, as BLAS
/// has them: ours are the same memory, transposed.
struct vendor_product {
  int rows{}, columns{}, depth{};
  bool transpose_a{}, transpose_b{};
  int pitch_a{}, pitch_b{}, pitch_d{};  ///< numbers from a column to the next
  bool accumulate{};
  bool bias{};    ///< a number per row of d
  bool relu{};    ///< of the sum and its bias
  int alignment;  ///< bytes, of all pointers
  vendor_math math{};
  friend constexpr bool operator==(const vendor_product&, const vendor_product&) = default;
};

/// y[n][out] = x[n][in] w[out][in]^T: by columns, y^T = w x^T.
constexpr vendor_product product_of_forward(const linear_geometry& g, int n) {
  const int in = g.in.size();
  return {.rows = g.out,
          .columns = n,
          .depth = in,
          .transpose_a = true,
          .pitch_a = in,
          .pitch_b = in,
          .pitch_d = g.out,
          .alignment = 4};
}
/// dx[n][in] = dy[n][out] w[out][in].
constexpr vendor_product product_of_backward_data(const linear_geometry& g, int n) {
  const int in = g.in.size();
  return {.rows = in,
          .columns = n,
          .depth = g.out,
          .pitch_a = in,
          .pitch_b = g.out,
          .pitch_d = in,
          .alignment = 4};
}
/// dw[out][in] += dy[n][out]^T x[n][in].
constexpr vendor_product product_of_backward_weights(const linear_geometry& g, int n) {
  const int in = g.in.size();
  return {.rows = in,
          .columns = g.out,
          .depth = n,
          .transpose_b = true,
          .pitch_a = in,
          .pitch_b = g.out,
          .pitch_d = in,
          .accumulate = true,
          .alignment = 4};
}

/// Columns and numbers of a matrix as it is stored.
constexpr int stored_columns_a(const vendor_product& p) { return p.transpose_a ? p.rows : p.depth; }
constexpr int stored_columns_b(const vendor_product& p) {
  return p.transpose_b ? p.depth : p.columns;
}
constexpr std::int64_t numbers_of_a(const vendor_product& p) {
  return std::int64_t{p.pitch_a} * stored_columns_a(p);
}
constexpr std::int64_t numbers_of_b(const vendor_product& p) {
  return std::int64_t{p.pitch_b} * stored_columns_b(p);
}

enum class conv_pass { forward, backward_data, backward_weights };

/// What follows a sum and its bias.
enum class vendor_function { identity, relu, leaky_relu, tanh, sigmoid };

/// One pass of a convolution over n samples.
struct vendor_convolution {
  conv_pass pass{};
  conv_geometry g;
  int n{};
  bool bias{};        ///< of the result's channels; not for weights
  bool accumulate{};  ///< only for weights
  int alignment{4};   ///< bytes, of all pointers
  vendor_math math{};
  vendor_function function{};
  float slope{};  ///< of leaky_relu
  friend constexpr bool operator==(const vendor_convolution&, const vendor_convolution&) = default;
};

/// Extents and distances in the order n, c, h, w, which cuDNN has for every layout.
struct vendor_tensor {
  std::array<std::int64_t, 4> extents, strides;
  [[nodiscard]] constexpr std::int64_t size() const {
    return extents[0] * extents[1] * extents[2] * extents[3];
  }
  friend constexpr bool operator==(const vendor_tensor&, const vendor_tensor&) = default;
};

/// [n][h][w][c].
constexpr vendor_tensor tensor_of(const hwc& shape, int n) {
  const std::int64_t h = shape.h, w = shape.w, c = shape.c;
  return {{n, c, h, w}, {h * w * c, 1, w * c, c}};
}
constexpr vendor_tensor image_tensor(const vendor_convolution& v) { return tensor_of(v.g.in, v.n); }
constexpr vendor_tensor map_tensor(const vendor_convolution& v) {
  return tensor_of(v.g.out(), v.n);
}
/// [filters][kernel][kernel][channels].
constexpr vendor_tensor filter_tensor(const vendor_convolution& v) {
  return tensor_of({v.g.kernel, v.g.kernel, v.g.in.c}, v.g.filters);
}
/// What a pass writes.
constexpr vendor_tensor result_tensor(const vendor_convolution& v) {
  return v.pass == conv_pass::forward         ? map_tensor(v)
         : v.pass == conv_pass::backward_data ? image_tensor(v)
                                              : filter_tensor(v);
}
constexpr vendor_tensor bias_tensor(const vendor_convolution& v) {
  const std::int64_t channels = result_tensor(v).extents[1];
  return {{1, channels, 1, 1}, {channels, 1, channels, channels}};
}

}  // namespace gantry::backend
