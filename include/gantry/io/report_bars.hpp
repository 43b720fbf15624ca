// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Stacked bars for a report, such as how many samples of which label each worker has. Readable
// without JavaScript; the browser shows the number of a part under the pointer.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "gantry/io/chart_axis.hpp"
#include "gantry/io/html.hpp"

namespace gantry::inline v0::io {

/// One bar: value p is that of part p, from the bottom up.
struct bar {
  std::string name{};
  std::vector<double> values{};
};

struct bar_chart {
  std::string title{};
  std::string x_label{};             ///< what a bar is: "worker"
  std::string y_label{};             ///< what is counted: "samples"
  std::string part_label{};          ///< what a part is: "label"
  std::vector<std::string> parts{};  ///< their names
  std::vector<bar> bars{};
};

/// Writes the HTML of one chart of bars; used through render_bars().
class bar_chart_writer {
 public:
  explicit bar_chart_writer(const bar_chart& c) : chart_(c), y_(sums(c), false, 0.05) {}

  std::string write() {
    const std::string title = escape_html(chart_.title);
    out_ = "<figure class=\"bars\">\n<figcaption>" + title +
           "</figcaption>\n<div class=\"ylabel\">" + escape_html(chart_.y_label) +
           "</div>\n<div class=\"plot\"><div class=\"area\"><svg viewBox=\"0 0 1000 1000\" "
           "preserveAspectRatio=\"none\" role=\"img\" aria-label=\"" +
           title + "\"><path class=\"grid\" d=\"";
    for (const double tick : y_.ticks())
      out_ += "M0 " + drawing_coordinate(1 - y_.position(tick)) + "H1000";
    out_ += "\"/>";
    for (std::size_t b = 0; b < chart_.bars.size(); ++b) write_bar(b);
    out_ += "</svg>";
    write_labels();
    if (chart_.bars.empty()) out_ += "<p class=\"nothing\">no values to draw</p>";
    out_ += "</div></div>\n<div class=\"xlabel\">" + escape_html(chart_.x_label) + "</div>\n";
    write_legend();
    out_ += "</figure>\n";
    return std::move(out_);
  }

 private:
  /// Ten colours, which then repeat fainter.
  static constexpr std::size_t colours = 10;

  static double height(double value) { return is_drawable(value) && value > 0 ? value : 0; }

  static std::vector<double> sums(const bar_chart& c) {
    std::vector<double> all{0.0};
    for (const bar& b : c.bars) {
      double sum = 0;
      for (const double v : b.values) sum += height(v);
      all.push_back(sum);
    }
    return all;
  }

  [[nodiscard]] std::string part_style(std::size_t part) const {
    const std::size_t shades = (chart_.parts.size() + colours - 1) / colours;
    std::string style = "class=\"c" + std::to_string(part % colours) + "\"";
    if (part / colours > 0 && shades > 1) {
      const double fade = static_cast<double>(part / colours) / static_cast<double>(shades - 1);
      style += " style=\"opacity:" + short_number(1 - 0.7 * fade, 3) + "\"";
    }
    return style;
  }

  [[nodiscard]] std::string part_name(std::size_t part) const {
    return chart_.part_label + " " +
           (part < chart_.parts.size() ? chart_.parts[part] : std::to_string(part));
  }

  void write_bar(std::size_t b) {
    const bar& all = chart_.bars[b];
    const double slot = 1.0 / static_cast<double>(chart_.bars.size());
    const std::string where = "x=\"" + drawing_coordinate((static_cast<double>(b) + 0.12) * slot) +
                              "\" width=\"" + drawing_coordinate(0.76 * slot) + "\" ";
    double below = 0;
    for (std::size_t p = 0; p < all.values.size(); ++p) {
      const double value = height(all.values[p]);
      if (value == 0) continue;
      const double top = y_.position(below + value), bottom = y_.position(below);
      out_ += "<rect " + part_style(p) + " " + where + "y=\"" + drawing_coordinate(1 - top) +
              "\" height=\"" + drawing_coordinate(top - bottom) + "\"><title>" +
              escape_html(chart_.x_label + " " + all.name + ", " + part_name(p) + ": " +
                          short_number(value)) +
              "</title></rect>";
      below += value;
    }
  }

  void write_labels() {
    for (const double tick : y_.ticks())
      out_ += "<span class=\"y\" style=\"top:" + short_number(100 * (1 - y_.position(tick)), 4) +
              "%\">" + y_.text(tick) + "</span>";
    constexpr std::size_t most_names = 20;
    const std::size_t count = chart_.bars.size(), every = (count + most_names - 1) / most_names;
    for (std::size_t b = 0; b < count; b += every) {
      const double middle = (static_cast<double>(b) + 0.5) / static_cast<double>(count);
      out_ += "<span class=\"x\" style=\"left:" + short_number(100 * middle, 4) + "%\">" +
              escape_html(chart_.bars[b].name) + "</span>";
    }
  }

  void write_legend() {
    constexpr std::size_t most_parts = 2 * colours;
    if (chart_.parts.size() > most_parts) {
      out_ += "<p class=\"remark\">" + std::to_string(chart_.parts.size()) + " parts (" +
              escape_html(chart_.part_label) +
              "), from the bottom up; the pointer shows which is which.</p>\n";
      return;
    }
    out_ += "<ul class=\"legend\">";
    for (std::size_t p = 0; p < chart_.parts.size(); ++p)
      out_ += "<li " + part_style(p) + ">" + escape_html(part_name(p)) + "</li>";
    out_ += "</ul>\n";
  }

  const bar_chart& chart_;
  chart_axis y_;
  std::string out_;
};

/// The HTML of one chart of bars, to be used with the style of a report.
inline std::string render_bars(const bar_chart& c) { return bar_chart_writer(c).write(); }

}  // namespace gantry::io
