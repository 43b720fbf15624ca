// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Every optimizer against its formula, written out once more in double for a single weight.
#include <doctest/doctest.h>

#include "gantry/optim/optimizers.hpp"

#include "support/grad_check.hpp"

using namespace gantry;
using test::close;

namespace {

using reference = backend::reference<double>;
constexpr std::size_t count = 7;
constexpr int steps = 12;

/// Weights and state of an optimizer, and a gradient that is different at every step.
template <class Optimizer>
struct training {
  explicit training(Optimizer o)
      : optimizer(o),
        weights(test::normal_doubles(count, 1, 1)),
        state(optimizer.state_per_param() * count) {}

  static double gradient(std::int64_t t, std::size_t i) {
    return std::sin(static_cast<double>(t) * 1.3 + static_cast<double>(i)) *
           std::pow(10.0, static_cast<double>(i) - 4);
  }
  void step() {
    std::vector<double> g(count);
    ++t;
    for (std::size_t i = 0; i < count; ++i) g[i] = gradient(t, i);
    optimizer.step(b, std::span(weights), std::span<const double>(g), std::span(state), t);
  }

  reference b;
  Optimizer optimizer;
  std::vector<double> weights, state;
  std::int64_t t{};
};

/// Runs the optimizer and `formula(w, g, t)`, which keeps its own state per weight.
template <class Optimizer, class Formula>
void check_against(Optimizer optimizer, const Formula& formula) {
  training<Optimizer> run(optimizer);
  std::vector<double> w = run.weights;
  std::vector<Formula> rules(count, formula);
  for (int k = 1; k <= steps; ++k) {
    run.step();
    for (std::size_t i = 0; i < count; ++i)
      w[i] = rules[i](w[i], training<Optimizer>::gradient(k, i), k);
    CHECK(test::compare(run.weights, w, {1e-12, 1e-14}).named("step " + std::to_string(k)));
  }
}

struct adam_rule {
  double rate, beta1, beta2, epsilon, m{}, v{};
  double operator()(double w, double g, int t) {
    m = beta1 * m + (1 - beta1) * g;
    v = beta2 * v + (1 - beta2) * g * g;
    const double m_hat = m / (1 - std::pow(beta1, t)), v_hat = v / (1 - std::pow(beta2, t));
    return w - rate * m_hat / (std::sqrt(v_hat) + epsilon);
  }
};

struct sgd_rule {
  double rate, momentum, velocity{};
  double operator()(double w, double g, int t) {
    velocity = t == 1 ? g : momentum * velocity + g;
    return w - rate * velocity;
  }
};

struct rmsprop_rule {
  double rate, decay, epsilon, square{};
  double operator()(double w, double g, int) {
    square = decay * square + (1 - decay) * g * g;
    return w - rate * g / (std::sqrt(square) + epsilon);
  }
};

/// Settings are single precision; the formulas get the numbers they stand for.
constexpr double wide(float v) { return static_cast<double>(v); }

}  // namespace

TEST_CASE("optimizers: Adam with bias correction") {
  check_against(optim::adam{}, adam_rule{wide(2e-4f), 0.5, wide(0.999f), wide(1e-8f)});
  check_against(optim::adam{.rate = 0.1f, .beta1 = 0.9f, .beta2 = 0.75f, .epsilon = 0.01f},
                adam_rule{wide(0.1f), wide(0.9f), 0.75, wide(0.01f)});
  check_against(optim::adam{.beta1 = 0.0f}, adam_rule{wide(2e-4f), 0, wide(0.999f), wide(1e-8f)});
}

TEST_CASE("optimizers: Adam's first step has the length of the rate, whatever the gradient") {
  training<optim::adam> run({.rate = 0.5f, .epsilon = 0.0f});
  const auto w = run.weights;
  run.step();
  for (std::size_t i = 0; i < count; ++i)
    CHECK(close(std::abs(run.weights[i] - w[i]), 0.5, {1e-9, 0}));
}

TEST_CASE("optimizers: gradient descent without and with momentum") {
  check_against(optim::sgd{}, sgd_rule{wide(1e-2f), 0});
  check_against(optim::sgd{.rate = 0.5f, .momentum = 0.9f}, sgd_rule{0.5, wide(0.9f)});
}

TEST_CASE("optimizers: RMSProp") {
  check_against(optim::rmsprop{}, rmsprop_rule{wide(5e-5f), wide(0.99f), wide(1e-8f)});
  check_against(optim::rmsprop{.rate = 0.25f, .decay = 0.5f, .epsilon = 0.125f},
                rmsprop_rule{0.25, 0.5, 0.125});
}

TEST_CASE("optimizers: state per parameter") {
  CHECK(optim::adam::state_per_param() == 2);
  CHECK(optim::sgd::state_per_param() == 1);
  CHECK(optim::rmsprop::state_per_param() == 1);
  CHECK(optim::ema<optim::adam>::state_per_param() == 3);
  CHECK(optim::ema<optim::sgd>::state_per_param() == 2);
  CHECK(optim::one_of<optim::sgd, optim::adam>::state_per_param() == 2);
  static_assert(Optimizer<optim::adam, reference>, "runs on the reference backend");
  static_assert(Optimizer<optim::ema<optim::one_of<optim::sgd, optim::adam>>, reference>,
                "decorators compose");
}

TEST_CASE("optimizers: one_of does what the chosen one does") {
  using any = optim::one_of<optim::adam, optim::sgd, optim::rmsprop>;
  check_against(any{optim::adam{}}, adam_rule{wide(2e-4f), 0.5, wide(0.999f), wide(1e-8f)});
  check_against(any{optim::sgd{0.5f, 0.75f}}, sgd_rule{0.5, 0.75});
  check_against(any{optim::rmsprop{}}, rmsprop_rule{wide(5e-5f), wide(0.99f), wide(1e-8f)});
}

TEST_CASE(
    "optimizers: the average starts at the weights, warms up, and leaves the training alone") {
  using averaged = optim::ema<optim::adam>;
  training<averaged> run({.base = {.rate = 0.1f}, .decay = 0.5f});
  training<optim::adam> plain({.rate = 0.1f});
  std::vector<double> average;
  for (int t = 1; t <= steps; ++t) {
    run.step();
    plain.step();
    CHECK(run.weights == plain.weights);
    // (1 + t) / (10 + t) passes a half at t = 8
    const double decay = t == 1 ? 0 : wide(std::min(0.5f, (1.0f + t) / (10.0f + t)));
    CHECK((t < 8) == (decay < 0.5));
    if (t == 1) average = run.weights;
    for (std::size_t i = 0; i < count; ++i)
      average[i] = decay * average[i] + (1 - decay) * run.weights[i];
    const auto found = averaged::average(std::span(run.state), count);
    REQUIRE(found.size() == count);
    CHECK(found.data() == run.state.data() + 2 * count);
    CHECK(test::compare(std::span<const double>(found), std::span<const double>(average),
                        {1e-12, 1e-14}));
  }
}

TEST_CASE("optimizers: decay of the average by step") {
  const optim::ema<optim::sgd> long_average{.decay = 0.999f};
  CHECK(long_average.decay_at(2) == 3.0f / 12);
  CHECK(long_average.decay_at(100) == 101.0f / 110);
  CHECK(long_average.decay_at(100000) == 0.999f);
  const optim::ema<optim::sgd> none{.decay = 0.0f};
  CHECK(none.decay_at(100) == 0.0f);
}

TEST_CASE_TEMPLATE("optimizers: a NaN in the gradient reaches its weight and no other", optimizer,
                   optim::adam, optim::sgd, optim::rmsprop, optim::ema<optim::adam>) {
  reference b;
  std::vector<double> w(3, 1.0), g{1, std::numeric_limits<double>::quiet_NaN(), 1};
  std::vector<double> state(3 * optimizer::state_per_param());
  optimizer{}.step(b, std::span(w), std::span<const double>(g), std::span(state), 1);
  CHECK(std::isfinite(w[0]));
  CHECK(std::isnan(w[1]));
  CHECK(std::isfinite(w[2]));
}
