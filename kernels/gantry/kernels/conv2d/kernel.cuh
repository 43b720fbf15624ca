// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/common/launch.cuh"
#include "gantry/kernels/conv2d/tile.cuh"

namespace gantry::inline v0::kernels {

template <class Spec>
using conv_forward_problem =
    gemm_problem<conv_windows<Spec>, matrix_operand<true>, matrix_result<product_fusion>>;
template <class Spec>
using conv_backward_weights_problem = gemm_problem<matrix_operand<false>, conv_shifted_pixels<Spec>,
                                                   matrix_result<gradient_norm_fusion<true>>>;

template <class Selector, class Problem>
__global__ void __launch_bounds__(Selector::policy.threads(), Selector::policy.blocks)
    conv2d_kernel(const __grid_constant__ Problem problem) {
  using tile = gemm_tile<Selector::math, Selector::policy>;
  tile{}(problem, dynamic_shared<typename tile::shared_storage>());
}

}  // namespace gantry::kernels
