// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include "gantry/data/transform.hpp"

#include <doctest/doctest.h>

using gantry::usage_error;
using namespace gantry::data;
using bytes = std::vector<std::uint8_t>;

namespace {

image_set grey(int height, int width, bytes pixels) {
  return {height, width, 1, std::move(pixels), {4, 5}, "toy"};
}

}  // namespace

TEST_CASE("transform: padding is centred and zero") {
  const image_set set{1, 2, 2, {1, 2, 3, 4, 5, 6, 7, 8}, {4, 5}, "toy"};
  const image_set out = pad_to(set, 3, 4);
  CHECK(out.height == 3);
  CHECK(out.width == 4);
  CHECK(out.labels == set.labels);
  CHECK(out.name == "toy");
  CHECK(out.pixels == bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0,
                            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                            0, 0, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  CHECK(pad_to(set, 1, 2).pixels == set.pixels);
  CHECK(pad_to(grey(1, 1, {9}), 2, 2).pixels == bytes{9, 0, 0, 0});
}

TEST_CASE("transform: 28 x 28 becomes 32 x 32 with a border of two") {
  const image_set out = pad_to(grey(28, 28, bytes(2 * 784, 1)), 32, 32);
  REQUIRE(out.size() == 2);
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t y = 0; y < 32; ++y)
      for (std::size_t x = 0; x < 32; ++x)
        REQUIRE(int{out.image(i)[y * 32 + x]} == (y >= 2 && y < 30 && x >= 2 && x < 30 ? 1 : 0));
}

TEST_CASE("transform: padding to something smaller is refused") {
  CHECK_THROWS_WITH_AS((void)pad_to(grey(2, 1, {1, 2}), 1, 1),
                       doctest::Contains("at least 2 x 1 but got 1 x 1"), usage_error);
}

TEST_CASE("transform: grey is replicated over channels") {
  const image_set set = grey(1, 1, {8, 9});
  const image_set out = to_channels(set, 3);
  CHECK(out.channels == 3);
  CHECK(out.size() == 2);
  CHECK(out.pixels == bytes{8, 8, 8, 9, 9, 9});
  CHECK(to_channels(out, 3).pixels == out.pixels);
  CHECK_THROWS_WITH_AS((void)to_channels(out, 1),
                       doctest::Contains("got 3 channels to turn into 1"), usage_error);
  CHECK_THROWS_AS((void)to_channels(set, 0), usage_error);
}

TEST_CASE("transform: bilinear resize uses half-pixel centres") {
  CHECK(resize_bilinear(grey(1, 2, {0, 100, 100, 0}), 1, 4).pixels ==
        bytes{0, 25, 75, 100, 100, 75, 25, 0});
  // Output centres of 3 -> 2 lie at 0.25 and 1.75 of the input.
  CHECK(resize_bilinear(grey(1, 3, {0, 100, 200}), 1, 2).pixels == bytes{25, 175});
  CHECK(resize_bilinear(grey(2, 2, {0, 40, 80, 120}), 4, 4).pixels ==
        bytes{0, 10, 30, 40, 20, 30, 50, 60, 60, 70, 90, 100, 80, 90, 110, 120});
  CHECK(resize_bilinear(grey(2, 2, {3, 1, 4, 1}), 2, 2).pixels == bytes{3, 1, 4, 1});
  CHECK(resize_bilinear(grey(1, 1, {7}), 2, 3).pixels == bytes(6, 7));
}

TEST_CASE("transform: bilinear resize keeps channels apart, constants and labels") {
  const image_set set{1, 2, 2, {0, 255, 100, 255}, {3}, "toy"};
  const image_set out = resize_bilinear(set, 2, 4);
  CHECK(out.pixels ==
        bytes{0, 255, 25, 255, 75, 255, 100, 255, 0, 255, 25, 255, 75, 255, 100, 255});
  CHECK(out.labels == set.labels);
  CHECK_THROWS_AS((void)resize_bilinear(set, 0, 4), usage_error);
  CHECK_THROWS_AS((void)resize_bilinear(image_set{}, 4, 4), usage_error);
}
