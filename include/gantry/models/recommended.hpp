// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace gantry::inline v0::models {

/// What the source of a preset trains it with: Adam's settings, and discriminator steps per
/// generator step.
struct recommended {
  float rate_g{2e-4f}, rate_d{2e-4f}, beta1{0.5f}, beta2{0.999f};
  int critic_steps{1};
};

}  // namespace gantry::models
