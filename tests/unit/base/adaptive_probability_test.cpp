// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/base/adaptive_probability.hpp"

using namespace gantry;

TEST_CASE("adaptive probability: from 0 to 1 and back in as many images as it says, no further") {
  adaptive_probability p;
  CHECK(p.value == 0.0f);
  for (int k = 0; k < 4; ++k) p = p.updated(0.9, 100000);
  CHECK(p.value == doctest::Approx(0.8));
  p = p.updated(1.0, 100000);
  CHECK(p.value == doctest::Approx(1.0));
  p = p.updated(1.0, 100000);
  CHECK(p.value == 1.0f);
  p = p.updated(0.2, 250000);
  CHECK(p.value == doctest::Approx(0.5));
  CHECK(p.updated(-1.0, 400000).value == 0.0f);
}

TEST_CASE("adaptive probability: small steps add up") {
  adaptive_probability p;
  for (int k = 0; k < 3906; ++k) p = p.updated(0.7, 64);
  CHECK(p.value == doctest::Approx(3906 * 64 / 500000.0).epsilon(1e-4));
}

TEST_CASE("adaptive probability: at its target it stands still, and NaN moves nothing") {
  const adaptive_probability p{.target = 0.5f, .images = 1000, .value = 0.25f};
  CHECK(p.updated(0.5, 100).value == 0.25f);
  CHECK(p.updated(std::numeric_limits<double>::quiet_NaN(), 100).value == 0.25f);
  CHECK(p.updated(0.51, 100).value == doctest::Approx(0.35));
  CHECK(p.updated(0.49, 100).value == doctest::Approx(0.15));
  CHECK(p.updated(0.49, 100).target == 0.5f);
  static_assert(adaptive_probability{.value = 0.5f}.updated(1, 500000).value == 1.0f,
                "a pure function");
}

TEST_CASE("adaptive probability: mean sign of logits") {
  const std::vector<float> logits{3.0f, -0.1f, 0.0f, 1e-30f, 8.0f};
  CHECK(mean_sign(std::span<const float>(logits)) == doctest::Approx(0.4));
  CHECK(mean_sign(std::span<const float>()) == 0.0);
  const std::vector<double> broken{1.0, std::numeric_limits<double>::quiet_NaN()};
  CHECK(std::isnan(mean_sign(std::span<const double>(broken))));
}
