// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace gantry::inline v0 {

/// Smallest multiple count: ceil(a / b) for a >= 0, b > 0.
template <class Int>
constexpr Int ceil_div(Int a, Int b) {
  return (a + b - 1) / b;
}

/// a rounded up to the next multiple of b.
template <class Int>
constexpr Int round_up(Int a, Int b) {
  return ceil_div(a, b) * b;
}

/// Output extent of a convolution along one axis: floor((in + 2 pad - kernel) / stride) + 1.
constexpr int conv_extent(int in, int kernel, int stride, int pad) {
  return (in + 2 * pad - kernel) / stride + 1;
}

/// Output extent of a transposed convolution along one axis (PyTorch's definition, dilation 1).
constexpr int conv_transpose_extent(int in, int kernel, int stride, int pad, int output_pad) {
  return (in - 1) * stride - 2 * pad + kernel + output_pad;
}

}  // namespace gantry
