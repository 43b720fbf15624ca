// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Instances for check_cubins.py: dense layers in every arithmetic.
#include "gantry/kernels/gemm/launch.cuh"

using namespace gantry;
using namespace gantry::kernels;

constexpr linear_geometry layer{{1, 1, 784}, 1024};

template <gemm_math Math>
void instantiate() {
  const math_context<Math> c;
  launch(c, ops::linear_forward<layer>{}, {});
}

void instantiate_all() {
  instantiate<gemm_math::fp32>();
  instantiate<gemm_math::tf32>();
  instantiate<gemm_math::bf16>();
  instantiate<gemm_math::bf16x3>();
  instantiate<gemm_math::bf16x6>();
  const math_context<gemm_math::bf16x3> c;
  launch(c, ops::linear_backward_weights<layer>{}, {});
}
