// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/io/report.hpp"

#include "scratch.hpp"

namespace gantry::inline v0::io {
namespace {

using test::contains;

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size())
    ++found;
  return found;
}

timeline example() {
  return {.title = "First rounds",
          .x_label = "milliseconds",
          .x_unit = "ms",
          .remark = "Blank: nothing.",
          .parts = {{"compute", 2}, {"wait", 7}},
          .lanes = {{"server", {{0, 6, 0}, {6, 10, 1}}}, {"worker 1", {{0, 10, 1, 0.0, 0.25}}}}};
}

TEST_CASE("a time line has a path per lane and part, and the numbers for the script") {
  const std::string html = render_timeline(example());
  CHECK(count(html, "class=\"piece c2\"") == 1);
  CHECK(count(html, "class=\"piece c7\"") == 2);
  CHECK(contains(html, "d=\"M0.0 50.0H600.0V450.0H0.0Z\""));
  // A quarter of the lower lane, from its bottom up.
  CHECK(contains(html, "d=\"M0.0 850.0H1000.0V950.0H0.0Z\""));
  CHECK(contains(html,
                 "{\"label\":\"milliseconds\",\"unit\":\"ms\",\"x\":[0.0,10.0],"
                 "\"lanes\":[[[0.0,6.0,0,0.0,1.0],[6.0,10.0,1,0.0,1.0]],"
                 "[[0.0,10.0,1,0.0,0.25]]]}"));
  CHECK(contains(html, "<li data-line=\"1\" class=\"c7\">wait</li>"));
  CHECK(contains(html, ">worker 1</span>"));
  CHECK(contains(html, "Blank: nothing."));
}

TEST_CASE("a time line leaves out what cannot be drawn") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  timeline t = example();
  t.lanes = {{"<b>", {{nan, 1, 0}, {2, 1, 0}, {0, 1, 0, 0.5, 0.5}, {0, 1, 0, 0, 2}, {0, 1, 9}}}};
  t.title = t.remark = t.parts[0].name = "</script><b>";
  const std::string html = render_timeline(t);
  CHECK(count(html, "class=\"piece") == 0);
  CHECK_FALSE(contains(html, "<b>"));
  CHECK(count(html, "</script>") == 1);
  CHECK(contains(render_timeline({}), "nothing was measured"));
  t.lanes.assign(40, {"w", {{0, 1, 0}}});
  const std::string many = render_timeline(t);
  CHECK(count(many, "class=\"piece") == 32);
  CHECK(contains(many, "8 more are left out."));
}

TEST_CASE("a page keeps the first, the last and evenly spaced pictures") {
  std::vector<picture> all;
  for (int i = 0; i <= 16; ++i) all.push_back({"fakes", i, std::vector<std::byte>(100)});
  all.push_back({"reals", 0, std::vector<std::byte>(50)});
  const auto iterations = [&](std::size_t budget) {
    std::vector<picture> kept = all;
    thin_pictures(kept, budget);
    std::vector<std::int64_t> found;
    for (const picture& p : kept) found.push_back(p.caption == "reals" ? -1 : p.iteration);
    return found;
  };
  CHECK(iterations(10000).size() == all.size());
  CHECK(iterations(1000) == std::vector<std::int64_t>{0, 2, 4, 6, 8, 10, 12, 14, 16, -1});
  CHECK(iterations(500) == std::vector<std::int64_t>{0, 8, 16, -1});
  CHECK(iterations(250) == std::vector<std::int64_t>{0, 16, -1});
  CHECK(iterations(100) == std::vector<std::int64_t>{16, -1});
  CHECK(iterations(0) == std::vector<std::int64_t>{16, -1});
}

}  // namespace
}  // namespace gantry::io
