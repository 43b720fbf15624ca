// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "gantry/concepts/backend.hpp"

namespace gantry::inline v0 {

/// The discriminator's outputs for a batch and where their gradient goes, `count` scalars each.
template <Backend B>
struct logits {
  const typename B::scalar* value{};
  typename B::scalar* gradient{};
  std::size_t count{};
};

/// All outputs of a discriminator that names classes, too: 1 x 1 x (1 + classes), where their
/// gradient goes, and the samples' labels, which may be null where only the first outputs count.
/// Those are logits::value once a loss has written them to `first`.
template <Backend B>
struct labelled_logits : logits<B> {
  const_batch_of<typename B::storage> all{};
  batch_of<typename B::storage> all_gradient{};
  const std::uint8_t* labels{};
  typename B::scalar* first{};
};

/// Numbers per sample in which a discriminator for this objective ends.
template <class L>
inline constexpr int outputs_of = [] {
  if constexpr (requires { L::outputs; })
    return L::outputs;
  else
    return 1;
}();

/// An adversarial objective. Each call overwrites the gradients with the derivative of the mean
/// loss over the batch and adds the loss to *sum (in the backend's memory). `generator` writes the
/// gradient of `fake` only; `real` is filled if generator_needs_real() says so. `constrain` runs
/// after each discriminator update, for objectives that restrict the weights (weight clipping).
template <class L, class B>
concept Loss = Backend<B> && std::copyable<L> &&
    requires(const L& l, B& b, const logits<B>& real, const logits<B>& fake,
             typename B::scalar* sum, std::span<typename B::scalar> weights) {
  { L::name } -> std::convertible_to<std::string_view>;
  { l.discriminator(b, real, fake, sum) } -> std::same_as<void>;
  { l.generator(b, real, fake, sum) } -> std::same_as<void>;
  { l.generator_needs_real() } -> std::same_as<bool>;
  { l.constrain(b, weights) } -> std::same_as<void>;
};

/// At which samples a penalty takes the gradient of the discriminator.
enum class penalty_point {
  real,          ///< the real batch
  fake,          ///< the generated batch
  interpolates,  ///< between a real and a generated sample
  perturbed,     ///< noise around real samples
};

/// A penalty coefficient(step) E f(|dD/dx|) on the gradient of the discriminator by its input, part
/// of its loss at every `every`-th of its steps, times `every` (lazy regularisation, Karras et al.,
/// arXiv 1912.04958, appendix B). `step` numbers the discriminator's steps from 0; a coefficient of
/// 0 leaves the penalty out of that step. Memory is allocated if is_on(), which must be true if the
/// coefficient is ever not 0. See gradient_norm for functions.
template <class P>
concept GradientPenalty = std::copyable<P> &&
    requires(const P& p, double square, std::int64_t step) {
  { P::name } -> std::convertible_to<std::string_view>;
  { P::point } -> std::convertible_to<penalty_point>;
  { p.function().value(square) } -> std::same_as<double>;
  { p.function().factor(square) } -> std::same_as<double>;
  { p.coefficient(step) } -> std::same_as<float>;
  { p.is_on() } -> std::same_as<bool>;
  { p.every } -> std::convertible_to<int>;
};

}  // namespace gantry
