// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Who did what when, for a report: a lane for each rank, with coloured pieces. Readable without
// JavaScript; a script adds what is under the pointer.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "gantry/io/chart_axis.hpp"
#include "gantry/io/html.hpp"
#include "gantry/io/json.hpp"

namespace gantry::inline v0::io {

/// A stretch of one kind. It fills its lane from `low` to `high`: 0 to 1 for something that
/// happened from begin to end, less for a share of that stretch.
struct timeline_piece {
  double begin{}, end{};
  std::size_t part{};
  double low{0}, high{1};
};

struct timeline_lane {
  std::string name{};
  std::vector<timeline_piece> pieces{};
};

struct timeline_part {
  std::string name{};
  std::size_t colour{};  ///< 0 .. 9 of a report's colours
  bool faint{false};     ///< for what is no work
};

struct timeline {
  std::string title{};
  std::string x_label{};
  std::string x_unit{};  ///< behind a length: "ms"
  std::string remark{};
  std::vector<timeline_part> parts{};
  std::vector<timeline_lane> lanes{};  ///< from the top down; more than 32 are left out
};

/// Writes the HTML of one time line; used through render_timeline().
class timeline_writer {
 public:
  explicit timeline_writer(const timeline& t)
      : timeline_(t),
        shown_(std::min(t.lanes.size(), most_lanes)),
        x_(ends(t, shown_), false, 0.0) {}

  std::string write() {
    const std::string title = escape_html(timeline_.title);
    const std::size_t height = std::max<std::size_t>(90, shown_ * lane_pixels);
    out_ = "<figure class=\"timeline\">\n<figcaption>" + title +
           "</figcaption>\n<div class=\"plot\"><div class=\"area\" style=\"height:" +
           std::to_string(height) +
           "px\"><svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" role=\"img\" "
           "aria-label=\"" +
           title + "\"><path class=\"grid\" d=\"";
    for (const double tick : x_.ticks())
      out_ += "M" + drawing_coordinate(x_.position(tick)) + " 0V1000";
    out_ += "\"/>";
    for (std::size_t lane = 0; lane < shown_; ++lane) write_lane(lane);
    out_ += "</svg>";
    write_labels();
    if (x_.is_empty()) out_ += "<p class=\"nothing\">nothing was measured</p>";
    out_ += "</div></div>\n<div class=\"xlabel\">" + escape_html(timeline_.x_label) + "</div>\n";
    write_legend();
    write_remarks();
    write_data();
    out_ += "</figure>\n";
    return std::move(out_);
  }

 private:
  static constexpr std::size_t most_lanes = 32, lane_pixels = 30;

  static bool is_shown(const timeline_piece& p, std::size_t parts) {
    return is_drawable(p.begin) && is_drawable(p.end) && p.end > p.begin && p.low >= 0 &&
           p.high <= 1 && p.high > p.low && p.part < parts;
  }

  static std::vector<double> ends(const timeline& t, std::size_t shown) {
    std::vector<double> all;
    for (std::size_t lane = 0; lane < shown; ++lane)
      for (const timeline_piece& p : t.lanes[lane].pieces)
        if (is_shown(p, t.parts.size())) all.insert(all.end(), {p.begin, p.end});
    return all;
  }

  [[nodiscard]] std::string part_class(std::size_t part) const {
    const timeline_part& p = timeline_.parts[part];
    return "c" + std::to_string(p.colour % 10) + (p.faint ? " faint" : "");
  }

  void write_lane(std::size_t lane) {
    const double slot = 1.0 / static_cast<double>(shown_);
    const double top = (static_cast<double>(lane) + 0.1) * slot, height = 0.8 * slot;
    for (std::size_t part = 0; part < timeline_.parts.size(); ++part) {
      std::string path;
      for (const timeline_piece& p : timeline_.lanes[lane].pieces) {
        if (p.part != part || !is_shown(p, timeline_.parts.size())) continue;
        path += "M" + drawing_coordinate(x_.position(p.begin)) + " " +
                drawing_coordinate(top + (1 - p.high) * height) + "H" +
                drawing_coordinate(x_.position(p.end)) + "V" +
                drawing_coordinate(top + (1 - p.low) * height) + "H" +
                drawing_coordinate(x_.position(p.begin)) + "Z";
      }
      if (!path.empty())
        out_ += "<path data-line=\"" + std::to_string(part) + "\" class=\"piece " +
                part_class(part) + "\" d=\"" + path + "\"/>";
    }
  }

  void write_labels() {
    for (std::size_t lane = 0; lane < shown_; ++lane) {
      const double middle = (static_cast<double>(lane) + 0.5) / static_cast<double>(shown_);
      out_ += "<span class=\"y\" style=\"top:" + short_number(100 * middle, 4) + "%\">" +
              escape_html(timeline_.lanes[lane].name) + "</span>";
    }
    for (const double tick : x_.ticks())
      out_ += "<span class=\"x\" style=\"left:" + short_number(100 * x_.position(tick), 4) +
              "%\">" + x_.text(tick) + "</span>";
  }

  void write_legend() {
    out_ += "<ul class=\"legend\">";
    for (std::size_t p = 0; p < timeline_.parts.size(); ++p)
      out_ += "<li data-line=\"" + std::to_string(p) + "\" class=\"" + part_class(p) + "\">" +
              escape_html(timeline_.parts[p].name) + "</li>";
    out_ += "</ul>\n";
  }

  void write_remarks() {
    std::string remarks = timeline_.remark;
    if (shown_ < timeline_.lanes.size())
      remarks += (remarks.empty() ? "" : " ") + std::to_string(timeline_.lanes.size() - shown_) +
                 " more are left out.";
    if (!remarks.empty()) out_ += "<p class=\"remark\">" + escape_html(remarks) + "</p>\n";
  }

  static json::value rounded(double v) {
    const std::string text = short_number(v, 6);
    double result = 0;
    std::from_chars(text.data(), text.data() + text.size(), result);
    return result;
  }

  void write_data() {
    json::array lanes;
    for (std::size_t lane = 0; lane < shown_; ++lane) {
      json::array pieces;
      for (const timeline_piece& p : timeline_.lanes[lane].pieces)
        if (is_shown(p, timeline_.parts.size()))
          pieces.push_back(json::array{rounded(p.begin), rounded(p.end), p.part, rounded(p.low),
                                       rounded(p.high)});
      lanes.push_back(std::move(pieces));
    }
    const json::object data{{"label", timeline_.x_label},
                            {"unit", timeline_.x_unit},
                            {"x", json::array{x_.ends()[0], x_.ends()[1]}},
                            {"lanes", std::move(lanes)}};
    out_ += "<script type=\"application/json\">" + script_json(data) + "</script>\n";
  }

  const timeline& timeline_;
  std::size_t shown_;
  chart_axis x_;
  std::string out_;
};

/// The HTML of one time line, to be used with the style and the script of a report.
inline std::string render_timeline(const timeline& t) { return timeline_writer(t).write(); }

}  // namespace gantry::io
