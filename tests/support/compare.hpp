// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Comparisons that describe what differs. A number that is not finite never compares equal.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <ostream>
#include <span>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

namespace gantry::test {

/// |found - expected| <= absolute + relative * |expected|.
struct tolerance {
  double relative{};
  double absolute{};
};

/// What single precision makes of a sum of `terms` products of numbers near 1: rounding errors add
/// up like a random walk, sixteen times its length is allowed.
inline tolerance product_tolerance(int terms) {
  const double rounding = std::numeric_limits<float>::epsilon();
  return {16 * rounding, 16 * rounding * std::sqrt(static_cast<double>(terms))};
}

/// The outcome of a check, with a sentence for the log: CHECK(compare(a, b, t)) prints it.
class outcome {
 public:
  static outcome pass(std::string sentence = "as expected") { return {true, std::move(sentence)}; }
  static outcome fail(std::string sentence) { return {false, std::move(sentence)}; }

  [[nodiscard]] explicit operator bool() const { return good_; }
  [[nodiscard]] const std::string& sentence() const { return sentence_; }
  /// This outcome if it is a failure, named `what`; else the next one.
  [[nodiscard]] outcome named(const std::string& what) const {
    return good_ ? *this : fail(what + ": " + sentence_);
  }
  [[nodiscard]] outcome operator&&(const outcome& next) const { return good_ ? next : *this; }
  friend std::ostream& operator<<(std::ostream& out, const outcome& o) {
    return out << o.sentence_;
  }

 private:
  outcome(bool good, std::string sentence) : good_(good), sentence_(std::move(sentence)) {}
  bool good_;
  std::string sentence_;
};

/// True if the numbers agree within t; false if one is not finite.
inline bool close(double found, double expected, tolerance t) {
  return std::isfinite(found) && std::isfinite(expected) &&
         std::abs(found - expected) <= t.absolute + t.relative * std::abs(expected);
}

namespace detail {

template <class Message>
outcome describe(const Message& write) {
  std::ostringstream text;
  text.precision(12);
  write(text);
  return outcome::fail(text.str());
}

}  // namespace detail

/// Element by element; names the first coordinate that differs, both values, how many differ and
/// the largest error.
template <class A, class B>
outcome compare(std::span<const A> found, std::span<const B> expected, tolerance t) {
  if (found.size() != expected.size())
    return outcome::fail("found " + std::to_string(found.size()) + " values, expected " +
                         std::to_string(expected.size()));
  std::size_t differing = 0, first = 0, worst = 0;
  double largest = -1;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double a = static_cast<double>(found[i]), b = static_cast<double>(expected[i]);
    if (close(a, b, t)) continue;
    if (differing++ == 0) first = i;
    const double error = std::isfinite(a) && std::isfinite(b)
                             ? std::abs(a - b)
                             : std::numeric_limits<double>::infinity();
    if (error > largest) {
      largest = error;
      worst = i;
    }
  }
  if (differing == 0) return outcome::pass();
  return detail::describe([&](std::ostream& out) {
    out << differing << " of " << found.size() << " values differ, first at [" << first
        << "]: found " << found[first] << ", expected " << expected[first] << "; largest error "
        << largest << " at [" << worst << "]: found " << found[worst] << ", expected "
        << expected[worst] << "; allowed " << t.absolute << " + " << t.relative << " |expected|";
  });
}

template <class A, class B>
outcome compare(const std::vector<A>& found, const std::vector<B>& expected, tolerance t) {
  return compare(std::span<const A>(found), std::span<const B>(expected), t);
}

/// The length of found - expected is at most `relative` times that of expected: for gradients
/// behind kinks, where single numbers may differ although almost all agree.
template <class A, class B>
outcome compare_lengths(std::span<const A> found, std::span<const B> expected, double relative) {
  if (found.size() != expected.size())
    return outcome::fail("found " + std::to_string(found.size()) + " values, expected " +
                         std::to_string(expected.size()));
  double difference = 0, length = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double a = static_cast<double>(found[i]), b = static_cast<double>(expected[i]);
    difference += (a - b) * (a - b);
    length += b * b;
  }
  if (close(std::sqrt(difference), 0, {0, relative * std::sqrt(length)})) return outcome::pass();
  return detail::describe([&](std::ostream& out) {
    out << found.size() << " values of length " << std::sqrt(length) << " are "
        << std::sqrt(difference) << " apart; allowed is a share of " << relative;
  });
}

/// Bit by bit, so that 0 and -0 differ and a NaN equals itself.
template <class T>
outcome same_bits(std::span<const T> found, std::span<const T> expected) {
  using bits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
  if (found.size() != expected.size())
    return outcome::fail("found " + std::to_string(found.size()) + " values, expected " +
                         std::to_string(expected.size()));
  for (std::size_t i = 0; i < found.size(); ++i)
    if (std::bit_cast<bits>(found[i]) != std::bit_cast<bits>(expected[i]))
      return detail::describe([&](std::ostream& out) {
        out << "the bits differ at [" << i << "] of " << found.size() << ": found " << found[i]
            << ", expected " << expected[i];
      });
  return outcome::pass();
}

template <class T>
outcome same_bits(const std::vector<T>& found, const std::vector<T>& expected) {
  return same_bits(std::span<const T>(found), std::span<const T>(expected));
}

/// Every number is finite.
template <class T>
outcome all_finite(std::span<const T> values) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      return detail::describe([&](std::ostream& out) {
        out << "[" << i << "] of " << values.size() << " is " << values[i];
      });
  return outcome::pass();
}

}  // namespace gantry::test
