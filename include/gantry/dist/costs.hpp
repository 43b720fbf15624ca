// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/concepts/topology.hpp"
#include "gantry/dist/penalty_passes.hpp"

namespace gantry::inline v0::dist {

/// Floating-point operations per sample of what players do, products only (a multiply-add is two).
template <Topology T>
struct costs {
  static constexpr flop_count g = T::generator_type::flops, d = T::discriminator_type::flops;

  /// One forward of the generator.
  static constexpr double generate = g.forward;
  /// One backward of the generator behind a forward; latents need no gradient.
  static constexpr double learn_generator =
      g.input_gradient - T::generator_type::first_input_gradient_flops + g.weight_gradient;
  /// One discriminator step: forward and backward of a real and of a fake sample, and penalties.
  static constexpr double learn_discriminator =
      2 * (d.forward + d.input_gradient - T::discriminator_type::first_input_gradient_flops +
           d.weight_gradient) +
      penalty_flops<typename T::discriminator_type, typename T::loss_type>();
  /// The derivative of the generator's loss by a generated sample.
  static constexpr double feedback = d.forward + d.input_gradient;
};

}  // namespace gantry::dist
