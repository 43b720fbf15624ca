// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Scales of a chart and their round numbers.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::inline v0::io {

/// True for a number that can be drawn. Beyond 1e150 the differences of an axis would overflow.
inline bool is_drawable(double v) { return std::abs(v) <= 1e150; }

/// At most `digits` significant digits, independent of the locale: "0.25", "1e-05".
inline std::string short_number(double v, int digits = 7) {
  char text[40];
  const auto written =
      std::to_chars(text, text + sizeof text, v, std::chars_format::general, digits);
  return {text, written.ptr};
}

/// A part of a drawing's extent, which is 1000 units: "0.0" .. "1000.0".
inline std::string drawing_coordinate(double part) {
  char text[32];
  const auto written =
      std::to_chars(text, text + sizeof text, 1000 * part, std::chars_format::fixed, 1);
  return {text, written.ptr};
}

/// "0", "0.25", "20k", "1.5M", "1e-05". `size` chooses the unit, so that the numbers of one axis
/// share it.
inline std::string tick_text(double v, double size) {
  if (v == 0) return "0";
  constexpr std::string_view units = "kMGT";
  double scale = 1e3;
  for (const char unit : units) {
    if (size >= std::max(scale, 1e4) && size < 1e3 * scale) return short_number(v / scale) + unit;
    scale *= 1e3;
  }
  return short_number(v);
}

/// A scale from numbers to 0..1, linear or logarithmic, and its round numbers.
class chart_axis {
 public:
  /// Covers the values with a margin; values <= 0 are no concern of a logarithmic axis.
  chart_axis(const std::vector<double>& values, bool logarithmic, double margin)
      : logarithmic_(logarithmic) {
    double low = std::numeric_limits<double>::infinity();
    double high = -low;
    for (const double v : values) {
      if (!is_drawable(v) || (logarithmic && !(v > 0))) continue;
      low = std::min(low, scaled(v));
      high = std::max(high, scaled(v));
    }
    if (low > high) return;
    is_empty_ = false;
    const double size = std::max(std::abs(low), std::abs(high));
    const bool flat = high - low <= 1e-12 * size;
    const double pad = !flat         ? margin * (high - low)
                       : logarithmic ? 0.5
                       : size > 0    ? 0.1 * size
                                     : 1.0;
    low_ = !flat && !logarithmic && low >= 0 && low < pad ? 0.0 : low - pad;
    high_ = high + pad;
  }

  [[nodiscard]] bool is_empty() const { return is_empty_; }
  [[nodiscard]] bool can_show(double v) const { return is_drawable(v) && (!logarithmic_ || v > 0); }
  [[nodiscard]] double position(double v) const { return (scaled(v) - low_) / (high_ - low_); }
  /// Both ends, in powers of ten on a logarithmic axis.
  [[nodiscard]] std::array<double, 2> ends() const { return {low_, high_}; }

  /// The text of one of the ticks.
  [[nodiscard]] std::string text(double tick) const {
    const double size = logarithmic_ ? tick : std::max(std::abs(low_), std::abs(high_));
    return tick_text(tick, size);
  }

  /// About five round numbers inside the axis.
  [[nodiscard]] std::vector<double> ticks() const {
    if (!logarithmic_) return steps_between(low_, high_);
    std::vector<double> result = powers({1.0});
    if (result.size() < 3) result = powers({1.0, 2.0, 5.0});
    if (result.size() < 3) {
      result = steps_between(std::pow(10.0, low_), std::pow(10.0, high_));
    }
    return result;
  }

 private:
  [[nodiscard]] double scaled(double v) const { return logarithmic_ ? std::log10(v) : v; }

  static std::vector<double> steps_between(double low, double high) {
    const double rough = (high - low) / 5;
    const double power = std::pow(10.0, std::floor(std::log10(rough)));
    const double step = power * (rough > 5 * power   ? 10
                                 : rough > 2 * power ? 5
                                 : rough > power     ? 2
                                                     : 1);
    std::vector<double> result;
    for (double i = std::ceil(low / step); i <= std::floor(high / step) && result.size() < 20;
         ++i) {
      result.push_back(i * step);
    }
    return result;
  }

  [[nodiscard]] std::vector<double> powers(const std::vector<double>& factors) const {
    const double every = std::ceil((high_ - low_) / 7);
    std::vector<double> result;
    for (double e = std::floor(low_ / every) * every; e <= high_; e += every) {
      for (const double factor : factors) {
        const double v = factor * std::pow(10.0, e);
        if (position(v) >= 0 && position(v) <= 1) result.push_back(v);
      }
    }
    return result;
  }

  bool logarithmic_;
  bool is_empty_ = true;
  double low_ = 0;
  double high_ = 1;
};

}  // namespace gantry::io
