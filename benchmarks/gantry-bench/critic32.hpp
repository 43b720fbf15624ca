// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// DCGAN's networks for 32 x 32 images as a WGAN-GP: a critic without normalisation, as the penalty
// asks. Not a preset of gantry-train; here for `step --critic-only`, since its products are those
// that the DCGANs are measured by.
#pragma once

#include "gantry/loss/objectives.hpp"
#include "gantry/loss/penalties.hpp"
#include "gantry/models/presets.hpp"

namespace bench {

struct critic32 {
  static constexpr std::string_view name = "critic32";
  using objective = gantry::loss::penalised<gantry::loss::critic, gantry::loss::wgan_gp>;
  using generator = gantry::models::dcgan32::generator;
  using discriminator =
      gantry::sequential<gantry::image<32, 32, 3>, gantry::conv2d<64, 4, 2, 1, gantry::bias::no>,
                         gantry::leaky_relu, gantry::conv2d<128, 4, 2, 1, gantry::bias::no>,
                         gantry::leaky_relu, gantry::conv2d<256, 4, 2, 1, gantry::bias::no>,
                         gantry::leaky_relu, gantry::conv2d<1, 4, 1, 0, gantry::bias::no>>;
};

}  // namespace bench
