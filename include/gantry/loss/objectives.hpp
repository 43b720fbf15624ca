// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Adversarial objectives on raw outputs (logits) of the discriminator; every term is a mean over
// the batch.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <tuple>
#include <variant>

#include "gantry/concepts/loss.hpp"
#include "gantry/loss/functions.hpp"
#include "gantry/ops/loss.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0::loss {

namespace detail {

template <class Function, Backend B>
void mean_term(B& b, const logits<B>& at, typename B::scalar* sum, Function f) {
  launch(b, ops::loss_term<Function>{},
         {at.value, at.gradient, at.count, 1.0f / static_cast<float>(at.count), sum, f});
}

}  // namespace detail

/// Base of objectives that are one function of each output. Derived has on_real(), on_fake() and
/// for_generator(), which return such functions (see functions.hpp).
template <class Derived>
struct separable {
  template <Backend B>
  void discriminator(B& b, const logits<B>& real, const logits<B>& fake,
                     typename B::scalar* sum) const {
    const auto f = self().on_real();
    const auto g = self().on_fake();
    if constexpr (Implements<B, ops::two_loss_terms<decltype(self().on_real()),
                                                    decltype(self().on_fake())>>) {
      launch(b, ops::two_loss_terms<decltype(self().on_real()), decltype(self().on_fake())>{},
             {real.value, fake.value, real.gradient, fake.gradient, real.count, fake.count, sum, f,
              g});
    } else {
      detail::mean_term(b, real, sum, f);
      detail::mean_term(b, fake, sum, g);
    }
  }
  template <Backend B>
  void generator(B& b, const logits<B>&, const logits<B>& fake, typename B::scalar* sum) const {
    detail::mean_term(b, fake, sum, self().for_generator());
  }
  static constexpr bool generator_needs_real() { return false; }
  template <Backend B>
  void constrain(B&, std::span<typename B::scalar>) const {}

 private:
  [[nodiscard]] const Derived& self() const { return static_cast<const Derived&>(*this); }
};

/// The minimax game: the generator minimises E log(1 - D(G(z))) (Goodfellow et al., arXiv
/// 1406.2661, eq. 1; J_gen of MD-GAN). Natural logarithm.
struct saturating : separable<saturating> {
  static constexpr std::string_view name = "saturating";
  static constexpr cross_entropy_real on_real() { return {}; }
  static constexpr cross_entropy_fake on_fake() { return {}; }
  static constexpr negative_cross_entropy_fake for_generator() { return {}; }
};

/// The generator maximises E log D(G(z)) instead (arXiv 1406.2661, section 3): same fixed point,
/// stronger gradient early on.
struct non_saturating : separable<non_saturating> {
  static constexpr std::string_view name = "non_saturating";
  static constexpr cross_entropy_real on_real() { return {}; }
  static constexpr cross_entropy_fake on_fake() { return {}; }
  static constexpr cross_entropy_real for_generator() { return {}; }
};

/// Least squares with targets 1 (real), 0 (fake), 1 (generator) (Mao et al., arXiv 1611.04076, eq.
/// 9).
struct least_squares : separable<least_squares> {
  static constexpr std::string_view name = "least_squares";
  static constexpr half_square on_real() { return {1.0f}; }
  static constexpr half_square on_fake() { return {0.0f}; }
  static constexpr half_square for_generator() { return {1.0f}; }
};

/// Hinge for the discriminator, -D(G(z)) for the generator (Lim and Ye, arXiv 1705.02894; Miyato et
/// al., arXiv 1802.05957, eq. 16-17).
struct hinge : separable<hinge> {
  static constexpr std::string_view name = "hinge";
  static constexpr margin on_real() { return {1.0f}; }
  static constexpr margin on_fake() { return {-1.0f}; }
  static constexpr proportional for_generator() { return {-1.0f}; }
};

/// Wasserstein distance by a critic that a gradient penalty keeps in bounds: E D(G(z)) - E D(x)
/// (Gulrajani et al., arXiv 1704.00028, eq. 3 without its penalty; see penalised).
struct critic : separable<critic> {
  static constexpr std::string_view name = "critic";
  static constexpr proportional on_real() { return {-1.0f}; }
  static constexpr proportional on_fake() { return {1.0f}; }
  static constexpr proportional for_generator() { return {-1.0f}; }
};

/// Wasserstein distance by a critic whose weights are clipped to [-clip, clip] after each of its
/// updates (Arjovsky et al., arXiv 1701.07875, Alg. 1).
struct wasserstein : separable<wasserstein> {
  static constexpr std::string_view name = "wasserstein";
  float clip{0.01f};
  static constexpr proportional on_real() { return {-1.0f}; }
  static constexpr proportional on_fake() { return {1.0f}; }
  static constexpr proportional for_generator() { return {-1.0f}; }

  template <Backend B>
  void constrain(B& b, std::span<typename B::scalar> weights) const {
    launch(b, ops::clamp{}, {weights.data(), weights.size(), clip});
  }
};

/// Relativistic pairing: softplus(-(D(x) - D(G(z)))) for pairs of a real and a generated sample,
/// and the other way round for the generator (Jolicoeur-Martineau, arXiv 1807.00734, eq. 5; the
/// loss of R3GAN, Huang et al., arXiv 2501.05441, eq. 2).
struct relativistic {
  static constexpr std::string_view name = "relativistic";
  template <Backend B>
  void discriminator(B& b, const logits<B>& real, const logits<B>& fake,
                     typename B::scalar* sum) const {
    launch(b, ops::paired_term<cross_entropy_real>{},
           {real.value,
            fake.value,
            real.gradient,
            fake.gradient,
            real.count,
            1.0f / static_cast<float>(real.count),
            sum,
            {}});
  }
  template <Backend B>
  void generator(B& b, const logits<B>& real, const logits<B>& fake,
                 typename B::scalar* sum) const {
    launch(b, ops::paired_term<cross_entropy_real>{},
           {fake.value,
            real.value,
            fake.gradient,
            nullptr,
            fake.count,
            1.0f / static_cast<float>(fake.count),
            sum,
            {}});
  }
  static constexpr bool generator_needs_real() { return true; }
  template <Backend B>
  void constrain(B&, std::span<typename B::scalar>) const {}
};

/// Each output is judged against the mean of the other kind (Jolicoeur-Martineau, arXiv 1807.00734,
/// section 4.2): Target(D(x) - E D(G(z))) + Other(D(G(z)) - E D(x)), exchanged for the generator.
template <class Target, class Other>
struct relative_to_average {
  static constexpr std::string_view name = "relativistic_average";
  Target target{};
  Other other{};
  template <Backend B>
  void discriminator(B& b, const logits<B>& real, const logits<B>& fake,
                     typename B::scalar* sum) const {
    launch(b, ops::relativistic_average_terms<Target, Other>{},
           {real.value, fake.value, real.gradient, fake.gradient, real.count, sum, target, other});
  }
  template <Backend B>
  void generator(B& b, const logits<B>& real, const logits<B>& fake,
                 typename B::scalar* sum) const {
    launch(b, ops::relativistic_average_terms<Target, Other>{},
           {fake.value, real.value, fake.gradient, nullptr, fake.count, sum, target, other});
  }
  static constexpr bool generator_needs_real() { return true; }
  template <Backend B>
  void constrain(B&, std::span<typename B::scalar>) const {}
};
/// RaSGAN: with the cross-entropy.
using relativistic_average = relative_to_average<cross_entropy_real, cross_entropy_fake>;

/// An objective with penalties on the gradient of its discriminator (see penalties.hpp), each a
/// value: penalised<critic, wgan_gp>{.penalties = {wgan_gp{.weight = 10}}}.
template <class Objective, GradientPenalty... Penalties>
struct penalised {
  static_assert(outputs_of<Objective> == 1,
                "penalised<objective, penalties...>: a gradient penalty needs a discriminator with "
                "one output; use the projection layer for its labels");
  static constexpr std::string_view name = Objective::name;
  Objective objective{};
  std::tuple<Penalties...> penalties{};

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

/// One of several objectives, chosen at run time: for programs that read it from a flag.
template <class... Losses>
struct one_of {
  static constexpr std::string_view name = "one_of";
  std::variant<Losses...> chosen;

  template <Backend B>
  void discriminator(B& b, const logits<B>& real, const logits<B>& fake,
                     typename B::scalar* sum) const {
    std::visit([&](const auto& l) { l.discriminator(b, real, fake, sum); }, chosen);
  }
  template <Backend B>
  void generator(B& b, const logits<B>& real, const logits<B>& fake,
                 typename B::scalar* sum) const {
    std::visit([&](const auto& l) { l.generator(b, real, fake, sum); }, chosen);
  }
  [[nodiscard]] bool generator_needs_real() const {
    return std::visit([](const auto& l) { return l.generator_needs_real(); }, chosen);
  }
  template <Backend B>
  void constrain(B& b, std::span<typename B::scalar> weights) const {
    std::visit([&](const auto& l) { l.constrain(b, weights); }, chosen);
  }
};

}  // namespace gantry::loss
