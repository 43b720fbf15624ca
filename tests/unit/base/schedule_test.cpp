// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <sstream>
#include <type_traits>

#include <doctest/doctest.h>

#include "gantry/base/schedule.hpp"

using namespace gantry;

namespace {

std::string text(const schedule& s) {
  std::ostringstream out;
  out << s;
  return out.str();
}

struct holder {
  schedule rate{2e-4f};
};

/// To compile is to pass: a template parameter has to be structural.
template <schedule Setting>
struct of_setting;

constexpr std::int64_t far = std::numeric_limits<std::int64_t>::max();

}  // namespace

TEST_CASE("schedule: a plain number is constant, to the bit") {
  static_assert(std::is_trivially_copyable_v<schedule>, "a schedule is copied like a number");
  for (const float value : {0.0f, 2e-4f, 0.999f, -3.0f}) {
    const schedule s = value;
    for (const std::int64_t step : {std::int64_t{0}, std::int64_t{1}, std::int64_t{12345}, far})
      CHECK(s.at(step) == value);
  }
  constexpr holder numbers{.rate = 0.1f};
  CHECK(numbers.rate.at(7) == 0.1f);
  CHECK(holder{}.rate == schedule(2e-4f));
  holder assigned;
  assigned.rate = 3.0f;
  CHECK(assigned.rate.at(0) == 3.0f);
}

TEST_CASE("schedule: a ramp is a straight line that ends") {
  const holder h{.rate = ramp(1.0f, 3.0f, 8)};
  for (int step = 0; step <= 8; ++step)
    CHECK(h.rate.at(step) == 1.0f + 0.25f * static_cast<float>(step));
  CHECK(h.rate.at(9) == 3.0f);
  CHECK(h.rate.at(far) == 3.0f);
  CHECK(ramp(5.0f, 0.0f, 1).at(0) == 5.0f);
  CHECK(ramp(5.0f, 0.0f, 1).at(1) == 0.0f);
}

TEST_CASE("schedule: half a period of a cosine") {
  const schedule s = cosine(2e-4f, 5e-5f, 20000);
  CHECK(s.at(0) == 2e-4f);
  CHECK(s.at(20000) == 5e-5f);
  CHECK(s.at(far) == 5e-5f);
  // 0.5 (1 + cos(pi / 4)) = 0.853553390593273762 of the way is left at a quarter of the steps.
  CHECK(s.at(5000) == doctest::Approx(5e-5 + 0.853553390593273762 * 1.5e-4).epsilon(1e-6));
  CHECK(s.at(10000) == doctest::Approx(1.25e-4).epsilon(1e-6));
  for (int step = 1; step <= 20000; ++step) REQUIRE(s.at(step) <= s.at(step - 1));
  const schedule up = cosine(0.9f, 0.99f, 100);
  for (int step = 1; step <= 100; ++step) REQUIRE(up.at(step) > up.at(step - 1));
}

TEST_CASE("schedule: off only if it is 0 at every step") {
  CHECK(schedule().always_zero());
  CHECK(schedule(0.0f).always_zero());
  CHECK(ramp(0, 0, 5).always_zero());
  CHECK(!schedule(1.0f).always_zero());
  CHECK(!ramp(0, 1, 5).always_zero());
  CHECK(!cosine(1, 0, 5).always_zero());
  CHECK(!schedule(std::numeric_limits<float>::quiet_NaN()).always_zero());
}

TEST_CASE("schedule: prints as it is written, compares member by member") {
  CHECK(text(2e-4f) == "0.0002");
  CHECK(text(ramp(0.5f, 0, 500)) == "ramp(0.5, 0, 500)");
  CHECK(text(cosine(2e-4f, 5e-5f, 20000)) == "cosine(0.0002, 5e-05, 20000)");
  CHECK(cosine(1, 2, 3) == cosine(1, 2, 3));
  CHECK(cosine(1, 2, 3) != ramp(1, 2, 3));
  CHECK(cosine(1, 2, 3) != cosine(1, 2, 4));
}

TEST_CASE("schedule: a way without steps is refused") {
  CHECK_THROWS_AS(static_cast<void>(ramp(1, 0, 0)), usage_error);
  CHECK_THROWS_AS(static_cast<void>(cosine(1, 0, -5)), usage_error);
}
