// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <span>
#include <string_view>

#include "gantry/concepts/loss.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/ops/labels.hpp"

namespace gantry::inline v0::loss {

/// An objective beside which the discriminator learns to name the class of real and of generated
/// samples, and the generator to be named right (ACGAN, Odena et al., arXiv 1610.09585, eq. 2 and
/// 3). The discriminator ends in 1 + Classes numbers, the objective's first; both networks' data
/// have labels.
template <class Objective, int Classes>
struct auxiliary_classifier {
  static_assert(Classes > 1 && Classes <= 256,
                "auxiliary_classifier<objective, classes>: give 2 to 256 classes");
  static_assert(
      !requires(const Objective& o) { o.penalties; },
      "auxiliary_classifier<objective, classes>: a gradient penalty needs a "
      "discriminator with one output; use the projection layer for its labels");
  static constexpr std::string_view name = "auxiliary_classifier";
  static constexpr int classes = Classes, outputs = 1 + Classes;
  Objective objective{};
  float discriminator_weight{1.0f};  ///< of the cross-entropy, on real and on fake samples each
  float generator_weight{1.0f};

  template <Backend B>
  void discriminator(B& b, const logits<B>& real, const logits<B>& fake,
                     typename B::scalar* sum) const {
    objective.discriminator(b, real, fake, sum);
  }
  template <Backend B>
  void generator(B& b, const logits<B>& real, const logits<B>& fake,
                 typename B::scalar* sum) const {
    objective.generator(b, real, fake, sum);
  }

  /// The same with the classes. One op where the backend has it for the objective.
  template <Backend B>
  void discriminator(B& b, const labelled_logits<B>& real, const labelled_logits<B>& fake,
                     typename B::scalar* sum) const {
    if constexpr (in_one_op<B>) {
      launch(b, terms_of<Objective>{},
             {real.all, fake.all, real.labels, fake.labels, real.all_gradient, fake.all_gradient,
              real.first, fake.first, discriminator_weight, sum, objective.on_real(),
              objective.on_fake()});
    } else {
      take_first(b, real);
      take_first(b, fake);
      objective.discriminator(b, real, fake, sum);
      classify(b, real, discriminator_weight, sum);
      classify(b, fake, discriminator_weight, sum);
    }
  }
  template <Backend B>
  void generator(B& b, const labelled_logits<B>& real, const labelled_logits<B>& fake,
                 typename B::scalar* sum) const {
    if constexpr (in_one_op<B>) {
      launch(b, generator_terms_of<Objective>{},
             {fake.all,
              {},
              fake.labels,
              nullptr,
              fake.all_gradient,
              {},
              fake.first,
              nullptr,
              generator_weight,
              sum,
              objective.for_generator(),
              objective.on_fake()});
    } else {
      take_first(b, fake);
      if (generator_needs_real()) take_first(b, real);
      objective.generator(b, real, fake, sum);
      classify(b, fake, generator_weight, sum);
    }
  }
  /// The parts: the first outputs; the classes' cross-entropy times a weight, with all gradients,
  /// those of the first outputs from logits::gradient.
  template <Backend B>
  static void take_first(B& b, const labelled_logits<B>& on) {
    launch(b, ops::take_logit<Classes>{}, {on.all, on.first});
  }
  template <Backend B>
  static void classify(B& b, const labelled_logits<B>& on, float weight, typename B::scalar* sum) {
    launch(b, ops::auxiliary_cross_entropy<Classes>{},
           {on.all, on.labels, on.gradient, weight, on.all_gradient, sum});
  }
  [[nodiscard]] bool generator_needs_real() const { return objective.generator_needs_real(); }
  template <Backend B>
  void constrain(B& b, std::span<typename B::scalar> weights) const {
    objective.constrain(b, weights);
  }

 private:
  template <class O>
  using terms_of =
      ops::classified_loss_terms<decltype(O::on_real()), decltype(O::on_fake()), Classes>;
  template <class O>
  using generator_terms_of =
      ops::classified_loss_terms<decltype(O::for_generator()), decltype(O::on_fake()), Classes>;
  /// For objectives that are one function of each output.
  template <class B>
  static constexpr bool in_one_op = [] {
    if constexpr (std::derived_from<Objective, separable<Objective>>)
      return Implements<B, terms_of<Objective>> && Implements<B, generator_terms_of<Objective>>;
    else
      return false;
  }();
};

}  // namespace gantry::loss
