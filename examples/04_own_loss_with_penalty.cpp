// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// An adversarial loss of your own with a gradient penalty of your own. What you write is the loss
// of one output and the function of the gradient's norm; the derivative of the penalty by the
// weights follows from the layers' passes (docs/10_penalties.md).
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "gantry/gantry.hpp"

namespace mine {

using namespace gantry;

/// The logistic loss at a temperature.
struct tempered {
  float sign, temperature{2.0f};
  template <class T>
  [[nodiscard]] T value(T x) const {
    return std::log1p(std::exp(-static_cast<T>(sign / temperature) * x));
  }
  template <class T>
  [[nodiscard]] T derivative(T x) const {
    const T s = static_cast<T>(sign / temperature);
    return -s / (T(1) + std::exp(s * x));
  }
};
struct tempered_logistic : loss::separable<tempered_logistic> {
  static constexpr std::string_view name = "tempered_logistic";
  static constexpr tempered on_real() { return {1.0f}; }
  static constexpr tempered on_fake() { return {-1.0f}; }
  static constexpr tempered for_generator() { return {1.0f}; }
};

/// max(0, |dD/dx| - 1)^2 between real and generated samples: gradients may be small (the one-sided
/// penalty of Petzka et al., arXiv 1709.08894).
struct one_sided {
  [[nodiscard]] double value(double square) const { return excess(square) * excess(square); }
  [[nodiscard]] double factor(double square) const {
    return excess(square) > 0 ? 2 * excess(square) / std::sqrt(square) : 0;
  }
  static double excess(double square) { return std::max(0.0, std::sqrt(square) - 1); }
};
struct lipschitz {
  static constexpr std::string_view name = "lipschitz";
  static constexpr penalty_point point = penalty_point::interpolates;
  float weight{5.0f};
  int every{1};
  static constexpr one_sided function() { return {}; }
  [[nodiscard]] constexpr float coefficient(std::int64_t) const { return weight; }
  [[nodiscard]] constexpr bool is_on() const { return weight != 0; }
};

}  // namespace mine

int main(int argc, char** argv) {
  using namespace gantry;
  using generator = sequential<latent<8>, linear<64>, relu, linear<64>, relu, linear<2>>;
  using discriminator = sequential<latent<2>, linear<64>, leaky_relu, linear<64>, tanh_, linear<1>>;
  using topology = gan<generator, discriminator,
                       loss::penalised<mine::tempered_logistic, mine::lipschitz>, optim::adam>;

  common_config<topology> gan{.seed = 1, .batch = 64};
  nn::use_he_initialisation(gan.topology.generator);
  nn::use_he_initialisation(gan.topology.discriminator);
  auto world = comm::in_process(1);
  const auto iterations = static_cast<std::uint32_t>(argc > 1 ? std::atoi(argv[1]) : 500);
  const auto report = [&](const train::round_view& view) {
    if (view.iteration % std::max(1u, iterations / 5) == 0)
      std::printf("iteration %4u: D with penalty %.3f, G %.3f\n", view.iteration,
                  view.report.discriminator_loss, view.report.generator_loss);
  };
  train::run<dist::standalone, backend::cpu>(world, gan, {},
                                             std::vector{data::gaussian_mixture(1, 0)},
                                             {.iterations = iterations, .on_round = report});
}
