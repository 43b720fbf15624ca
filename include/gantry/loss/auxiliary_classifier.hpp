// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "gantry/concepts/loss.hpp"
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
  [[nodiscard]] bool generator_needs_real() const { return objective.generator_needs_real(); }
  template <Backend B>
  void constrain(B& b, std::span<typename B::scalar> weights) const {
    objective.constrain(b, weights);
  }
};

}  // namespace gantry::loss
