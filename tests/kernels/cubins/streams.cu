// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Instances for check_cubins.py: kernels that memory limits.
#include "gantry/kernels/batch_norm/launch.cuh"
#include "gantry/kernels/image_batch/launch.cuh"
#include "gantry/kernels/optimizer/launch.cuh"
#include "gantry/kernels/penalty/launch.cuh"
#include "gantry/kernels/philox/launch.cuh"
#include "gantry/kernels/pointwise/launch.cuh"
#include "gantry/kernels/resample/launch.cuh"
#include "gantry/kernels/spectral_norm/launch.cuh"
#include "gantry/loss/functions.hpp"

using namespace gantry;
using namespace gantry::kernels;

void instantiate(const context& c) {
  constexpr hwc shape{16, 16, 64};
  launch(c, adam_and_copies{});
  launch(c, ops::sgd_step{}, {});
  launch(c, ops::rmsprop_step{}, {});
  launch(c, ops::activation_forward<function::tanh>{}, {});
  launch(c, ops::activation_backward<function::leaky_relu>{}, {});
  launch(c, ops::clamp{}, {});
  launch(c, ops::accumulate_scaled<shape>{}, {});
  launch(c, ops::activation_second_order<function::tanh>{}, {});
  launch(c, ops::loss_term<loss::cross_entropy_real>{}, {});
  launch(c, ops::two_loss_terms<loss::cross_entropy_real, loss::cross_entropy_fake>{}, {});
  launch(c, ops::clear{}, {});
  launch(c, ops::paired_term<loss::cross_entropy_real>{}, {});
  launch(c, ops::relativistic_average_terms<loss::half_square, loss::cross_entropy_fake>{}, {});
  launch(c, ops::gradient_penalty<shape, gradient_norm::distance_from_one>{}, {});
  launch(c, ops::interpolate<shape>{}, {});
  launch(c, ops::perturb<shape>{}, {});
  launch(c, ops::sum_squares<square_geometry{shape, 2}>{}, {});
  launch(c, ops::spread_squares<square_geometry{shape, 2}>{}, {});
  launch(c, ops::sum_pixels<shape>{}, {});
  launch(c, ops::spread_pixels<shape>{}, {});
  launch(c, ops::fold_kernel<fold_geometry{fold_kind::pooled, 128, 64}>{}, {});
  launch(c, ops::unfold_gradient<fold_geometry{fold_kind::upsampled, 128, 64}>{}, {});
  launch(c, ops::spectral_normalise<128, 1024>{}, {});
  launch(c, ops::spectral_gradient<128, 1024>{}, {});
  fill_normal(c, {});
  fill_uniform(c, {});
  launch(c, ops::dropout<shape>{}, {});
  launch(c, ops::batch_norm_forward<shape>{}, {});
  launch(c, ops::batch_norm_backward<shape>{}, {});
  launch(c, ops::batch_norm_second_order<shape>{}, {});
  launch(c, ops::channel_sum<shape>{}, {});
  launch(c, ops::image_batch<hwc{32, 32, 3}>{}, {});
  launch(c, ops::scaled_channel_sum<shape>{}, {});
}
