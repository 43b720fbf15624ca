// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/io/png.hpp"
#include "gantry/io/report.hpp"

#include "scratch.hpp"

namespace gantry::inline v0::io {
namespace {

using test::contains;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
const std::string hostile = "</script><img src=x onerror=\"alert(1)\"> & 'q' <!-- \x01 \xff";

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string_view::npos; at += part.size())
    ++found;
  return found;
}

/// Checks that elements are closed in order, and collects the JSON of the charts.
std::vector<json::value> check_markup(std::string_view html) {
  const std::set<std::string, std::less<>> lonely{"!DOCTYPE", "meta", "link", "img", "input"};
  std::vector<std::string> open;
  std::vector<json::value> data;
  for (std::size_t at = 0; (at = html.find('<', at)) != std::string_view::npos;) {
    const std::size_t end = html.find('>', at);
    REQUIRE(end != std::string_view::npos);
    const std::string_view tag = html.substr(at + 1, end - at - 1);
    const std::string name(tag.substr(0, tag.find_first_of(" \n/", 1)));
    at = end + 1;
    if (name.starts_with('/')) {
      REQUIRE_FALSE(open.empty());
      CHECK("/" + open.back() == name);
      open.pop_back();
    } else if (!lonely.contains(name) && !tag.ends_with('/')) {
      open.push_back(name);
    }
    if (name == "script" || name == "style") {
      const std::size_t close = html.find("</" + name, at);
      if (contains(std::string(tag), "json"))
        data.push_back(json::parse(html.substr(at, close - at)));
      at = close;
    }
  }
  CHECK(open.empty());
  return data;
}

/// Every coordinate that is drawn is a number inside the view box of 1000 x 1000.
void check_drawings(std::string_view html) {
  for (std::size_t at = 0; (at = html.find(" d=\"", at)) != std::string_view::npos;) {
    at += 4;
    const std::string path(html.substr(at, html.find('"', at) - at));
    CHECK(path.find_first_not_of("MLHZh0123456789. ") == std::string::npos);
    for (std::size_t i = 0; (i = path.find_first_of("0123456789", i)) != std::string::npos;) {
      std::size_t used = 0;
      CHECK(std::stod(path.substr(i), &used) <= 1000.0);
      i += used;
    }
  }
}

std::vector<std::byte> small_png() {
  return encode_png(image_grid(std::vector<float>(4, 0.5F),
                               {.count = 1, .height = 2, .width = 2, .channels = 1}));
}

report example() {
  report r{.title = "A run", .subtitle = "four workers", .highlights = {{"FID", "23.4"}}};
  r.facts = {{"seed", "42"}, {"batch", "100"}};
  r.charts = {
      {"Loss", "iteration", "loss", true, {{"generator", {{0, 1}, {10, 0.1}, {20, 0.01}}}}}};
  r.pictures = {{"fakes", 20, small_png()}, {"fakes", 0, small_png()}, {"reals", -1, small_png()}};
  r.tables = {{"Phases", {"phase", "seconds"}, {{"swap", "1.5"}, {"step", "2.5"}}}};
  return r;
}

TEST_CASE("report is one self-contained well-formed page") {
  const std::string html = render_html(example());
  const std::vector<json::value> data = check_markup(html);
  REQUIRE(data.size() == 1);
  CHECK(data[0].at("lines").as_array()[0].at("y").as_array()[1].as_double() == 0.1);
  CHECK(html.starts_with("<!DOCTYPE html>"));
  CHECK(contains(html, "default-src 'none'"));
  CHECK(contains(html, "prefers-color-scheme: dark"));
  CHECK(count(html, "http") == 1);  // the http-equiv of the policy: no address anywhere
  for (const char* text :
       {"<h1>A run</h1>", "four workers", "<dt>FID</dt><dd>23.4</dd>", "<dt>seed</dt><dd>42</dd>",
        "generator</li>", "<th class=\"number\">seconds</th>", "<td class=\"number\">1.5</td>",
        "<td>swap</td>"}) {
    CAPTURE(text);
    CHECK(contains(html, text));
  }
  CHECK(html == render_html(example()));
}

TEST_CASE("report steps through pictures of one caption by iteration") {
  const std::string html = render_html(example());
  CHECK(count(html, "class=\"film\"") == 2);
  CHECK(count(html, "type=\"range\"") == 1);
  CHECK(count(html, "src=\"data:image/png;base64," + base64(small_png())) == 3);
  CHECK(html.find("data-when=\"iteration 0\" hidden") <
        html.find("data-when=\"iteration 20\" src"));
  CHECK(contains(html, "width=\"486\" height=\"486\""));
}

TEST_CASE("no text of a report becomes markup or script") {
  report r{.title = hostile, .subtitle = hostile, .highlights = {{hostile, hostile}}};
  r.facts = {{hostile, hostile}};
  r.charts = {{hostile, hostile, hostile, false, {{hostile, {{0, 1}, {1, 2}}}}}};
  r.pictures = {{hostile, 1, small_png()}};
  r.tables = {{hostile, {hostile}, {{hostile}}}};
  const std::string html = render_html(r);
  const std::vector<json::value> data = check_markup(html);
  REQUIRE(data.size() == 1);
  CHECK(data[0].at("lines").as_array()[0].at("name").as_string() ==
        hostile.substr(0, hostile.size() - 1) + "\uFFFD");
  CHECK_FALSE(contains(html, "<img src=x"));
  CHECK_FALSE(contains(html, "onerror=\""));
  CHECK_FALSE(contains(html, "<!--"));
  CHECK(count(html, "<script") == 2);
  CHECK(is_utf8(html));
}

TEST_CASE("report survives series that are empty, not finite, flat or extreme") {
  const std::vector<std::vector<point>> cases = {
      {},
      {{nan, nan}},
      {{0, nan}, {1, infinity}, {2, -infinity}},
      {{5, 3}},
      {{0, 3}, {1, 3}, {2, 3}},
      {{0, 0}, {1, 0}},
      {{0, 1e308}, {1, -1e308}},
      {{0, 1e-308}, {1, 1e150}, {2, 5e-324}},
      {{infinity, 1}, {-1e300, 2}},
      {{0, -1}, {1, -2}},
      {{0, 1e15}, {1, 1e15 + 1}},
      {{1e9, 1}, {1e9 + 1, 2}},
      {{3, 1}, {1, 2}, {2, nan}, {2, 3}},
  };
  for (const bool log_y : {false, true}) {
    report r{.title = "edge"};
    for (const auto& points : cases) r.charts.push_back({"c", "x", "y", log_y, {{"s", points}}});
    r.charts.push_back({"no series", "", "", log_y, {}});
    const std::string html = render_html(r);
    CHECK(check_markup(html).size() == cases.size() + 1);
    check_drawings(html);
    CHECK(count(html, "no values to draw") == 6);
    CHECK(contains(html, "3 values are not finite and left out."));
    CHECK(contains(html, "1 value is not finite and left out."));
  }
}

TEST_CASE("report survives pictures and tables without content") {
  report r;
  r.pictures = {{"", 0, {}}, {"x", 0, std::vector<std::byte>(10)}};
  r.tables = {{"", {}, {}}, {"ragged", {"a"}, {{"1", "2", "3"}, {}}}, {"no rows", {"a", "b"}, {}}};
  const std::string html = render_html(r);
  check_markup(html);
  CHECK(count(html, "no picture") == 2);
  check_markup(render_html({}));
}

TEST_CASE("a long curve is drawn as mean and range and loses no spike") {
  series s{"loss", {}};
  for (int i = 0; i < 10000; ++i)
    s.points.push_back({double(i), i == 5003 ? 100.0 : i % 2 == 0 ? 1.0 : 3.0});
  s.points[17].y = nan;
  const drawn_curve curve(s);
  REQUIRE(curve.is_thinned);
  CHECK(curve.places.size() == 200);
  CHECK(curve.places[50].mean == 2.0);
  CHECK(curve.places[50].low == 1.0);
  CHECK(curve.places[50].high == 3.0);
  CHECK(curve.places[100].high == 100.0);
  CHECK(std::isfinite(curve.places[0].mean));
  const std::string html = render_chart({"c", "x", "y", false, {s}});
  CHECK(contains(html, "shade: lowest to highest"));
  CHECK(contains(html, "1 value is not finite"));
  CHECK(html.size() < 60000);
  check_markup(html);
}

TEST_CASE("axis ticks are round and lie inside") {
  CHECK(chart_axis({0, 20000}, false, 0).ticks() ==
        std::vector<double>{0, 5000, 10000, 15000, 20000});
  CHECK(chart_axis({0, 20000}, false, 0).text(5000) == "5k");
  CHECK(chart_axis({1, 10000}, true, 0).ticks() == std::vector<double>{1, 10, 100, 1000, 10000});
  CHECK(chart_axis({1e-12, 1e12}, true, 0).ticks().size() <= 8);
  CHECK(chart_axis({20, 60}, true, 0).ticks().size() >= 3);
  CHECK(tick_text(0.30000000000000004, 0.5) == "0.3");
  CHECK(tick_text(-0.0, 1) == "0");
  CHECK(tick_text(1500000, 2e6) == "1.5M");
  CHECK(tick_text(3e9, 3e9) == "3G");
  CHECK(tick_text(1e30, 1e30) == "1e+30");
  for (const double high : {1e-9, 0.3, 7.0, 123.0, 98765.0, 1e149}) {
    const chart_axis axis({0, high}, false, 0);
    CHECK(axis.ticks().size() >= 3);
    CHECK(axis.ticks().size() <= 7);
    for (const double t : axis.ticks()) CHECK((t >= 0 && t <= high * (1 + 1e-12)));
  }
}

TEST_CASE("write_report writes the page atomically") {
  const test::scratch_folder folder;
  write_report(folder / "report.html", example());
  CHECK(read_text(folder / "report.html") == render_html(example()));
  CHECK(folder.files() == 1);
}

}  // namespace
}  // namespace gantry::io
