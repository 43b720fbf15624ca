// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <tuple>

#include <doctest/doctest.h>

#include "gantry/loss/objectives.hpp"

#include "support/grad_check.hpp"

using namespace gantry;
using test::close;

namespace {

using reference = backend::reference<double>;

/// One batch of outputs with the gradient that an objective wrote for it.
struct batch {
  batch(std::size_t count, std::uint64_t seed)
      : value(test::normal_doubles(count, seed, 1)),
        gradient(count, std::numeric_limits<double>::quiet_NaN()) {
    for (double& v : value) v *= 2;
  }
  logits<reference> view() { return {value.data(), gradient.data(), value.size()}; }

  std::vector<double> value, gradient;
};

/// The objective adds to *sum; everything here starts from 100.
constexpr double before = 100;

template <class Objective>
double discriminator_loss(const Objective& loss, batch& real, batch& fake) {
  reference b;
  double sum = before;
  loss.discriminator(b, real.view(), fake.view(), &sum);
  return sum - before;
}

template <class Objective>
double generator_loss(const Objective& loss, batch& fake) {
  reference b;
  double sum = before;
  loss.generator(b, {}, fake.view(), &sum);
  return sum - before;
}

/// Gradients of both players against central differences of the summed loss.
template <class Objective>
void check_gradients(const Objective& loss, std::size_t reals, std::size_t fakes) {
  CAPTURE(reals);
  CAPTURE(fakes);
  batch real(reals, 1), fake(fakes, 2);
  const auto d = [&] { return discriminator_loss(loss, real, fake); };
  d();
  const auto on_real = real.gradient, on_fake = fake.gradient;
  const test::gradient_options o{.tolerance = 1e-7};
  CHECK(test::check_slopes(real.value, on_real, d, o).named("real"));
  CHECK(test::check_slopes(fake.value, on_fake, d, o).named("fake"));
  const auto g = [&] { return generator_loss(loss, fake); };
  g();
  const auto for_generator = fake.gradient;
  CHECK(test::check_slopes(fake.value, for_generator, g, o).named("generator"));
}

/// Means over the batches, as a paper writes them.
struct expected {
  double (*real)(double), (*fake)(double), (*generator)(double);
};

template <class Objective>
void check_values(const Objective& loss, const expected& f) {
  batch real(5, 3), fake(3, 4);
  double d = 0, g = 0;
  for (const double v : real.value) d += f.real(v) / 5;
  for (const double v : fake.value) d += f.fake(v) / 3;
  for (const double v : fake.value) g += f.generator(v) / 3;
  // The mean is formed with a factor in single precision.
  CHECK(close(discriminator_loss(loss, real, fake), d, {1e-6, 1e-6}));
  CHECK(close(generator_loss(loss, fake), g, {1e-6, 1e-6}));
}

using all_objectives = std::tuple<loss::saturating, loss::non_saturating, loss::least_squares,
                                  loss::hinge, loss::wasserstein>;

double sigma(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("objectives: gradients are those of the summed loss", objective,
                          objective_gradients) {
  static_assert(Loss<objective, reference>, "every objective runs on every backend");
  check_gradients(objective{}, 1, 1);
  check_gradients(objective{}, 5, 3);
  check_gradients(objective{}, 2, 64);
  check_gradients(loss::one_of<objective>{objective{}}, 4, 4);
}
TEST_CASE_TEMPLATE_APPLY(objective_gradients, all_objectives);

TEST_CASE("objectives: the two players' losses, as in the papers") {
  const auto one_minus = [](double x) { return std::log(1 - sigma(x)); };
  check_values(loss::saturating{}, {[](double x) { return -std::log(sigma(x)); },
                                    [](double x) { return -std::log(1 - sigma(x)); }, one_minus});
  check_values(loss::non_saturating{}, {[](double x) { return -std::log(sigma(x)); },
                                        [](double x) { return -std::log(1 - sigma(x)); },
                                        [](double x) { return -std::log(sigma(x)); }});
  check_values(loss::least_squares{},
               {[](double x) { return (x - 1) * (x - 1) / 2; }, [](double x) { return x * x / 2; },
                [](double x) { return (x - 1) * (x - 1) / 2; }});
  check_values(loss::hinge{},
               {[](double x) { return std::max(0.0, 1 - x); },
                [](double x) { return std::max(0.0, 1 + x); }, [](double x) { return -x; }});
  check_values(loss::wasserstein{}, {[](double x) { return -x; }, [](double x) { return x; },
                                     [](double x) { return -x; }});
}

TEST_CASE("objectives: only the Wasserstein critic's weights are constrained") {
  reference b;
  const std::vector<double> weights{-1, -0.25, 0, 0.1, 3};
  const auto constrained = [&](const auto& loss) {
    auto w = weights;
    loss.constrain(b, std::span(w));
    return w;
  };
  CHECK(constrained(loss::saturating{}) == weights);
  CHECK(constrained(loss::non_saturating{}) == weights);
  CHECK(constrained(loss::least_squares{}) == weights);
  CHECK(constrained(loss::hinge{}) == weights);
  loss::wasserstein clipped;
  clipped.clip = 0.25f;
  const std::vector<double> narrow{-0.25, -0.25, 0, 0.1, 0.25};
  CHECK(constrained(clipped) == narrow);
  using either = loss::one_of<loss::hinge, loss::wasserstein>;
  CHECK(constrained(either{clipped}) == narrow);
  CHECK(constrained(either{loss::hinge{}}) == weights);
}

TEST_CASE_TEMPLATE_DEFINE("objectives: a NaN among the outputs shows in the loss", objective,
                          objective_nan) {
  for (const bool in_real : {true, false}) {
    batch real(4, 1), fake(4, 2);
    (in_real ? real : fake).value[2] = std::numeric_limits<double>::quiet_NaN();
    CHECK(std::isnan(discriminator_loss(objective{}, real, fake)));
    CHECK(std::isnan(generator_loss(objective{}, fake)) != in_real);
  }
}
TEST_CASE_TEMPLATE_APPLY(objective_nan, all_objectives);
