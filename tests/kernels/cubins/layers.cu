// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Instances for check_cubins.py: ops of layers that few networks have.
#include "gantry/kernels/attention/launch.cuh"
#include "gantry/kernels/augment/launch.cuh"
#include "gantry/kernels/grouped_conv2d/launch.cuh"
#include "gantry/kernels/learned_basis/launch.cuh"
#include "gantry/kernels/resample/launch.cuh"

using namespace gantry;
using namespace gantry::kernels;

void instantiate(const context& c) {
  constexpr hwc shape{32, 32, 64}, image{32, 32, 3};
  constexpr attention_geometry attention{16, 16, 16, 64};
  constexpr grouped_geometry depthwise{{16, 16, 64}, 64, 3, 1, 1, 64};
  launch(c, ops::attention_forward<attention>{}, {});
  launch(c, ops::attention_backward<attention>{}, {});
  launch(c, ops::attention_tangent<attention>{}, {});
  launch(c, ops::attention_second_order<attention>{}, {});
  launch(c, ops::scaled_copy{}, {});
  launch(c, ops::scaled_copy_gradient{}, {});
  launch(c, ops::augment_color<image>{}, {});
  launch(c, ops::augment_translation<image>{}, {});
  launch(c, ops::augment_cutout<image>{}, {});
  launch(c, ops::augment_flip<image>{}, {});
  launch(c, ops::grouped_conv2d_forward<depthwise>{}, {});
  launch(c, ops::grouped_conv2d_backward_data<depthwise>{}, {});
  launch(c, ops::grouped_conv2d_backward_weights<depthwise>{}, {});
  launch(c, ops::learned_basis<hwc{4, 4, 64}>{}, {});
  launch(c, ops::learned_basis_backward<hwc{4, 4, 64}>{}, {});
  launch(c, ops::bilinear_forward<bilinear_geometry{shape, 2}>{}, {});
  launch(c, ops::bilinear_backward<bilinear_geometry{shape, 2}>{}, {});
  launch(c, ops::filter_halve<shape>{}, {});
  launch(c, ops::filter_double<shape>{}, {});
}
