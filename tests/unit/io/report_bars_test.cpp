// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/io/report.hpp"
#include "gantry/io/report_bars.hpp"

#include "scratch.hpp"

namespace gantry::inline v0::io {
namespace {

using test::contains;

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string_view::npos; at += part.size())
    ++found;
  return found;
}

/// The values of an attribute of all rectangles.
std::vector<double> numbers(const std::string& html, const std::string& name) {
  std::vector<double> found;
  for (std::size_t at = 0; (at = html.find("<rect", at)) != std::string::npos; ++at)
    found.push_back(std::stod(html.substr(html.find(" " + name + "=\"", at) + name.size() + 3)));
  return found;
}

bar_chart example() {
  return {.title = "Labels of each worker",
          .x_label = "worker",
          .y_label = "samples",
          .part_label = "label",
          .parts = {"0", "1", "2"},
          .bars = {{"1", {30, 0, 10}}, {"2", {0, 20, 20}}}};
}

TEST_CASE("bars: heights are proportional, parts are stacked, empty ones left out") {
  const std::string html = render_bars(example());
  const auto y = numbers(html, "y"), height = numbers(html, "height"), x = numbers(html, "x");
  REQUIRE(y.size() == 4);
  CHECK(height[0] == doctest::Approx(3 * height[1]).epsilon(1e-3));
  CHECK(height[2] == doctest::Approx(height[3]).epsilon(1e-3));
  CHECK(y[0] + height[0] == doctest::Approx(1000));
  CHECK(y[1] + height[1] == doctest::Approx(y[0]).epsilon(1e-3));
  CHECK(x[0] == x[1]);
  CHECK(x[2] > 500);
  CHECK(contains(html, "<title>worker 2, label 1: 20</title>"));
  CHECK(count(html, "<li ") == 3);
}

TEST_CASE("bars: part of a report") {
  report r{.title = "A run"};
  CHECK_FALSE(contains(render_html(r), "<h2>Data</h2>"));
  r.data = {example()};
  const std::string html = render_html(r);
  CHECK(contains(html, "<h2>Data</h2>"));
  CHECK(contains(html, render_bars(example())));
}

TEST_CASE("bars: many parts and bars, and values that cannot be drawn") {
  bar_chart many = example();
  many.parts.clear();
  for (int p = 0; p < 100; ++p) many.parts.push_back(std::to_string(p));
  many.bars.assign(50, {"w", std::vector<double>(100, 1.0)});
  const std::string html = render_bars(many);
  CHECK(count(html, "<rect") == 5000);
  CHECK(count(html, "class=\"x\"") == 17);
  CHECK(count(html, "<li") == 0);
  CHECK(contains(html, "100 parts (label)"));
  CHECK(contains(html, "opacity:0.3\""));
  for (const double v : numbers(html, "y")) CHECK((v >= 0 && v <= 1000));

  constexpr double infinity = std::numeric_limits<double>::infinity();
  bar_chart bad = example();
  bad.bars = {{"<b>", {std::nan(""), infinity, -1, 4}}, {"none", {}}};
  bad.title = bad.x_label = bad.part_label = "</figure><script>";
  const std::string escaped = render_bars(bad);
  CHECK(count(escaped, "<rect") == 1);
  CHECK_FALSE(contains(escaped, "<script"));
  CHECK_FALSE(contains(escaped, "<b>"));
  CHECK(contains(render_bars({}), "no values to draw"));
}

}  // namespace
}  // namespace gantry::io
