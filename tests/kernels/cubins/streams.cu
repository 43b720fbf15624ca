// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Instances for check_cubins.py: kernels that memory limits.
#include "gantry/kernels/batch_norm/launch.cuh"
#include "gantry/kernels/optimizer/launch.cuh"
#include "gantry/kernels/philox/launch.cuh"
#include "gantry/kernels/pointwise/launch.cuh"

using namespace gantry;
using namespace gantry::kernels;

/// Stands for the functions of loss/, which a kernel cannot call while they are not constexpr.
struct square {
  [[nodiscard]] constexpr float value(float x) const { return x * x; }
  [[nodiscard]] constexpr float derivative(float x) const { return 2 * x; }
};

void instantiate(const context& c) {
  constexpr hwc shape{16, 16, 64};
  launch(c, adam_and_copies{});
  launch(c, ops::sgd_step{}, {});
  launch(c, ops::rmsprop_step{}, {});
  launch(c, ops::activation_forward<function::tanh>{}, {});
  launch(c, ops::activation_backward<function::leaky_relu>{}, {});
  launch(c, ops::clamp{}, {});
  launch(c, ops::loss_term<square>{}, {});
  fill_normal(c, {});
  fill_uniform(c, {});
  launch(c, ops::dropout<shape>{}, {});
  launch(c, ops::batch_norm_forward<shape>{}, {});
  launch(c, ops::batch_norm_backward<shape>{}, {});
  launch(c, ops::channel_sum<shape>{}, {});
}
