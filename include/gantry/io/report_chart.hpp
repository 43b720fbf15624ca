// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Curves for a report: SVG for the lines, HTML for the text, so that a chart stretches to any
// screen and its labels keep their size. Drawn here, so that it can be read without JavaScript; a
// script adds values under the pointer.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/io/chart_axis.hpp"
#include "gantry/io/html.hpp"
#include "gantry/io/json.hpp"

namespace gantry::inline v0::io {

struct point {
  double x{};
  double y{};
};

/// One curve. Points are drawn in the order of x; a point that is not finite leaves a gap.
struct series {
  std::string name{};
  std::vector<point> points{};
};

struct chart {
  std::string title{};
  std::string x_label{};
  std::string y_label{};
  bool log_y = false;  ///< shown first; the reader can switch
  std::vector<series> lines{};
};

/// What is drawn at one place of a curve: a point, or the mean, the lowest and the highest of a
/// stretch of points.
struct drawn_point {
  double x{};
  double mean{};
  double low{};
  double high{};
};

/// A curve in the order of x. One of more than 400 points is drawn as 200 stretches: its mean as a
/// line and its range as a band, which shows both the trend of a noisy loss and every spike. Values
/// that are not finite are left out.
struct drawn_curve {
  explicit drawn_curve(const series& s) : name(s.name) {
    constexpr std::size_t most_points = 400;
    constexpr std::size_t stretches = 200;
    std::vector<point> points = s.points;
    std::erase_if(points, [](const point& p) { return !is_drawable(p.x); });
    std::stable_sort(points.begin(), points.end(),
                     [](const point& a, const point& b) { return a.x < b.x; });
    is_thinned = points.size() > most_points;
    const std::size_t count = is_thinned ? stretches : points.size();
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t begin = i * points.size() / count;
      const std::size_t end = (i + 1) * points.size() / count;
      places.push_back(summary(std::span(points).subspan(begin, end - begin)));
    }
  }

  std::string name;
  std::vector<drawn_point> places;
  bool is_thinned = false;

 private:
  static drawn_point summary(std::span<const point> stretch) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    drawn_point result{stretch[stretch.size() / 2].x, 0, infinity, -infinity};
    double count = 0;
    for (const point& p : stretch) {
      if (!is_drawable(p.y)) continue;
      ++count;
      result.mean += p.y;
      result.low = std::min(result.low, p.y);
      result.high = std::max(result.high, p.y);
    }
    result.mean /= count;  // NaN, which leaves a gap, if nothing can be drawn
    return result;
  }
};

/// Writes the HTML of one chart; used through render_chart().
class chart_writer {
 public:
  explicit chart_writer(const chart& c)
      : chart_(c),
        curves_(c.lines.begin(), c.lines.end()),
        x_(x_values(), false, 0.0),
        y_(y_values(), false, 0.05),
        log_y_(y_values(), true, 0.05) {}

  std::string write() {
    const bool can_log = !log_y_.is_empty();
    out_ = std::string("<figure class=\"chart") + (chart_.log_y && can_log ? " log" : "") +
           "\">\n<figcaption>" + escape_html(chart_.title);
    if (can_log) out_ += "<button type=\"button\" class=\"scale\" hidden></button>";
    out_ += "</figcaption>\n<div class=\"ylabel\">" + escape_html(chart_.y_label) +
            "</div>\n<div class=\"plot\"><div class=\"area\" tabindex=\"0\">";
    out_ +=
        "<svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"" +
        escape_html(chart_.title) + "\">";
    write_drawing("lin", y_);
    if (can_log) write_drawing("log", log_y_);
    out_ += "</svg>";
    write_labels("lin", y_);
    if (can_log) write_labels("log", log_y_);
    for (const double tick : x_.ticks()) {
      out_ += "<span class=\"x\" style=\"left:" + percent(x_.position(tick)) + "\">" +
              x_.text(tick) + "</span>";
    }
    if (y_.is_empty()) out_ += "<p class=\"nothing\">no values to draw</p>";
    out_ += "</div></div>\n<div class=\"xlabel\">" + escape_html(chart_.x_label) + "</div>\n";
    write_legend();
    write_remarks();
    write_data();
    out_ += "</figure>\n";
    return std::move(out_);
  }

 private:
  [[nodiscard]] std::vector<double> x_values() const {
    std::vector<double> values;
    for (const series& s : chart_.lines) {
      for (const point& p : s.points) values.push_back(p.x);
    }
    return values;
  }
  [[nodiscard]] std::vector<double> y_values() const {
    std::vector<double> values;
    for (const drawn_curve& c : curves_) {
      for (const drawn_point& p : c.places) values.insert(values.end(), {p.low, p.mean, p.high});
    }
    return values;
  }

  static std::string percent(double part) { return short_number(100 * part, 4) + "%"; }
  /// Colours repeat after eight lines, then with dashes.
  static std::string line_class(std::size_t index) {
    return "c" + std::to_string(index % 8) + (index / 8 % 2 == 1 ? " dashed" : "");
  }

  void append_position(char command, double x, double y, const chart_axis& axis) {
    out_ += command;
    out_ += drawing_coordinate(x_.position(x));
    out_ += ' ';
    out_ += drawing_coordinate(1 - (axis.can_show(y) ? axis.position(y) : 0.0));
  }
  void open_path(std::size_t index, const char* kind) {
    out_ += "<path data-line=\"" + std::to_string(index) + "\" class=\"" + line_class(index) +
            kind + "\" d=\"";
  }

  void write_drawing(const char* scale, const chart_axis& y) {
    out_ += std::string("<g class=\"") + scale + "\"><path class=\"grid\" d=\"";
    for (const double tick : y.ticks()) {
      out_ += "M0 ";
      out_ += drawing_coordinate(1 - y.position(tick));
      out_ += "H1000";
    }
    out_ += "\"/>";
    for (std::size_t i = 0; i < curves_.size(); ++i) {
      if (curves_[i].is_thinned) write_band(i, y);
    }
    for (std::size_t i = 0; i < curves_.size(); ++i) write_line(i, y);
    out_ += "</g>";
  }

  /// Calls `use(first, last)` for each run of places without a gap.
  template <class Use>
  static void for_each_run(const drawn_curve& curve, const chart_axis& y, Use use) {
    const std::vector<drawn_point>& places = curve.places;
    for (std::size_t first = 0, i = 0; i <= places.size(); ++i) {
      if (i < places.size() && y.can_show(places[i].mean)) continue;
      if (i > first) use(std::span(places).subspan(first, i - first));
      first = i + 1;
    }
  }

  void write_line(std::size_t index, const chart_axis& y) {
    constexpr std::size_t most_marked = 40;
    const bool marked = curves_[index].places.size() <= most_marked;
    open_path(index, "");
    for_each_run(curves_[index], y, [&](std::span<const drawn_point> run) {
      for (const drawn_point& p : run)
        append_position(&p == run.data() ? 'M' : 'L', p.x, p.mean, y);
      if (run.size() == 1) out_ += "h0";  // a round cap, so that a lone point is seen
    });
    out_ += "\"/>";
    if (!marked) return;
    open_path(index, " marks");
    for (const drawn_point& p : curves_[index].places) {
      if (!y.can_show(p.mean)) continue;
      append_position('M', p.x, p.mean, y);
      out_ += "h0";
    }
    out_ += "\"/>";
  }

  void write_band(std::size_t index, const chart_axis& y) {
    open_path(index, " band");
    for_each_run(curves_[index], y, [&](std::span<const drawn_point> run) {
      for (const drawn_point& p : run)
        append_position(&p == run.data() ? 'M' : 'L', p.x, p.high, y);
      for (auto p = run.rbegin(); p != run.rend(); ++p) append_position('L', p->x, p->low, y);
      out_ += 'Z';
    });
    out_ += "\"/>";
  }

  void write_labels(const char* scale, const chart_axis& y) {
    for (const double tick : y.ticks()) {
      out_ += std::string("<span class=\"y ") + scale +
              "\" style=\"top:" + percent(1 - y.position(tick)) + "\">" + y.text(tick) + "</span>";
    }
  }

  void write_legend() {
    out_ += "<ul class=\"legend\">";
    for (std::size_t i = 0; i < curves_.size(); ++i) {
      out_ += "<li data-line=\"" + std::to_string(i) + "\" class=\"" + line_class(i) + "\">" +
              escape_html(curves_[i].name) + "</li>";
    }
    out_ += "</ul>\n";
  }

  void write_remarks() {
    std::size_t left_out = 0;
    for (const series& s : chart_.lines) {
      for (const point& p : s.points) left_out += !is_drawable(p.x) || !is_drawable(p.y);
    }
    std::string remarks;
    if (std::any_of(curves_.begin(), curves_.end(),
                    [](const drawn_curve& c) { return c.is_thinned; })) {
      remarks = "Line: mean of neighbouring values; shade: lowest to highest. ";
    }
    if (left_out > 0) {
      remarks += std::to_string(left_out) + (left_out == 1 ? " value is" : " values are") +
                 " not finite and left out.";
    }
    if (!remarks.empty()) out_ += "<p class=\"remark\">" + remarks + "</p>\n";
  }

  static json::value rounded(double v, int digits) {
    if (!is_drawable(v)) return nullptr;
    const std::string text = short_number(v, digits);
    double result = 0;
    std::from_chars(text.data(), text.data() + text.size(), result);
    return result;
  }

  void write_data() {
    json::array lines;
    for (const drawn_curve& c : curves_) {
      json::array x, y, low, high;
      for (const drawn_point& p : c.places) {
        x.push_back(rounded(p.x, 10));
        y.push_back(rounded(p.mean, 6));
        if (!c.is_thinned) continue;
        low.push_back(rounded(p.low, 6));
        high.push_back(rounded(p.high, 6));
      }
      lines.push_back(json::object{{"name", c.name},
                                   {"x", std::move(x)},
                                   {"y", std::move(y)},
                                   {"low", std::move(low)},
                                   {"high", std::move(high)}});
    }
    const auto ends = [](const chart_axis& axis) {
      return json::array{axis.ends()[0], axis.ends()[1]};
    };
    const json::object data{{"label", chart_.x_label},
                            {"x", ends(x_)},
                            {"lin", ends(y_)},
                            {"log", ends(log_y_)},
                            {"lines", std::move(lines)}};
    out_ += "<script type=\"application/json\">" + script_json(data) + "</script>\n";
  }

  const chart& chart_;
  std::vector<drawn_curve> curves_;
  chart_axis x_, y_, log_y_;
  std::string out_;
};

/// The HTML of one chart, to be used with the style and the script of a report.
inline std::string render_chart(const chart& c) { return chart_writer(c).write(); }

}  // namespace gantry::io
