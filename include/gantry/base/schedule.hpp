// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <ostream>

#include "gantry/base/error.hpp"

namespace gantry::inline v0 {

/// A setting that may change while training: a number, or a way from one number to another over
/// some steps. A plain number converts, so that `adam{.rate = 2e-4f}` and
/// `adam{.rate = cosine(2e-4f, 5e-5f, 20000)}` are both written where a schedule is expected.
/// Steps count from 0; from step `steps` on the value stays at `to`. Structural and trivially
/// copyable.
struct schedule {
  enum class form { constant, linear, cosine };

  float from{}, to{};
  std::int64_t steps{};
  form shape{form::constant};

  constexpr schedule() = default;
  constexpr schedule(float value) : from(value), to(value) {}
  /// @throws usage_error if there is no step
  constexpr schedule(form how, float first, float last, std::int64_t count)
      : from(first), to(last), steps(count), shape(how) {
    if (count <= 0)
      throw usage_error(
          "a schedule from one value to another takes at least 1 step, but was given fewer; give "
          "the number of steps, or a plain number for a constant value");
  }

  /// The value at a step, for the cosine from + (to - from) (1 - cos(pi step / steps)) / 2
  /// (Loshchilov and Hutter, arXiv 1608.03983, eq. 5, one period).
  [[nodiscard]] float at(std::int64_t step) const {
    if (shape == form::constant || step <= 0) return from;
    if (step >= steps) return to;
    const double done = static_cast<double>(step) / static_cast<double>(steps);
    const double share =
        shape == form::linear ? done : (1.0 - std::cos(std::numbers::pi * done)) / 2.0;
    const double first = static_cast<double>(from), last = static_cast<double>(to);
    return static_cast<float>(first + share * (last - first));
  }

  /// Whether the value is 0 at every step.
  [[nodiscard]] constexpr bool always_zero() const { return from == 0.0f && to == 0.0f; }

  friend constexpr bool operator==(const schedule&, const schedule&) = default;
  /// As it is written in a program: 0.0002, ramp(0.1, 0, 500), cosine(0.0002, 5e-05, 20000).
  friend std::ostream& operator<<(std::ostream& out, const schedule& s) {
    if (s.shape == form::constant) return out << s.from;
    return out << (s.shape == form::linear ? "ramp(" : "cosine(") << s.from << ", " << s.to << ", "
               << s.steps << ')';
  }
};

/// In a straight line. (`linear` is a layer.)
constexpr schedule ramp(float from, float to, std::int64_t steps) {
  return {schedule::form::linear, from, to, steps};
}

/// Along half a period of a cosine: slow at both ends.
constexpr schedule cosine(float from, float to, std::int64_t steps) {
  return {schedule::form::cosine, from, to, steps};
}

}  // namespace gantry
