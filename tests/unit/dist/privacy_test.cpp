// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/dist/privacy.hpp"

using namespace gantry;
using dist::renyi_accountant;

namespace {

double epsilon(double rate, double sigma, std::int64_t steps, double delta = 1e-5) {
  renyi_accountant accountant;
  accountant.compose(rate, sigma, steps);
  return accountant.spent(delta).epsilon;
}

/// The Rényi divergence by numerical integration of ((1 - q) N(0, s^2) + q N(1, s^2))^a
/// N(0, s^2)^(1 - a).
double integrated(double q, double sigma, double order) {
  const double step = 1e-3 * sigma;
  double sum = 0;
  for (double x = -30 * sigma; x < 30 * sigma + 40; x += step) {
    const double log_p0 = -x * x / (2 * sigma * sigma);
    const double log_ratio = (2 * x - 1) / (2 * sigma * sigma);
    sum += std::exp(log_p0 + order * std::log(1 - q + q * std::exp(log_ratio))) * step;
  }
  return std::log(sum / (sigma * std::sqrt(2 * std::acos(-1.0)))) / (order - 1);
}

}  // namespace

TEST_CASE("the accountant's epsilon is that of Opacus") {
  // pytorch/opacus, tests/accountants_test.py: sigma 1.5, rate 0.04, 2250 steps, delta 1e-5.
  CHECK(std::abs(epsilon(0.04, 1.5, 2250) - 7.32911117143) < 1e-9);
  // The same file: the noise for epsilon 8 in 2000 steps at the same rate is 1.3562.
  CHECK(epsilon(0.04, 1.3562, 2000) == doctest::Approx(8).epsilon(1e-3));
}

TEST_CASE("the divergence of each order is the integral it stands for") {
  for (const double q : {0.001, 0.04, 0.5})
    for (const double sigma : {0.8, 1.5, 4.0})
      for (const double order : {1.1, 2.0, 2.5, 3.9, 8.0}) {
        CAPTURE(q);
        CAPTURE(sigma);
        CAPTURE(order);
        CHECK(dist::renyi_divergence(q, sigma, order) ==
              doctest::Approx(integrated(q, sigma, order)).epsilon(1e-6));
      }
  CHECK(dist::renyi_divergence(1, 2, 8) == 1);
  CHECK(dist::renyi_divergence(0.999999, 2, 8) == doctest::Approx(1).epsilon(1e-4));
  // Orders where erfc underflows are still smooth between their integer neighbours.
  const double below = dist::renyi_divergence(0.01, 0.3, 60),
               between = dist::renyi_divergence(0.01, 0.3, 60.5),
               above = dist::renyi_divergence(0.01, 0.3, 61);
  CHECK(below < between);
  CHECK(between < above);
}

TEST_CASE("more noise, fewer steps and rarer samples never cost more privacy") {
  double before = std::numeric_limits<double>::infinity();
  for (const double sigma : {0.0, 0.3, 0.7, 1.07, 2.0, 8.0, 100.0}) {
    const double e = epsilon(0.02, sigma, 1000);
    CHECK(e <= before);
    before = e;
  }
  before = 0;
  for (const double rate : {0.0, 1e-6, 1e-3, 0.04, 0.3, 0.9, 1.0}) {
    const double e = epsilon(rate, 1.07, 100);
    CHECK(e >= before);
    before = e;
  }
  before = 0;
  for (const std::int64_t steps : {0, 1, 10, 1000, 100000}) {
    const double e = epsilon(0.01, 1.07, steps);
    CHECK(e >= before);
    before = e;
  }
  CHECK(epsilon(0.01, 1, 100, 1e-9) > epsilon(0.01, 1, 100, 1e-5));
  CHECK(epsilon(0.5, 1, 0) == 0);
  CHECK(std::isinf(epsilon(0.5, 0, 1)));
}

TEST_CASE("steps add up, and the result says what it holds for") {
  renyi_accountant parts;
  for (int i = 0; i < 3; ++i) parts.compose(0.04, 1.5, 750);
  CHECK(parts.spent(1e-5).epsilon == doctest::Approx(7.32911117143).epsilon(1e-12));
  CHECK(parts.spent(1e-5).text() == "epsilon = 7.33 at delta = 1e-05 (order 3.9)");
  renyi_accountant whole(std::vector<double>{2, 3, 4, 5, 8});
  whole.compose(0.04, 1.5, 2250);
  CHECK(whole.spent(1e-5).epsilon >= parts.spent(1e-5).epsilon);
  CHECK(whole.spent(1e-5).order == 4);
  CHECK_THROWS_AS(parts.compose(1.1, 1, 1), usage_error);
  CHECK_THROWS_AS(parts.compose(0.1, -1, 1), usage_error);
  CHECK_THROWS_AS(parts.compose(0.1, std::nan(""), 1), usage_error);
  CHECK_THROWS_AS(parts.compose(0.1, 1, -1), usage_error);
  CHECK_THROWS_AS(static_cast<void>(parts.spent(0)), usage_error);
  CHECK_THROWS_AS(renyi_accountant(std::vector<double>{1.0}), usage_error);
}
