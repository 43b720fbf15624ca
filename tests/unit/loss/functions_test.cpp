// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include <doctest/doctest.h>

#include "gantry/loss/functions.hpp"

#include "support/compare.hpp"

using namespace gantry::loss;
using gantry::test::close;

namespace {

/// f's derivative against central differences away from kinks.
template <class F>
void check_derivative(const F& f) {
  constexpr double step = 1e-5;
  for (const double x : {-30.0, -5.5, -1.5, -0.3, 0.0, 0.3, 1.5, 5.5, 30.0}) {
    CAPTURE(x);
    const double slope = (f.value(x + step) - f.value(x - step)) / (2 * step);
    CHECK(close(f.derivative(x), slope, {1e-8, 1e-8}));
  }
}

}  // namespace

TEST_CASE("loss functions: derivatives are those of the values") {
  check_derivative(cross_entropy_real{});
  check_derivative(cross_entropy_fake{});
  check_derivative(negative_cross_entropy_fake{});
  check_derivative(half_square{0.7f});
  check_derivative(margin{1.0f});
  check_derivative(margin{-1.0f});
  check_derivative(proportional{-2.5f});
}

TEST_CASE("loss functions: values") {
  const auto sigma = [](double x) { return 1 / (1 + std::exp(-x)); };
  for (const double x : {-4.0, -0.5, 0.0, 2.0}) {
    CAPTURE(x);
    CHECK(close(cross_entropy_real{}.value(x), -std::log(sigma(x)), {1e-12, 1e-12}));
    CHECK(close(cross_entropy_fake{}.value(x), -std::log(1 - sigma(x)), {1e-12, 1e-12}));
    CHECK(close(negative_cross_entropy_fake{}.value(x), std::log(1 - sigma(x)), {1e-12, 1e-12}));
  }
  CHECK(half_square{1.0f}.value(4.0) == 4.5);
  CHECK(margin{1.0f}.value(0.25) == 0.75);
  CHECK(margin{1.0f}.value(2.0) == 0.0);
  CHECK(margin{-1.0f}.value(0.25) == 1.25);
  CHECK(margin{-1.0f}.value(-2.0) == 0.0);
  CHECK(margin{1.0f}.derivative(2.0) == 0.0);
  CHECK(margin{1.0f}.derivative(1.0) == 0.0);
  CHECK(proportional{-2.0f}.value(3.0) == -6.0);
}

TEST_CASE_TEMPLATE("loss functions: large logits neither overflow nor vanish", t, float, double) {
  for (const t x : {t(-3e4), t(-200), t(200), t(3e4)}) {
    CHECK(close(cross_entropy_real{}.value(x), x < 0 ? -x : 0, {0, 1e-80}));
    CHECK(close(cross_entropy_fake{}.value(x), x > 0 ? x : 0, {0, 1e-80}));
    CHECK(close(cross_entropy_real{}.derivative(x), x < 0 ? -1 : 0, {0, 1e-80}));
    CHECK(close(cross_entropy_fake{}.derivative(x), x > 0 ? 1 : 0, {0, 1e-80}));
  }
  // log sigma(x) -> -exp(-x): right to the last bits where 1 - sigma would be 0.
  CHECK(close(cross_entropy_real{}.value(t(20)), std::exp(-20.0), {1e-6, 0}));
  CHECK(close(cross_entropy_real{}.derivative(t(20)), -std::exp(-20.0), {1e-6, 0}));
}

TEST_CASE("loss functions: the value of NaN is NaN") {
  const float bad = std::numeric_limits<float>::quiet_NaN();
  CHECK(std::isnan(cross_entropy_real{}.value(bad)));
  CHECK(std::isnan(cross_entropy_fake{}.value(bad)));
  CHECK(std::isnan(negative_cross_entropy_fake{}.value(bad)));
  CHECK(std::isnan(half_square{1.0f}.value(bad)));
  CHECK(std::isnan(margin{1.0f}.value(bad)));
  CHECK(std::isnan(margin{-1.0f}.value(bad)));
  CHECK(std::isnan(proportional{1.0f}.value(bad)));
}
