// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "support/compare.hpp"

using namespace gantry::test;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr float quiet = std::numeric_limits<float>::quiet_NaN();
constexpr tolerance lenient{1e300, 1e300};

}  // namespace

TEST_CASE("compare: numbers within the tolerance pass, others are described") {
  const std::vector<double> expected{1, 10, 100};
  CHECK(compare(std::vector<double>{1.001, 10.01, 100.1}, expected, {1.1e-3, 0}));
  CHECK(compare(std::vector<double>{1.1, 10.1, 100.1}, expected, {0, 0.11}));
  const outcome o = compare(std::vector<double>{1, 10.5, 107}, expected, {0.01, 0.1});
  CHECK_FALSE(o);
  CHECK(o.sentence() ==
        "2 of 3 values differ, first at [1]: found 10.5, expected 10; largest error 7 at [2]: "
        "found 107, expected 100; allowed 0.1 + 0.01 |expected|");
}

TEST_CASE("compare: what is not finite never passes") {
  for (const double bad : {not_a_number, infinity, -infinity}) {
    CHECK_FALSE(close(bad, 1, lenient));
    CHECK_FALSE(close(1, bad, lenient));
    CHECK_FALSE(close(bad, bad, lenient));
    CHECK_FALSE(compare(std::vector<double>{1, bad}, std::vector<double>{1, 1}, lenient));
    CHECK_FALSE(all_finite(std::span<const double>(std::vector<double>{1, bad})));
  }
  CHECK_FALSE(close(1, 1, {0, not_a_number}));
}

TEST_CASE("compare: lengths must agree") {
  CHECK_FALSE(compare(std::vector<double>{1}, std::vector<double>{1, 1}, lenient));
  CHECK_FALSE(same_bits(std::vector<double>{1}, std::vector<double>{1, 1}));
  CHECK(compare(std::vector<double>{}, std::vector<double>{}, {}));
}

TEST_CASE("compare_lengths: measures all numbers together") {
  const auto compared = [](std::vector<double> found, double relative) {
    const std::vector<double> expected{30, 40};
    return compare_lengths(std::span<const double>(found), std::span<const double>(expected),
                           relative);
  };
  CHECK(compared({33, 44}, 0.11));
  CHECK_FALSE(compared({33, 44}, 0.09));
  CHECK_FALSE(compared({30}, 1));
  CHECK_FALSE(compared({30, not_a_number}, 1e300));
  CHECK_FALSE(compared({30, infinity}, 1e300));
}

TEST_CASE("same_bits: tells 0 from -0 and knows a NaN again") {
  CHECK(same_bits(std::vector<float>{1, -0.0f, quiet}, std::vector<float>{1, -0.0f, quiet}));
  const outcome o = same_bits(std::vector<float>{1, 0.0f}, std::vector<float>{1, -0.0f});
  CHECK_FALSE(o);
  CHECK(o.sentence() == "the bits differ at [1] of 2: found 0, expected -0");
}

TEST_CASE("outcome: the first failure is kept, with its name") {
  const outcome good = outcome::pass(), bad = outcome::fail("too large");
  CHECK((good && good));
  CHECK((good && bad.named("dx") && outcome::fail("later")).sentence() == "dx: too large");
}
