// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What a discriminator's step with a gradient penalty runs and allocates.
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/backend/reference/reference.hpp"
#include "gantry/dist/discriminator_player.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/loss/penalties.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

#include "support/compare.hpp"

using namespace gantry;

namespace {

/// The reference, counting launches by name.
class counting : public backend::reference<float> {
 public:
  std::map<std::string, int, std::less<>> launches;
};
template <class Op>
requires Implements<backend::reference<float>, Op>
void launch(counting& b, Op op, const typename Op::template params<counting::storage>& p) {
  ++b.launches[std::string(Op::name)];
  launch(static_cast<backend::reference<float>&>(b), op, p);
}

using generator = sequential<latent<3>, linear<8 * 8 * 2>, tanh_, reshape<8, 8, 2>>;
using critic = sequential<image<8, 8, 2>, conv2d<4, 3, 2, 1>, leaky_relu, conv2d<5, 3, 2, 1>,
                          leaky_relu, conv2d<1, 2>>;
constexpr int convolutions = 3;

template <class Objective>
using topology = gan<generator, critic, Objective, optim::adam>;

/// Passes over all convolutions in one step on batches of 2, in units of one batch through one
/// convolution: forward (and tangent), input gradient, weight gradient.
struct passes {
  int forward, input_gradient, weight_gradient;
  bool operator==(const passes&) const = default;
  [[nodiscard]] int units() const { return forward + input_gradient + weight_gradient; }
};

template <class T>
passes passes_of_a_step(const T& t, std::uint32_t steps = 1) {
  counting b;
  dist::discriminator_player<T, counting> player(b, {.topology = t, .seed = 1, .batch = 2}, 0);
  std::vector<float> real(2 * 128), fake(2 * 128);
  fill_normal(std::span<float>(real), {.seed = 3});
  fill_normal(std::span<float>(fake), {.seed = 4});
  for (std::uint32_t s = 0; s < steps; ++s) {
    b.launches.clear();
    player.learn(const_batch_of<counting::storage>{real.data(), 2},
                 const_batch_of<counting::storage>{fake.data(), 2}, s, 0);
  }
  const auto passes_named = [&](std::string_view name) {
    const auto found = b.launches.find(name);
    return found == b.launches.end() ? 0 : found->second;
  };
  return {passes_named("conv2d_forward"), passes_named("conv2d_backward_data"),
          passes_named("conv2d_backward_weights")};
}

}  // namespace

TEST_CASE("penalties: a WGAN-GP step is 10 passes, where automatic differentiation takes 12") {
  using objective = loss::penalised<loss::critic, loss::wgan_gp>;
  const passes p = passes_of_a_step(topology<objective>{});
  // Forward of real, fake and interpolates, and the tangent; input gradients of three batches, for
  // the first layer only where the penalty asks; one weight gradient each.
  CHECK(p == passes{4 * convolutions, 3 * convolutions - 2, 3 * convolutions});
  CHECK(p.units() == 10 * convolutions - 2);
}

TEST_CASE("penalties: R1 and R2 share their weight gradients with the loss: 8 passes") {
  using objective = loss::penalised<loss::relativistic, loss::r1, loss::r2>;
  const passes p = passes_of_a_step(topology<objective>{});
  CHECK(p == passes{4 * convolutions, 2 * convolutions, 2 * convolutions});
  CHECK(p.units() == 8 * convolutions);
}

TEST_CASE("penalties: a lazy penalty runs at its steps, one that is switched off never") {
  using objective = loss::penalised<loss::non_saturating, loss::r1>;
  topology<objective> t;
  const passes plain = passes_of_a_step(topology<loss::non_saturating>{});
  std::get<0>(t.loss.penalties).every = 4;
  CHECK(passes_of_a_step(t, 1).units() == plain.units() + convolutions + 1);
  for (const std::uint32_t s : {2u, 3u, 4u}) CHECK(passes_of_a_step(t, s) == plain);
  CHECK(passes_of_a_step(t, 5).units() > plain.units());
  std::get<0>(t.loss.penalties).gamma = 0;
  CHECK(passes_of_a_step(t, 1) == plain);
}

TEST_CASE("penalties: signals tell the parts of a loss") {
  using objective = loss::penalised<loss::critic, loss::wgan_gp>;
  for (const float weight : {10.0f, 0.0f}) {
    counting b;
    topology<objective> t;
    std::get<0>(t.loss.penalties).weight = weight;
    dist::discriminator_player<topology<objective>, counting> player(
        b, {.topology = t, .seed = 1, .batch = 2}, 0);
    std::vector<float> real(2 * 128), fake(2 * 128);
    fill_normal(std::span<float>(real), {.seed = 3});
    fill_normal(std::span<float>(fake), {.seed = 4});
    const double loss = player.learn(const_batch_of<counting::storage>{real.data(), 2},
                                     const_batch_of<counting::storage>{fake.data(), 2}, 0, 0);
    const learning_signals& s = player.signals();
    const double distance = s[signal::score_fake] - s[signal::score_real];
    CHECK(distance != 0);
    if (weight > 0) {
      CHECK(s[signal::penalty] > 0);
      CHECK(loss == doctest::Approx(distance + s[signal::penalty]));
    } else {
      CHECK(std::isnan(s[signal::penalty]));
      CHECK(loss == doctest::Approx(distance));
    }
    CHECK(std::isnan(s[signal::augment]));  // there is none in the network
    for (const signal sign : {signal::sign_real, signal::sign_fake})
      CHECK((s[sign] == -1 || s[sign] == 0 || s[sign] == 1));
  }
}

TEST_CASE("penalties: memory is as planned, and none where all are switched off") {
  using objective = loss::penalised<loss::critic, loss::wgan_gp>;
  using t = topology<objective>;
  t with;
  t without;
  std::get<0>(without.loss.penalties).weight = 0;
  for (const t& each : {with, without}) {
    backend::cpu b(1);
    const dist::discriminator_player<t, backend::cpu> player(
        b, {.topology = each, .seed = 1, .batch = 5}, 0);
    CHECK(b.meter().bytes() == dist::discriminator_player<t, backend::cpu>::bytes(5, each.loss));
  }
  CHECK(dist::discriminator_player<t, backend::cpu>::bytes(5, without.loss) ==
        dist::discriminator_player<topology<loss::critic>, backend::cpu>::bytes(5));
}
