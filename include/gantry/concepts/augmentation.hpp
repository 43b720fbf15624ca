// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// How training reaches the augmentations in a network: layers with a `probability`, one of which
// may say that it is `adaptive`.
#pragma once

#include <optional>

#include "gantry/base/adaptive_probability.hpp"

namespace gantry::inline v0 {

/// Sets the probability of all augmentations of a network, as an adaptive_probability asks for.
template <class Net>
void set_augment_probability(Net& net, float probability) {
  const auto set = [probability](auto& layer) {
    if constexpr (requires { layer.probability; }) layer.probability = probability;
  };
  if constexpr (requires { net.for_each_layer(set); }) net.for_each_layer(set);
}

/// What the first adaptive augmentation of a network says, empty where there is none.
template <class Net>
std::optional<adaptive_probability> adaptive_augmentation(Net& net) {
  std::optional<adaptive_probability> found;
  const auto look = [&found](auto& layer) {
    if constexpr (requires { layer.adaptive; })
      if (!found) found = layer.adaptive;
  };
  if constexpr (requires { net.for_each_layer(look); }) net.for_each_layer(look);
  return found;
}

/// The probability of a network's first augmentation, empty where there is none.
template <class Net>
std::optional<float> augment_probability(Net& net) {
  std::optional<float> found;
  const auto look = [&found](auto& layer) {
    if constexpr (requires { layer.probability; })
      if (!found) found = layer.probability;
  };
  if constexpr (requires { net.for_each_layer(look); }) net.for_each_layer(look);
  return found;
}

}  // namespace gantry
