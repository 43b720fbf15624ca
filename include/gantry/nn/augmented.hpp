// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "gantry/nn/augment.hpp"
#include "gantry/nn/sequential.hpp"

namespace gantry::inline v0 {

namespace nn {

template <class Net>
struct behind_augmentation {
  static_assert(
      sizeof(Net) == 0,
      "augmented_network<network>: give a sequential<image<...>, layers...> that looks at images");
};
template <class Input, class... Layers>
struct behind_augmentation<sequential<Input, Layers...>> {
  using type = sequential<Input, augment_images, Layers...>;
};

}  // namespace nn

/// A discriminator with augment_images in front of it, which is its layer<0>(). Parameters, initial
/// weights, random streams and the names of tensors are those of Net.
template <class Net>
using augmented_network = typename nn::behind_augmentation<Net>::type;

/// Net with its run-time settings, behind the given augmentations.
template <class Net>
augmented_network<Net> with_augmentation(Net net, const augment_images& changes = {}) {
  augmented_network<Net> all;
  all.template layer<0>() = changes;
  nn::for_each_index<Net::depth>(
      [&]<std::size_t I>() { all.template layer<I + 1>() = net.template layer<I>(); });
  return all;
}

}  // namespace gantry
