// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/concepts/topology.hpp"
#include "gantry/dist/penalty_passes.hpp"

namespace gantry::dist {

/// Floating-point operations of what the players do with batches of a size: what roles tell a
/// communicator that models time (`charge` in concepts/communicator.hpp).
template <Topology T>
struct player_flops {
  using generator = typename T::generator_type;
  using discriminator = typename T::discriminator_type;

  /// One generated batch.
  static constexpr double generate(int batch) { return batch * generator::flops.forward; }
  /// One backward of the generator, to its weights.
  static constexpr double learn_generator(int batch) {
    constexpr flop_count g = generator::flops;
    return batch * (g.input_gradient - generator::first_input_gradient_flops + g.weight_gradient);
  }
  /// One step of the discriminator on a real and a fake batch, penalties included.
  static constexpr double learn_discriminator(int batch) {
    constexpr flop_count d = discriminator::flops;
    return batch * (2 * (d.forward + d.input_gradient - discriminator::first_input_gradient_flops +
                         d.weight_gradient) +
                    penalty_flops<discriminator, typename T::loss_type>());
  }
  /// The derivative of the generator's loss by the images of a batch.
  static constexpr double feedback(int batch) {
    return batch * (discriminator::flops.forward + discriminator::flops.input_gradient);
  }
};

}  // namespace gantry::dist
