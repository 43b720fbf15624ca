// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Weights of penalties as they change with the discriminator's steps; their values and derivatives
// are tests/unit/nn/penalty_test.cpp's.
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/reference/reference.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/dist/standalone.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/loss/penalties.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

#include "support/toy_gan.hpp"

using namespace gantry;

namespace {

using reference = backend::reference<float>;
using generator = sequential<latent<3>, linear<6 * 6 * 2>, reshape<6, 6, 2>, tanh_>;
using discriminator = sequential<image<6, 6, 2>, conv2d<3, 4, 2, 1>, leaky_relu, linear<1>>;
template <class... Penalties>
using topology =
    gan<generator, discriminator, loss::penalised<loss::critic, Penalties...>, optim::sgd>;

/// Never part of the loss, but notes the steps it is asked for.
struct recorder {
  static constexpr std::string_view name = "recorder";
  static constexpr penalty_point point = penalty_point::real;
  std::vector<std::int64_t>* asked{};
  int every{1};
  static constexpr gradient_norm::squared function() { return {}; }
  [[nodiscard]] float coefficient(std::int64_t step) const {
    asked->push_back(step);
    return 0;
  }
  [[nodiscard]] bool is_on() const { return asked != nullptr; }
};
static_assert(GradientPenalty<recorder>, "a penalty of one's own");

/// The losses of D over some rounds of two local steps each.
template <class... Penalties>
std::vector<double> losses(int rounds, Penalties... penalties) {
  using gan_type = topology<Penalties...>;
  common_config<gan_type> common{.seed = 4, .batch = 3};
  common.topology.loss.penalties = {penalties...};
  reference b;
  dist::standalone::node<gan_type, reference, toy::noise_source> node(b, common, {.local_steps = 2},
                                                                      toy::noise_source(12, 0));
  std::vector<double> values;
  auto world = comm::in_process(1, 1);
  world.run([&](auto& comm) {
    for (std::uint32_t k = 0; k < static_cast<std::uint32_t>(rounds); ++k)
      values.push_back(node.round(comm, k).discriminator_loss);
  });
  return values;
}

}  // namespace

TEST_CASE("penalties: coefficients at a step") {
  CHECK(loss::r1{.gamma = 3.0f}.coefficient(17) == 1.5f);
  CHECK(loss::r2{.gamma = ramp(4, 2, 10)}.coefficient(5) == 1.5f);
  CHECK(loss::wgan_gp{}.coefficient(0) == 10.0f);
  CHECK(loss::zero_centred{.weight = ramp(0, 8, 4)}.coefficient(1) == 2.0f);
  CHECK(loss::dragan{.weight = cosine(6, 2, 10)}.coefficient(10) == 2.0f);
  CHECK(!loss::r1{.gamma = 0.0f}.is_on());
  CHECK(loss::r1{.gamma = ramp(0, 1, 10)}.is_on());
  CHECK(loss::wgan_gp{.weight = cosine(1, 0, 10)}.is_on());
}

TEST_CASE("penalties: asked with the number of the discriminator's step") {
  std::vector<std::int64_t> every, third;
  losses(3, recorder{&every});
  CHECK(every.size() % 6 == 0);  // as often per step as there are places for a penalty
  const auto places = static_cast<std::int64_t>(every.size()) / 6;
  for (std::size_t i = 0; i < every.size(); ++i)
    CHECK(every[i] == static_cast<std::int64_t>(i) / places);
  losses(4, recorder{&third, 3});
  for (std::size_t i = 0; i < third.size(); ++i)
    CHECK(third[i] == 3 * (static_cast<std::int64_t>(i) / places));
  CHECK(third.back() == 6);
}

TEST_CASE("penalties: a weight on its way") {
  const auto plain = losses(3, loss::r1{.gamma = 2.0f});
  CHECK(losses(3, loss::r1{.gamma = ramp(2, 2, 9)}) == plain);
  // Six steps of D: the weight falls to 0.5 at the last of them.
  const auto falling = losses(3, loss::r1{.gamma = cosine(2, 0.5f, 5)});
  CHECK(falling[0] != plain[0]);
  CHECK(losses(1, loss::r1{.gamma = cosine(2, 0.5f, 5)})[0] == falling[0]);
  CHECK(losses(2, loss::r1{.gamma = ramp(0, 0, 2)}) == losses(2, loss::r1{.gamma = 0.0f}));
  // 0 at the first step, not at the second.
  CHECK(losses(1, loss::r1{.gamma = ramp(0, 3, 2)}) != losses(1, loss::r1{.gamma = 0.0f}));
}

TEST_CASE("penalties: memory is allocated if the weight is ever not 0") {
  using passes =
      dist::penalty_passes<discriminator, loss::penalised<loss::critic, loss::r1>, reference>;
  const auto bytes = [](schedule gamma) {
    loss::penalised<loss::critic, loss::r1> objective;
    std::get<0>(objective.penalties).gamma = gamma;
    return passes::bytes(5, objective);
  };
  CHECK(bytes(0.0f) == 0);
  CHECK(bytes(1.0f) > 0);
  CHECK(bytes(ramp(0, 1, 3)) == bytes(1.0f));
  CHECK(bytes(cosine(1, 0, 3)) == bytes(1.0f));
}
