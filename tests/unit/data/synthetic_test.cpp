// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include "gantry/data/synthetic.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using gantry::usage_error;
using namespace gantry::data;

namespace {

std::vector<float> draw(const gaussian_mixture& source, std::uint32_t step, int batch) {
  std::vector<float> out(2 * static_cast<std::size_t>(batch));
  source.read(step, out, batch);
  return out;
}

}  // namespace

TEST_CASE("synthetic: centres lie on a ring") {
  const gaussian_mixture source(1, 0);
  REQUIRE(source.modes().size() == 8);
  for (const auto& mode : source.modes()) CHECK(std::hypot(mode[0], mode[1]) == doctest::Approx(2));
  CHECK(source.modes()[0][0] == doctest::Approx(2));
  CHECK(source.modes()[1][0] == doctest::Approx(std::sqrt(2.0)));
  CHECK(source.modes()[2][1] == doctest::Approx(2));
  CHECK(source.size() == 50'000);
}

TEST_CASE("synthetic: modes are equally likely and have the stated spread") {
  const gaussian_mixture source(7, 2, {.modes = 5, .radius = 1.0f, .sigma = 0.05f});
  constexpr int n = 50'000;
  const std::vector<float> points = draw(source, 3, n);
  std::vector<int> counts(5);
  double sum_x = 0, sum_xx = 0, sum_yy = 0, sum_xy = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::size_t nearest = 0;
    double best = std::numeric_limits<double>::infinity(), x = 0, y = 0;
    for (std::size_t k = 0; k < 5; ++k) {
      const double dx = points[2 * i] - source.modes()[k][0];
      const double dy = points[2 * i + 1] - source.modes()[k][1];
      if (std::hypot(dx, dy) < best) {
        best = std::hypot(dx, dy);
        nearest = k;
        x = dx;
        y = dy;
      }
    }
    ++counts[nearest];
    sum_x += x;
    sum_xx += x * x;
    sum_yy += y * y;
    sum_xy += x * y;
  }
  for (const int count : counts) CHECK(count == doctest::Approx(n / 5).epsilon(0.04));
  // Five standard errors each.
  CHECK(std::abs(sum_x / n) <= 5 * 0.05 / std::sqrt(n));
  CHECK(sum_xx / n == doctest::Approx(0.0025).epsilon(5 * std::sqrt(2.0 / n)));
  CHECK(sum_yy / n == doctest::Approx(0.0025).epsilon(5 * std::sqrt(2.0 / n)));
  CHECK(std::abs(sum_xy / n) <= 5 * 0.0025 / std::sqrt(n));
}

TEST_CASE("synthetic: points are a function of seed, worker and position") {
  const gaussian_mixture source(1, 0);
  const std::vector<float> two = draw(source, 0, 20), second = draw(source, 1, 10);
  CHECK(std::vector<float>(two.begin() + 20, two.end()) == second);
  CHECK(draw(gaussian_mixture(1, 0), 1, 10) == second);
  CHECK(draw(gaussian_mixture(2, 0), 1, 10) != second);
  CHECK(draw(gaussian_mixture(1, 1), 1, 10) != second);
  CHECK(draw(source, 0xffffffff, 10) != draw(source, 0xfffffffe, 10));
}

TEST_CASE("synthetic: impossible requests are refused") {
  CHECK_THROWS_AS(gaussian_mixture(1, 0, {.modes = 0}), usage_error);
  CHECK_THROWS_AS(gaussian_mixture(1, 0, {.samples = 0}), usage_error);
  CHECK_THROWS_AS(gaussian_mixture(1, 0, {.sigma = -1}), usage_error);
  CHECK_THROWS_AS(gaussian_mixture(1, 0, {.radius = std::numeric_limits<float>::quiet_NaN()}),
                  usage_error);
  const gaussian_mixture source(1, 0);
  std::vector<float> out(4);
  CHECK_THROWS_AS(source.read(0, out, 3), usage_error);
  CHECK_THROWS_AS(source.read(0, {}, 0), usage_error);
}
