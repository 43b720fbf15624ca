// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/nn/augmented.hpp"

namespace gantry::inline v0::models {

/// A preset whose discriminator sees changed images, real and generated ones alike: its name,
/// objective, settings, weights and checkpoints stay the preset's. discriminator.layer<0>() says
/// which changes are made (augment_images), none at probability 0.
template <class Networks>
struct augmented : Networks {
  using generator = typename Networks::generator;
  using discriminator = gantry::augmented_network<typename Networks::discriminator>;
  static void configure(generator& g, discriminator& d) {
    typename Networks::discriminator plain;
    if constexpr (requires { Networks::configure(g, plain); }) Networks::configure(g, plain);
    d = with_augmentation(plain, d.template layer<0>());
  }
};

}  // namespace gantry::models
