// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <type_traits>

#include <doctest/doctest.h>

#include "gantry/tensor/shape.hpp"

using namespace gantry;

namespace {

template <hwc Shape>
struct typed {};

}  // namespace

TEST_CASE("shape: sizes and equality are constants") {
  constexpr hwc s{2, 3, 4};
  static_assert(s.size() == 24, "height times width times channels");
  static_assert(s.pixels() == 6, "height times width");
  static_assert(s == hwc{2, 3, 4}, "compares by value");
  static_assert(s != hwc{3, 2, 4}, "height is not width");
  static_assert(hwc{}.size() == 1, "a single number by default");
  CHECK(s.size() == 24);
}

TEST_CASE("shape: a shape can be a template argument") {
  static_assert(std::is_same_v<typed<hwc{1, 2, 3}>, typed<hwc{1, 2, 3}>>,
                "same extents, same type");
  static_assert(!std::is_same_v<typed<hwc{1, 2, 3}>, typed<hwc{3, 2, 1}>>, "other extents, other");
  CHECK(image<28, 20, 3>::shape == hwc{28, 20, 3});
  CHECK(latent<100>::shape == hwc{1, 1, 100});
}
