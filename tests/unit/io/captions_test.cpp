// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/io/captions.hpp"

namespace gantry::inline v0::io {
namespace {

TEST_CASE("captions: letters differ and are read row by row") {
  raster picture{4, 5, 1, std::vector<std::uint8_t>(20, 255)};
  draw_text(picture, 0, 0, "L");
  const std::vector<std::uint8_t> letter{0,   255, 255, 255, 0,   255, 255, 255, 0, 255,
                                         255, 255, 0,   255, 255, 255, 0,   0,   0, 255};
  CHECK(picture.pixels == letter);
  std::set<int> seen;
  const std::string_view alphabet = "0123456789abcdefghijklmnpqrstuvwxyz .,:-+=/_()";
  for (const char c : alphabet) seen.insert(glyph(c));
  CHECK(seen.size() == alphabet.size());
  CHECK(glyph('Q') == glyph('q'));
  CHECK(glyph('%') == glyph('\xff'));
}

TEST_CASE("captions: text is cut off at the edges of a picture") {
  raster picture{6, 4, 3, std::vector<std::uint8_t>(72, 255)};
  draw_text(picture, -2, -2, "88888", 3, 7);
  draw_text(picture, 5, 3, "8");
  CHECK(std::ranges::count(picture.pixels, 7) > 0);
}

TEST_CASE("captions: a grid keeps its images and gets a strip of text under each row") {
  const std::vector<float> images(3 * 9 * 8, 1.0f);
  const std::vector<std::string> captions{"0", "", "much too long"};
  const grid_options o{.count = 3, .height = 9, .width = 8, .channels = 1, .columns = 2};
  const raster plain = image_grid(images, o), grid = captioned_grid(images, captions, o);
  REQUIRE(grid.height == plain.height + 2 * 16);
  CHECK(grid.width == plain.width);
  const auto line = [](const raster& r, int y) {
    const auto first = r.pixels.begin() + static_cast<std::ptrdiff_t>(y) * r.width;
    return std::vector<std::uint8_t>(first, first + r.width);
  };
  for (int y = 0; y < 11; ++y) CHECK(line(grid, y) == line(plain, y));
  for (int y = 11; y < 22; ++y) CHECK(line(grid, y + 16) == line(plain, y));
  for (int y = 22; y < plain.height; ++y) CHECK(line(grid, y + 32) == line(plain, y));
  // The ink of one letter under the first image, and of the one that fits under the third.
  const auto ink = [&](int top) {
    return std::ranges::count(
        std::vector<std::uint8_t>(grid.pixels.begin() + top * grid.width,
                                  grid.pixels.begin() + (top + 16) * grid.width),
        0);
  };
  CHECK(ink(11) == 4 * 12);
  CHECK(ink(38) == 4 * 12);
  CHECK_THROWS_AS((void)captioned_grid(images, std::vector<std::string>(2), o), usage_error);
}

}  // namespace
}  // namespace gantry::io
