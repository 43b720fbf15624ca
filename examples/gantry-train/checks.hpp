// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Checks of flags' values that say what was found.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <CLI/CLI.hpp>

/// The number that a float is meant to be: of those that read back as the same float, the one with
/// the fewest decimal digits. 0.1f is 0.1 and not 0.10000000149011612.
inline double shortest(float x) {
  char text[32];
  const auto written = std::to_chars(text, text + sizeof text, x);
  double number{};
  std::from_chars(text, written.ptr, number);
  return number;
}

/// All of `text` as a number, or nothing.
template <class Number>
std::optional<Number> number_in(std::string_view text) {
  Number number{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// The fewest digits that read back as the same number.
template <class Number>
std::string text_of(Number number) {
  if constexpr (std::is_integral_v<Number>) {
    return std::to_string(number);
  } else {
    char text[32];
    const auto written =
        std::to_chars(text, text + sizeof text, number, std::chars_format::general);
    return {text, written.ptr};
  }
}

inline std::string joined(const std::vector<std::string>& names, const char* between) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : between) + name;
  return all;
}

inline CLI::Validator one_of(const std::vector<std::string>& names) {
  return {[names](std::string& text) {
            if (std::ranges::find(names, text) != names.end()) return std::string();
            return "expected one of " + joined(names, ", ") + ", found \"" + text + "\"";
          },
          "{" + joined(names, ",") + "}"};
}

/// Unlike CLI::Range it refuses NaN, and says what it found as it was written.
template <class Number>
CLI::Validator from_to(Number low, Number high) {
  const std::string first = text_of(low), last = text_of(high);
  return {[=](std::string& text) {
            const auto number = number_in<Number>(text);
            if (number && *number >= low && *number <= high) return std::string();
            return "expected a " + std::string(std::is_integral_v<Number> ? "whole " : "") +
                   "number from " + first + " to " + last + ", found \"" + text + "\"";
          },
          first + ".." + last};
}

inline CLI::Validator positive() {
  return {[](std::string& text) {
            const auto number = number_in<float>(text);
            if (number && std::isfinite(*number) && *number > 0) return std::string();
            return "expected a number above 0, found \"" + text + "\"";
          },
          "above 0"};
}
