// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The passes for penalties of every layer that has no test file of its own for them.
#include <doctest/doctest.h>

#include "gantry/nn/layers.hpp"

#include "support/tangent_check.hpp"

using namespace gantry;
using test::check_tangents;

namespace {
constexpr hwc image_in{5, 4, 3};
}

TEST_CASE("tangents: layers of products") {
  for (const int n : {1, 3}) {
    CHECK(check_tangents<hwc{2, 1, 3}>(linear<4>{}, {.n = n}));
    CHECK(check_tangents<hwc{2, 1, 3}>(linear<1, bias::no>{}, {.n = n}));
    CHECK(check_tangents<image_in>(conv2d<2, 3, 2, 1>{}, {.n = n}));
    CHECK(check_tangents<image_in>(conv2d<3, 2, 1, 0, bias::no>{}, {.n = n}));
    CHECK(check_tangents<image_in>(conv_transpose2d<2, 3, 2, 1>{}, {.n = n}));
  }
}

TEST_CASE("tangents: activations, dropout and reshapes") {
  for (const int n : {1, 3}) {
    CHECK(check_tangents<image_in>(relu{}, {.n = n}));
    CHECK(check_tangents<image_in>(leaky_relu{}, {.n = n}));
    CHECK(check_tangents<image_in>(tanh_{}, {.n = n}));
    CHECK(check_tangents<image_in>(sigmoid{}, {.n = n}));
    CHECK(check_tangents<image_in>(dropout{}, {.n = n}));
    CHECK(check_tangents<image_in>(dropout{}, {.n = n, .run_mode = mode::evaluate}));
    CHECK(check_tangents<image_in>(reshape<2, 5, 6>{}, {.n = n}));
    CHECK(check_tangents<image_in>(flatten{}, {.n = n}));
  }
}

TEST_CASE("tangents: a residual block") {
  using bent = path<conv2d<3, 3, 1, 1>, tanh_, conv2d<3, 1>>;
  CHECK(check_tangents<image_in>(residual<bent>{}));
}
