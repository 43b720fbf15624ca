// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "gantry/io/html.hpp"

#include "plot.hpp"

namespace {

constexpr double width = 820, height = 420, left = 60, right = 280, top = 20, bottom = 50;
constexpr std::array colours{"#333333", "#4e9fd1", "#d1495b", "#f28e2b", "#1b7f5a", "#8e6bbf",
                             "#8c8c8c", "#b8860b", "#1b4f8a", "#c77dba", "#5f9e3a", "#7f4f24"};

/// From values to pixels along one axis.
class scale {
 public:
  scale(bool logarithmic, bool from_zero) : logarithmic_(logarithmic) {
    if (from_zero && !logarithmic) low_ = high_ = 0;
  }
  [[nodiscard]] bool shows(double v) const { return std::isfinite(v) && (!logarithmic_ || v > 0); }
  void take(double v) {
    low_ = std::min(low_, of(v));
    high_ = std::max(high_, of(v));
  }
  void place(double first, double last) {
    if (low_ > high_) low_ = high_ = 0;  // nothing to show
    if (low_ == high_) high_ = low_ + 1;
    first_ = first;
    last_ = last;
  }
  [[nodiscard]] double pixel(double v) const {
    return first_ + (last_ - first_) * (of(v) - low_) / (high_ - low_);
  }
  /// The value at a part of the way.
  [[nodiscard]] double at(double part) const {
    const double v = low_ + (high_ - low_) * part;
    return logarithmic_ ? std::pow(10.0, v) : v;
  }

 private:
  [[nodiscard]] double of(double v) const { return logarithmic_ ? std::log10(v) : v; }
  bool logarithmic_;
  double low_{std::numeric_limits<double>::max()}, high_{std::numeric_limits<double>::lowest()};
  double first_{}, last_{1};
};

std::string tick(double v) {
  return v >= 1e5 ? short_number(v) : number(v, v < 1 ? 2 : v < 100 ? 1 : 0);
}

std::string label(double x, double y, const std::string& text, const char* anchor) {
  return "<text x=\"" + number(x, 1) + "\" y=\"" + number(y, 1) + "\" text-anchor=\"" + anchor +
         "\">" + gantry::io::escape_html(text) + "</text>\n";
}

std::string line(double x1, double y1, double x2, double y2, const std::string& stroke) {
  return "<line x1=\"" + number(x1, 1) + "\" y1=\"" + number(y1, 1) + "\" x2=\"" + number(x2, 1) +
         "\" y2=\"" + number(y2, 1) + "\" stroke=" + stroke + "/>\n";
}

std::string dot(double x, double y, const std::string& fill) {
  return "<circle cx=\"" + number(x, 1) + "\" cy=\"" + number(y, 1) + "\" r=\"3.5\" fill=" + fill +
         "/>\n";
}

}  // namespace

std::string number(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string short_number(double value) {
  char text[64];
  if (value >= 100 && value < 1e5)
    std::snprintf(text, sizeof text, "%.0f", value);
  else
    std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

std::string svg_of(const std::vector<curve>& curves, const plot_axes& axes) {
  scale x(axes.log_x, true), y(axes.log_y, false);
  const auto shown = [&](const std::pair<double, double>& p) {
    return x.shows(p.first) && y.shows(p.second);
  };
  for (const curve& c : curves)
    for (const auto& p : c.points)
      if (shown(p)) {
        x.take(p.first);
        y.take(p.second);
      }
  x.place(left, width - right);
  y.place(height - bottom, top);
  std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + number(width, 0) +
                    " " + number(height, 0) +
                    "\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" "
                    "height=\"100%\" fill=\"white\"/>\n";
  for (int i = 0; i <= 4; ++i) {
    const double at_y = y.at(i / 4.0), at_x = x.at(i / 4.0);
    out += line(left, y.pixel(at_y), width - right, y.pixel(at_y), "\"#dddddd\"");
    out += label(left - 6, y.pixel(at_y) + 4, tick(at_y), "end");
    out += label(x.pixel(at_x), height - bottom + 18, tick(at_x), "middle");
  }
  out += label((left + width - right) / 2, height - 12, axes.x, "middle");
  out += label(left, 14, axes.y, "end");
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const std::string stroke = std::string("\"") + colours[i % colours.size()] + "\"";
    std::string points;
    for (const auto& p : curves[i].points)
      if (shown(p))
        points += number(x.pixel(p.first), 1) + "," + number(y.pixel(p.second), 1) + " ";
    for (std::size_t n = 0; n < curves[i].notes.size(); ++n)
      if (const auto& p = curves[i].points[n]; shown(p))
        out += dot(x.pixel(p.first), y.pixel(p.second), stroke) +
               label(x.pixel(p.first), y.pixel(p.second) - 8, curves[i].notes[n], "middle");
    out += "<polyline fill=\"none\" stroke=" + stroke + " stroke-width=\"2\" points=\"" + points +
           "\"/>\n";
    const double row = top + 16 + 20 * static_cast<double>(i);
    out += line(width - right + 14, row - 4, width - right + 34, row - 4,
                stroke + " stroke-width=\"3\"");
    out += label(width - right + 40, row, curves[i].name, "start");
  }
  return out + "</svg>\n";
}
