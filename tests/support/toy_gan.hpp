// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Small GANs and sources for tests of strategies.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gantry/base/rng.hpp"
#include "gantry/concepts/strategy.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

namespace toy {

/// Convolutions, batch norm and dropout, so that statistics and random streams matter.
using conv_generator =
    gantry::sequential<gantry::latent<5>, gantry::linear<3 * 3 * 4>, gantry::reshape<3, 3, 4>,
                       gantry::batch_norm, gantry::relu, gantry::conv_transpose2d<2, 4, 2, 1>,
                       gantry::tanh_>;
using conv_discriminator =
    gantry::sequential<gantry::image<6, 6, 2>, gantry::conv2d<4, 4, 2, 1>, gantry::batch_norm,
                       gantry::leaky_relu, gantry::dropout, gantry::linear<1>>;
using adam_gan = gantry::gan<conv_generator, conv_discriminator, gantry::loss::non_saturating,
                             gantry::optim::adam, gantry::optim::ema<gantry::optim::adam>>;
using sgd_gan = gantry::gan<conv_generator, conv_discriminator, gantry::loss::non_saturating,
                            gantry::optim::sgd>;

/// Endless normal noise, different for every worker and step.
class noise_source {
 public:
  noise_source(std::int64_t size, std::uint32_t worker) : size_(size), worker_(worker) {}
  void read(std::uint32_t step, std::span<float> out, int) {
    gantry::fill_normal(
        out, {.seed = 77, .step = step, .worker = worker_, .use = gantry::purpose::user});
  }
  [[nodiscard]] std::int64_t size() const { return size_; }

 private:
  std::int64_t size_;
  std::uint32_t worker_;
};

inline std::vector<noise_source> noise_sources(int workers, std::int64_t size) {
  std::vector<noise_source> sources;
  for (int w = 0; w < workers; ++w) sources.emplace_back(size, static_cast<std::uint32_t>(w));
  return sources;
}

}  // namespace toy
