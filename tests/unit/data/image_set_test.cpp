// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include "gantry/data/image_set.hpp"

#include <doctest/doctest.h>

using namespace gantry::data;

TEST_CASE("image_set: sizes follow from the extents") {
  const image_set set{2, 3, 2, std::vector<std::uint8_t>(36, 7), {1, 2, 3}, "toy"};
  CHECK(set.sample_size() == 12);
  CHECK(set.size() == 3);
  CHECK(set.image(2).size() == 12);
  CHECK(image_set{}.size() == 0);
}

TEST_CASE("image_set: pixels map onto [-1, 1]") {
  static_assert(pixel_to_float[0] == -1.0f && pixel_to_float[255] == 1.0f,
                "the ends of the pixel range have to be exact");
  for (std::size_t x = 0; x < 256; ++x) {
    CHECK(pixel_to_float[x] == doctest::Approx(x / 127.5 - 1).epsilon(1e-7));
    CHECK(pixel_to_float[x] == -pixel_to_float[255 - x]);
  }
}
