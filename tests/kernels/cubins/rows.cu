// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Instances for check_cubins.py: norms within a sample, ops with labels and on mini-batches.
#include "gantry/kernels/group_norm/launch.cuh"
#include "gantry/kernels/labels/launch.cuh"
#include "gantry/kernels/minibatch/launch.cuh"
#include "gantry/kernels/pixel_norm/launch.cuh"
#include "gantry/loss/functions.hpp"

using namespace gantry;
using namespace gantry::kernels;

void instantiate(const context& c) {
  constexpr hwc shape{16, 16, 64}, features{1, 1, 128};
  constexpr minibatch_geometry similarity{512, 50, 5};
  launch(c, ops::group_norm_forward<shape, 8>{}, {});
  launch(c, ops::group_norm_backward<shape, 8>{}, {});
  launch(c, ops::group_norm_tangent<shape, 8>{}, {});
  launch(c, ops::group_norm_second_order<shape, 8>{}, {});
  launch(c, ops::group_norm_forward<features, 1>{}, {});
  launch(c, ops::pixel_norm_forward<shape>{}, {});
  launch(c, ops::pixel_norm_derivative<shape>{}, {});
  launch(c, ops::pixel_norm_second_order<shape>{}, {});
  launch(c, ops::concat_label<features, 10, 50>{}, {});
  launch(c, ops::concat_label_backward<features, 10, 50>{}, {});
  launch(c, ops::label_product<features, 10>{}, {});
  launch(c, ops::label_product_backward<features, 10>{}, {});
  launch(c, ops::class_affine<shape, 10>{}, {});
  launch(c, ops::class_affine_backward<shape, 10>{}, {});
  launch(c, ops::take_logit<10>{}, {});
  launch(c, ops::auxiliary_cross_entropy<10>{}, {});
  launch(c, ops::classified_loss_terms<loss::cross_entropy_real, loss::cross_entropy_fake, 10>{},
         {});
  launch(c, ops::softmax_cross_entropy<10>{}, {});
  launch(c, ops::minibatch_similarity_forward<similarity>{}, {});
  launch(c, ops::minibatch_similarity_backward<similarity>{}, {});
  launch(c, ops::minibatch_similarity_tangent<similarity>{}, {});
  launch(c, ops::minibatch_similarity_second_order<similarity>{}, {});
  launch(c, ops::minibatch_deviation_forward<shape, 4>{}, {});
  launch(c, ops::minibatch_deviation_backward<shape, 4>{}, {});
  launch(c, ops::minibatch_deviation_tangent<shape, 4>{}, {});
  launch(c, ops::minibatch_deviation_second_order<shape, 4>{}, {});
}
