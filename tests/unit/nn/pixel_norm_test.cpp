// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <tuple>

#include <doctest/doctest.h>

#include "gantry/nn/pixel_norm.hpp"

#include "support/grad_check.hpp"
#include "support/penalty_check.hpp"
#include "support/tangent_check.hpp"

using namespace gantry;
using doctest::Approx;
using test::check_gradients;
using test::check_penalty;
using test::check_tangents;

TEST_CASE("pixel_norm: keeps the extents, has no parameters") {
  constexpr hwc in{4, 5, 6};
  static_assert(pixel_norm::output_shape(in) == in, "pixel_norm keeps the extents");
  static_assert(pixel_norm::param_count(in) == 0 && pixel_norm::saved_count(in, 3) == 0,
                "nothing is learned, nothing kept");
  CHECK(pixel_norm::tensors(in, in).empty());
}

TEST_CASE("pixel_norm: the mean square of a pixel's channels becomes 1") {
  backend::reference<double> b;
  sequential<image<1, 3, 2>, pixel_norm> net;
  const std::vector<double> x{3, 4, -6, 8, 0, 0};
  decltype(net)::tape<backend::reference<double>> tape(b, 1);
  net.forward(b, {{}, {}}, {x.data(), 1}, tape, mode::train, {});
  const double* y = tape.output().data;
  CHECK(y[0] == Approx(3 / std::sqrt(12.5)));
  CHECK(y[1] == Approx(4 / std::sqrt(12.5)));
  CHECK(y[2] == Approx(-6 / std::sqrt(50)));
  CHECK(y[3] == Approx(8 / std::sqrt(50)));
  CHECK(y[4] == 0);
  CHECK(y[5] == 0);
}

using gradient_nets =
    std::tuple<sequential<latent<5>, pixel_norm>, sequential<image<3, 2, 4>, pixel_norm>,
               sequential<image<3, 2, 4>, conv2d<3, 2>, pixel_norm, leaky_relu, linear<2>>>;

TEST_CASE_TEMPLATE_DEFINE("pixel_norm: gradients", net, pixel_norm_gradients) {
  for (const int n : {1, 2, 3}) CHECK(check_gradients(net{}, {.n = n}));
}
TEST_CASE_TEMPLATE_APPLY(pixel_norm_gradients, gradient_nets);

TEST_CASE("pixel_norm: tangents and second derivatives") {
  pixel_norm coarse;
  coarse.epsilon = 0.1f;
  for (const int n : {1, 3}) {
    CHECK(check_tangents<hwc{1, 1, 7}>(pixel_norm{}, {.n = n}));
    CHECK(check_tangents<hwc{3, 2, 5}>(pixel_norm{}, {.n = n}));
    CHECK(check_tangents<hwc{2, 2, 3}>(coarse, {.n = n}));
  }
}

TEST_CASE("pixel_norm: penalties through a network") {
  CHECK(check_penalty(sequential<image<4, 3, 2>, conv2d<3, 2>, pixel_norm, leaky_relu, conv2d<2, 2>,
                                 pixel_norm, linear<1>>{}));
}
