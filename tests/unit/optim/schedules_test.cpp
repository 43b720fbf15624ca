// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Optimizers whose settings change from step to step.
#include <array>

#include <doctest/doctest.h>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/optim/optimizers.hpp"

#include "support/grad_check.hpp"

using namespace gantry;
using test::compare;

namespace {

using reference = backend::reference<double>;
constexpr std::size_t count = 4;

double gradient(std::int64_t t, std::size_t i) {
  return std::sin(1.3 * static_cast<double>(t) + static_cast<double>(i)) *
         std::pow(10.0, static_cast<double>(i) - 2);
}

/// Weights and state of an optimizer on the gradients of adam_schedule_golden.py.
template <class Optimizer, Backend B = reference>
struct training {
  using scalar = typename B::scalar;
  explicit training(Optimizer o) : optimizer(o), state(optimizer.state_per_param() * count) {}
  void step() {
    std::vector<scalar> g(count);
    ++t;
    for (std::size_t i = 0; i < count; ++i) g[i] = static_cast<scalar>(gradient(t, i));
    optimizer.step(b, std::span(weights), std::span<const scalar>(g), std::span(state), t);
  }

  B b;
  Optimizer optimizer;
  std::vector<scalar> weights{1.0, -0.5, 0.25, 2.0}, state;
  std::int64_t t{};
};

struct moment {
  std::int64_t t;
  std::array<double, count> weights;
};

/// The rate along cosine(0.25, 0.0625) over 8 steps, beta2 along cosine(0.5, 0.984375) over 10,
/// both set before every step of torch.optim.Adam.
constexpr moment without_momentum[] = {
    {1, {0.773005776858, -0.746768364668, 0.498461837488, 2.249973354761}},
    {2, {0.617126307946, -0.560680912814, 0.794771765618, 2.455802291360}},
    {6, {0.820230557357, -0.551958996018, 0.615545067334, 2.206752262465}},
    {12, {0.832974569917, -0.446859172907, 0.709521590417, 2.206981228525}},
};
constexpr moment with_momentum[] = {
    {1, {0.773005776858, -0.746768364668, 0.498461837488, 2.249973354761}},
    {2, {0.571964541193, -0.727237349399, 0.711681249663, 2.486766766172}},
    {6, {0.683931948609, -0.615284885874, 0.735907897628, 2.370795592447}},
    {12, {0.663429237882, -0.580621612335, 0.794244322863, 2.400470412466}},
};

template <Backend B>
void check_adam(float beta1, std::span<const moment> expected) {
  training<optim::adam, B> run({.rate = cosine(0.25f, 0.0625f, 8),
                                .beta1 = beta1,
                                .beta2 = cosine(0.5f, 0.984375f, 10),
                                .epsilon = 0.0009765625f});
  for (const moment& m : expected) {
    while (run.t < m.t) run.step();
    CAPTURE(m.t);
    // The settings of a step are single precision, PyTorch's double.
    CHECK(compare(std::span<const typename B::scalar>(run.weights),
                  std::span<const double>(m.weights), {2e-6, 2e-6}));
  }
}

/// Every step of `scheduled` is that of an optimizer with the settings `at(t)` and the same past.
template <class Optimizer, class F>
void check_steps(const Optimizer& scheduled, F&& at) {
  training<Optimizer> run(scheduled), plain(at(1));
  for (int t = 1; t <= 12; ++t) {
    plain.optimizer = at(t);
    plain.step();
    run.step();
    CHECK(run.weights == plain.weights);
    CHECK(run.state == plain.state);
  }
}

}  // namespace

TEST_CASE("schedules: Adam with a rate and a beta2 per step is PyTorch's") {
  check_adam<reference>(0.0f, without_momentum);
  check_adam<reference>(0.5f, with_momentum);
  check_adam<backend::cpu>(0.0f, without_momentum);
  check_adam<backend::cpu>(0.5f, with_momentum);
}

TEST_CASE("schedules: update t has the value of step t - 1") {
  const schedule rate = ramp(0.5f, 0.125f, 6), beta2 = ramp(0.5f, 0.75f, 4);
  check_steps(optim::adam{.rate = rate, .beta2 = beta2},
              [&](int t) { return optim::adam{.rate = rate.at(t - 1), .beta2 = beta2.at(t - 1)}; });
  check_steps(optim::sgd{.rate = rate, .momentum = 0.9f},
              [&](int t) { return optim::sgd{.rate = rate.at(t - 1), .momentum = 0.9f}; });
  check_steps(optim::rmsprop{.rate = rate},
              [&](int t) { return optim::rmsprop{.rate = rate.at(t - 1)}; });
  using any = optim::one_of<optim::sgd, optim::adam>;
  check_steps(any{optim::adam{.rate = rate}},
              [&](int t) { return any{optim::adam{.rate = rate.at(t - 1)}}; });
  check_steps(optim::ema<optim::adam>{.base = {.rate = rate}, .decay = ramp(0, 0.5f, 9)},
              [&](int t) {
                return optim::ema<optim::adam>{.base = {.rate = rate.at(t - 1)},
                                               .decay = ramp(0, 0.5f, 9).at(t - 1)};
              });
}

TEST_CASE("schedules: a schedule that stands still has the bits of the plain number") {
  check_steps(optim::adam{.rate = ramp(0.1f, 0.1f, 5), .beta2 = cosine(0.9f, 0.9f, 5)},
              [](int) { return optim::adam{.rate = 0.1f, .beta2 = 0.9f}; });
}

TEST_CASE("schedules: an average with a half-life") {
  using averaged = optim::ema<optim::sgd>;
  const averaged constant{.half_life = 100.0f};
  CHECK(constant.decay_at(100000) == doctest::Approx(0.993092495437).epsilon(1e-6));
  CHECK(constant.decay_at(2) == 3.0f / 12);
  // Half of what the average held is left after as many updates.
  double left = 1;
  for (int t = 0; t < 100; ++t) left *= static_cast<double>(constant.decay_at(100000 + t));
  CHECK(left == doctest::Approx(0.5).epsilon(1e-5));
  const averaged growing{.half_life = ramp(0, 500, 1000)};
  CHECK(growing.decay_at(1) == 0.0f);
  CHECK(growing.decay_at(3) == doctest::Approx(4.0 / 13));
  CHECK(growing.decay_at(501) == 502.0f / 511);
  CHECK(growing.decay_at(100000) == doctest::Approx(0.998614664436).epsilon(1e-6));
  const averaged by_decay{.decay = ramp(0.5f, 0.75f, 100)};
  CHECK(by_decay.decay_at(51) == 0.625f);
}
