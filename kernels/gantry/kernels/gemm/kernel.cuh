// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/common/launch.cuh"
#include "gantry/kernels/gemm/tile.cuh"

namespace gantry::inline v0::kernels {

template <class Selector, class Problem>
__global__ void __launch_bounds__(Selector::policy.threads(), Selector::policy.blocks)
    gemm_kernel(const __grid_constant__ Problem problem) {
  using tile = gemm_tile<Selector::math, Selector::policy>;
  tile{}(problem, dynamic_shared<typename tile::shared_storage>());
}

}  // namespace gantry::kernels
