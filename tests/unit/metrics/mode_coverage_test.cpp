// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include "gantry/metrics/mode_coverage.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "gantry/data/synthetic.hpp"

using doctest::Approx;
using gantry::usage_error;
using namespace gantry::metrics;

namespace {

const std::vector<std::array<float, 2>> two_modes{{0, 0}, {1, 0}};
constexpr mode_coverage_rules rules{.sigma = 0.1, .within = 3, .min_share = 0.25};

}  // namespace

TEST_CASE("mode_coverage: counts good samples per mode") {
  const std::vector<float> samples{0,     0.29f,  // good, mode 0
                                   0.1f,  0.1f,   // good, mode 0
                                   0,     0.31f,  // too far out
                                   0.75f, 0};     // good, mode 1
  const mode_coverage_result r = mode_coverage(samples, two_modes, rules);
  CHECK(r.per_mode == std::vector<std::int64_t>{2, 1});
  CHECK(r.good_share == Approx(0.75));
  CHECK(r.covered == 2);
}

TEST_CASE("mode_coverage: a mode needs its share, and one sample at the least") {
  const std::vector<float> samples{0, 0, 0, 0, 0, 0, 0, 0, 1, 0};
  CHECK(mode_coverage(samples, two_modes, rules).covered == 1);
  CHECK(mode_coverage(samples, two_modes, {.sigma = 0.1, .min_share = 0.2}).covered == 2);
  const std::vector<float> collapsed{0, 0, 0, 0};
  CHECK(mode_coverage(collapsed, two_modes, {.sigma = 0.1, .min_share = 0}).covered == 1);
}

TEST_CASE("mode_coverage: NaN and infinity are not good") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> samples{nan, 0, 0, nan, std::numeric_limits<float>::infinity(), 0, 0, 0};
  const mode_coverage_result r = mode_coverage(samples, two_modes, rules);
  CHECK(r.per_mode == std::vector<std::int64_t>{1, 0});
  CHECK(r.good_share == Approx(0.25));
}

TEST_CASE("mode_coverage: real samples of the ring cover it, a collapsed generator does not") {
  const gantry::data::gaussian_mixture ring(5, 0);
  std::vector<float> samples(20'000);
  ring.read(0, samples, 10'000);
  const mode_coverage_result r = mode_coverage(samples, ring.modes());
  CHECK(r.covered == 8);
  // 1 - exp(-9 / 2) of a plane Gaussian lies within 3 sigma.
  CHECK(r.good_share == Approx(0.98889).epsilon(0.005));
  for (std::size_t i = 0; i < samples.size(); i += 2) {
    samples[i] = 2;
    samples[i + 1] = 0;
  }
  CHECK(mode_coverage(samples, ring.modes()).covered == 1);
}

TEST_CASE("mode_coverage: impossible requests are refused") {
  const std::vector<float> odd{1, 2, 3}, pair{1, 2};
  CHECK_THROWS_AS((void)mode_coverage(odd, two_modes, rules), usage_error);
  CHECK_THROWS_AS((void)mode_coverage({}, two_modes, rules), usage_error);
  CHECK_THROWS_AS((void)mode_coverage(pair, {}, rules), usage_error);
  CHECK_THROWS_AS((void)mode_coverage(pair, two_modes, {.sigma = 0}), usage_error);
  CHECK_THROWS_AS(
      (void)mode_coverage(pair, two_modes, {.sigma = std::numeric_limits<double>::infinity()}),
      usage_error);
  CHECK_THROWS_AS((void)mode_coverage(pair, two_modes, {.min_share = 1.5}), usage_error);
}
