// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Instances for check_cubins.py: a DCGAN's inner layer and its first.
#include "gantry/kernels/conv2d/launch.cuh"

using namespace gantry;
using namespace gantry::kernels;

constexpr conv_geometry inner{{32, 32, 96}, 128, 4, 2, 1}, first{{64, 64, 3}, 64, 4, 2, 1};

void instantiate(const math_context<gemm_math::fp32>& fp32,
                 const math_context<gemm_math::bf16x3>& bf16x3) {
  launch(fp32, ops::conv2d_forward<inner>{}, {});
  launch(fp32, ops::conv2d_backward_data<inner>{}, {});
  launch(bf16x3, ops::conv2d_forward<inner>{}, {});
  launch(bf16x3, ops::conv2d_backward_data<inner>{}, {});
  launch(bf16x3, ops::conv2d_backward_weights<inner>{}, {});
  launch(bf16x3, ops::conv2d_forward<first>{}, {});
  launch(bf16x3, ops::conv2d_backward_weights<first>{}, {});
}
