// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>

#include "gantry/concepts/backend.hpp"

namespace gantry {

/// The discriminator's outputs for a batch and where their gradient goes, `count` scalars each.
template <Backend B>
struct logits {
  const typename B::scalar* value{};
  typename B::scalar* gradient{};
  std::size_t count{};
};

/// An adversarial objective. Each call overwrites the gradients with the derivative of the mean
/// loss over the batch and adds the loss to *sum (in the backend's memory). `constrain` runs after
/// each discriminator update, for objectives that restrict the weights (weight clipping).
template <class L, class B>
concept Loss = Backend<B> && std::copyable<L> &&
    requires(const L& l, B& b, const logits<B>& real, const logits<B>& fake,
             typename B::scalar* sum, std::span<typename B::scalar> weights) {
  { L::name } -> std::convertible_to<std::string_view>;
  { l.discriminator(b, real, fake, sum) } -> std::same_as<void>;
  { l.generator(b, fake, sum) } -> std::same_as<void>;
  { l.constrain(b, weights) } -> std::same_as<void>;
};

}  // namespace gantry
