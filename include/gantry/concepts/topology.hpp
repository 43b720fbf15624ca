// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <concepts>

#include "gantry/concepts/loss.hpp"
#include "gantry/concepts/network.hpp"
#include "gantry/concepts/optimizer.hpp"

namespace gantry::inline v0 {

/// Classes of the labels that a network or an objective reads; 0 where it reads none.
template <class T>
inline constexpr int classes_of = [] {
  if constexpr (requires { T::classes; })
    return T::classes;
  else
    return 0;
}();

/// A GAN as a type: two networks, an objective and an optimizer for each player. Members hold the
/// run-time settings (rates, slopes). Wrap the generator's optimizer in optim::ema to draw samples
/// from averaged weights.
template <Network Generator, Network Discriminator, class Objective, class DiscriminatorOptimizer,
          class GeneratorOptimizer = DiscriminatorOptimizer>
struct gan {
  static_assert(Generator::output_shape == Discriminator::input_shape,
                "gan: the generator's output and the discriminator's input must have the same "
                "height, width and channels");
  static_assert(outputs_of<Objective> > 1 || Discriminator::output_shape == hwc{1, 1, 1},
                "gan: the discriminator must end in one number per sample; end it with linear<1>");
  static_assert(outputs_of<Objective> == 1 ||
                    Discriminator::output_shape == hwc{1, 1, outputs_of<Objective>},
                "gan: a discriminator with an auxiliary classifier must end in one number and one "
                "per class; end it with linear<1 + classes>");
  static constexpr int classes =
      std::max({classes_of<Generator>, classes_of<Discriminator>, classes_of<Objective>});
  static_assert((classes_of<Generator> == 0 || classes_of<Generator> == classes) &&
                    (classes_of<Discriminator> == 0 || classes_of<Discriminator> == classes) &&
                    (classes_of<Objective> == 0 || classes_of<Objective> == classes),
                "gan: generator, discriminator and objective must agree on the number of classes");
  static_assert(classes == 0 || classes_of<Generator> > 0,
                "gan: labels reach the discriminator or its auxiliary classifier but not the "
                "generator; give the generator concat_label or conditional_batch_norm");
  using generator_type = Generator;
  using discriminator_type = Discriminator;
  using loss_type = Objective;
  using generator_optimizer_type = GeneratorOptimizer;
  using discriminator_optimizer_type = DiscriminatorOptimizer;
  static constexpr hwc latent_shape = Generator::input_shape;
  static constexpr hwc sample_shape = Generator::output_shape;

  Generator generator{};
  Discriminator discriminator{};
  Objective loss{};
  GeneratorOptimizer generator_optimizer{};
  DiscriminatorOptimizer discriminator_optimizer{};
};

/// Anything with gan's members.
template <class T>
concept Topology = std::copyable<T> && Network<typename T::generator_type> &&
    Network<typename T::discriminator_type> && requires(T t) {
  { T::latent_shape } -> std::convertible_to<hwc>;
  { T::sample_shape } -> std::convertible_to<hwc>;
  { t.loss } -> std::same_as<typename T::loss_type&>;
  { t.generator_optimizer } -> std::same_as<typename T::generator_optimizer_type&>;
  { t.discriminator_optimizer } -> std::same_as<typename T::discriminator_optimizer_type&>;
};

}  // namespace gantry
