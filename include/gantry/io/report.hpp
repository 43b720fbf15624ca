// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// One HTML file about a run: figures, samples by iteration, curves, tables, configuration. It needs
// no network and no other file, and equal input gives equal bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gantry/io/base64.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/report_assets.hpp"
#include "gantry/io/report_bars.hpp"
#include "gantry/io/report_chart.hpp"
#include "gantry/io/report_timeline.hpp"

namespace gantry::inline v0::io {

struct fact {
  std::string key{};
  std::string text{};
};

/// A PNG file. Pictures with the same caption become one figure that is stepped through by
/// iteration.
struct picture {
  std::string caption{};
  std::int64_t iteration = -1;  ///< negative if the picture belongs to none
  std::vector<std::byte> png{};
};

struct table {
  std::string title{};
  std::vector<std::string> header{};
  std::vector<std::vector<std::string>> rows{};
};

struct report {
  std::string title{};
  std::string subtitle{};
  std::vector<fact> highlights{};  ///< the few results to be read first, shown large
  std::vector<fact> facts{};       ///< the resolved configuration
  std::vector<fact> machine{};     ///< what the run is on
  std::vector<chart> charts{};
  std::vector<picture> pictures{};
  std::vector<table> tables{};
  std::vector<bar_chart> data{};  ///< what each worker trains on
  std::vector<timeline> time{};   ///< what each rank did when
};

/// Drops pictures until those of all captions together have at most `most_bytes`: from the caption
/// with the most bytes every second one, but not its first and its last; then all but its last.
/// Call it with pictures in the order of their iterations.
inline void thin_pictures(std::vector<picture>& pictures, std::size_t most_bytes) {
  struct film {
    std::string caption;
    std::size_t bytes{}, count{};
  };
  for (;;) {
    std::vector<film> films;
    std::size_t bytes = 0;
    for (const picture& p : pictures) {
      auto found = std::ranges::find(films, p.caption, &film::caption);
      if (found == films.end()) found = films.insert(found, {p.caption, 0, 0});
      found->bytes += p.png.size();
      ++found->count;
      bytes += p.png.size();
    }
    std::erase_if(films, [](const film& f) { return f.count < 2; });
    if (bytes <= most_bytes || films.empty()) return;
    const film largest = *std::ranges::max_element(films, {}, &film::bytes);
    std::size_t place = 0;
    std::erase_if(pictures, [&](const picture& p) {
      if (p.caption != largest.caption) return false;
      const std::size_t here = place++;
      if (here + 1 == largest.count) return false;
      return largest.count == 2 || here % 2 == 1;
    });
  }
}

/// Writes the HTML of one report; used through render_html().
class report_writer {
 public:
  explicit report_writer(const report& r) : report_(r) {}

  std::string write() {
    write_head();
    write_highlights();
    write_pictures();
    if (!report_.charts.empty()) {
      out_ += "<h2>Curves</h2>\n<div class=\"pair\">\n";
      for (const chart& c : report_.charts) out_ += render_chart(c);
      out_ += "</div>\n";
    }
    if (!report_.time.empty()) out_ += "<h2>Time</h2>\n<div class=\"stack\">\n";
    for (const timeline& t : report_.time) out_ += render_timeline(t);
    if (!report_.time.empty()) out_ += "</div>\n";
    if (!report_.tables.empty()) out_ += "<h2>Tables</h2>\n";
    for (const table& t : report_.tables) write_table(t);
    if (!report_.data.empty()) {
      out_ += "<h2>Data</h2>\n<div class=\"pair\">\n";
      for (const bar_chart& c : report_.data) out_ += render_bars(c);
      out_ += "</div>\n";
    }
    write_facts("Configuration", report_.facts);
    write_facts("Machine", report_.machine);
    out_ += "</main>\n<script>";
    out_ += report_script;
    out_ += "</script>\n</body>\n</html>\n";
    return std::move(out_);
  }

 private:
  /// The policy makes the browser refuse any request to a network, whatever the content is.
  void write_head() {
    const std::string title = escape_html(report_.title);
    out_ +=
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<link rel=\"icon\" href=\"data:,\">\n<title>" +
        title + "</title>\n<style>";
    out_ += report_style;
    out_ += "</style>\n</head>\n<body>\n<main>\n<h1>" + title + "</h1>\n";
    if (!report_.subtitle.empty())
      out_ += "<p class=\"subtitle\">" + escape_html(report_.subtitle) + "</p>\n";
  }

  void write_highlights() {
    if (report_.highlights.empty()) return;
    out_ += "<dl class=\"tiles\">\n";
    write_pairs(report_.highlights);
  }

  void write_facts(const char* title, const std::vector<fact>& facts) {
    if (facts.empty()) return;
    out_ += std::string("<h2>") + title + "</h2>\n<dl class=\"card facts\">\n";
    write_pairs(facts);
  }

  void write_pairs(const std::vector<fact>& facts) {
    for (const fact& f : facts) {
      out_ +=
          "<div><dt>" + escape_html(f.key) + "</dt><dd>" + escape_html(f.text) + "</dd></div>\n";
    }
    out_ += "</dl>\n";
  }

  void write_pictures() {
    if (report_.pictures.empty()) return;
    std::vector<std::vector<const picture*>> films;
    for (const picture& p : report_.pictures) {
      const auto film = std::find_if(films.begin(), films.end(), [&](const auto& f) {
        return f.front()->caption == p.caption;
      });
      if (film == films.end()) {
        films.push_back({&p});
      } else {
        film->push_back(&p);
      }
    }
    out_ += "<h2>Samples</h2>\n<div class=\"pair\">\n";
    for (auto& film : films) {
      std::stable_sort(film.begin(), film.end(), [](const picture* a, const picture* b) {
        return a->iteration < b->iteration;
      });
      write_film(film);
    }
    out_ += "</div>\n";
  }

  void write_film(const std::vector<const picture*>& film) {
    out_ += "<figure class=\"film\">\n<figcaption>" + escape_html(film.front()->caption) +
            "</figcaption>\n";
    out_ += "<div class=\"frames\">\n";
    for (const picture* p : film) write_frame(*p, p == film.back());
    const std::string last = std::to_string(film.size() - 1);
    const std::string when = when_text(*film.back());
    out_ += "</div>\n<div class=\"when\">" + when + "</div>\n";
    if (film.size() > 1) {
      out_ +=
          "<div class=\"controls\" hidden><button type=\"button\">Play</button><input "
          "type=\"range\" min=\"0\" "
          "max=\"" +
          last + "\" value=\"" + last + "\" aria-label=\"iteration\"><output>" + when +
          "</output></div>\n";
    }
    out_ += "</figure>\n";
  }

  static std::string when_text(const picture& p) {
    return p.iteration < 0 ? "" : "iteration " + std::to_string(p.iteration);
  }

  /// Small pictures are shown enlarged by a whole number, so that all pixels keep one size.
  void write_frame(const picture& p, bool is_shown) {
    constexpr std::uint32_t wanted_width = 490;
    const std::uint32_t width = png_number(p, 16);
    const std::uint32_t height = png_number(p, 20);
    const std::string when = " data-when=\"" + when_text(p) + "\"" + (is_shown ? "" : " hidden");
    if (width == 0 || height == 0) {
      out_ += "<p" + when + ">no picture</p>\n";
      return;
    }
    const std::uint64_t zoom = std::max(1U, wanted_width / width);
    out_ += "<img alt=\"" + escape_html(p.caption) + "\" width=\"" + std::to_string(width * zoom) +
            "\" height=\"" + std::to_string(height * zoom) + "\"" + when +
            " src=\"data:image/png;base64," + base64(p.png) + "\">\n";
  }

  /// A big-endian number of the picture's header, 0 if there is none.
  static std::uint32_t png_number(const picture& p, std::size_t at) {
    if (p.png.size() < 24) return 0;
    std::uint32_t number = 0;
    for (std::size_t i = at; i < at + 4; ++i)
      number = number << 8 | std::to_integer<std::uint32_t>(p.png[i]);
    return number;
  }

  void write_table(const table& t) {
    if (!t.title.empty()) out_ += "<h3>" + escape_html(t.title) + "</h3>\n";
    out_ += "<div class=\"card\"><table>\n";
    std::size_t columns = t.header.size();
    for (const auto& row : t.rows) columns = std::max(columns, row.size());
    std::vector<bool> numeric(columns, !t.rows.empty());
    for (const auto& row : t.rows) {
      for (std::size_t c = 0; c < row.size(); ++c)
        numeric[c] = c > 0 && numeric[c] && starts_like_number(row[c]);
    }
    const auto write_row = [&](const std::vector<std::string>& cells, const std::string& tag) {
      out_ += "<tr>";
      for (std::size_t c = 0; c < columns; ++c) {
        const std::string text = c < cells.size() ? escape_html(cells[c]) : "";
        out_ += "<" + tag + (numeric[c] ? " class=\"number\">" : ">") + text + "</" + tag + ">";
      }
      out_ += "</tr>\n";
    };
    if (!t.header.empty()) write_row(t.header, "th");
    for (const auto& row : t.rows) write_row(row, "td");
    out_ += "</table></div>\n";
  }

  /// Columns of numbers, with a unit or not, are set to the right; the first one names its row.
  static bool starts_like_number(std::string_view cell) {
    if (cell.empty() || cell == "nan" || cell == "inf" || cell == "-inf" || cell == "-")
      return true;
    const std::size_t first = cell.find_first_not_of("+-.");
    return first != std::string_view::npos && cell[first] >= '0' && cell[first] <= '9';
  }

  const report& report_;
  std::string out_;
};

/// The whole file. Nothing in the report's texts can become markup or script.
inline std::string render_html(const report& r) { return report_writer(r).write(); }

/// Writes the file atomically. @throws error if it cannot be written
inline void write_report(const std::filesystem::path& path, const report& r) {
  write_file_atomic(path, render_html(r));
}

}  // namespace gantry::io
