// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <set>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/tensor/blocked.hpp"
#include "gantry/tensor/view.hpp"

using namespace gantry;

namespace {

constexpr hwc shapes[] = {{1, 1, 1},  {1, 1, 15}, {1, 1, 16},  {1, 1, 100}, {5, 4, 3},  {3, 2, 16},
                          {2, 3, 17}, {7, 7, 48}, {28, 28, 1}, {2, 6, 1},   {1, 1, 96}, {1, 12, 1}};

/// Where every scalar of a batch lies, in canonical order.
template <class Layout>
std::vector<std::size_t> places(hwc sample, int n) {
  std::vector<std::size_t> all;
  for (int i = 0; i < n; ++i)
    for (int k = 0; k < sample.size(); ++k) all.push_back(Layout::offset(sample, n, i, k));
  return all;
}

}  // namespace

TEST_CASE_TEMPLATE("layouts: every scalar has a place of its own", layout, nhwc, blocked) {
  for (const hwc sample : shapes)
    for (const int n : {1, 2, 5}) {
      const auto all = places<layout>(sample, n);
      const std::set<std::size_t> distinct(all.begin(), all.end());
      CHECK(distinct.size() == all.size());
      CHECK(*distinct.rbegin() < layout::elements(sample, n));
    }
}

TEST_CASE_TEMPLATE("layouts: a run lies together", layout, nhwc, blocked) {
  for (const hwc sample : shapes)
    for (int k = 0; k < sample.size();) {
      const int length = layout::run(sample, k);
      REQUIRE(length > 0);
      REQUIRE(k + length <= sample.size());
      for (int j = 0; j < length; ++j)
        CHECK(layout::offset(sample, 3, 2, k + j) ==
              layout::offset(sample, 3, 2, k) + static_cast<std::size_t>(j));
      k += length;
    }
}

TEST_CASE_TEMPLATE("layouts: a free reshape moves nothing", layout, nhwc, blocked) {
  for (const hwc from : shapes)
    for (const hwc to : shapes) {
      if (from.size() != to.size()) continue;
      const bool same = places<layout>(from, 3) == places<layout>(to, 3) &&
                        layout::elements(from, 3) == layout::elements(to, 3);
      if (layout::reshape_is_free(from, to)) CHECK(same);
      if (from == to) CHECK(layout::reshape_is_free(from, to));
    }
  CHECK(blocked::reshape_is_free({1, 1, 96}, {2, 3, 16}));
  CHECK_FALSE(blocked::reshape_is_free({1, 12, 1}, {2, 6, 1}));
}

TEST_CASE("layouts: the blocked order is [h][w][c / 16][n][16], thin images [h][n][w][c]") {
  // Pixel (1, 2) of 2 x 3, channel 17 of 33: block 1 of 3, lane 1; sample 4 of 5.
  CHECK(blocked::offset({2, 3, 33}, 5, 4, (1 * 3 + 2) * 33 + 17) ==
        (((1 * 3 + 2) * 3 + 1) * 5 + 4) * 16 + 1);
  CHECK(blocked::offset({4, 3, 2}, 5, 4, (3 * 3 + 1) * 2 + 1) == (3 * 5 + 4) * 6 + 1 * 2 + 1);
  CHECK(blocked::elements({2, 3, 33}, 5) == 2 * 3 * 48 * 5);
  CHECK(blocked::elements({4, 3, 2}, 5) == 4 * 3 * 2 * 5 + 16);
}
