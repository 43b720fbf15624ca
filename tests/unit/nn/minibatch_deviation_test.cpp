// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <tuple>

#include <doctest/doctest.h>

#include "gantry/nn/minibatch_deviation.hpp"

#include "support/grad_check.hpp"
#include "support/penalty_check.hpp"
#include "support/tangent_check.hpp"

using namespace gantry;
using doctest::Approx;
using test::check_gradients;

TEST_CASE("minibatch_deviation: one channel more, no parameters") {
  static_assert(minibatch_deviation<4>::output_shape({4, 5, 16}) == hwc{4, 5, 17}, "one more");
  static_assert(minibatch_deviation<>::param_count({4, 5, 16}) == 0, "nothing is learned");
  static_assert(minibatch_deviation<>::couples_samples, "samples see each other");
  CHECK(minibatch_deviation<>::tensors({4, 5, 16}, {4, 5, 17}).empty());
}

TEST_CASE("minibatch_deviation: by hand") {
  sequential<image<1, 2, 1>, minibatch_deviation<2>> net;
  backend::reference<double> b;
  // Samples 0 and 2 are a group, 1 and 3 another.
  const std::vector<double> x{1, 10, 0, 0, 3, 18, 0, 0};
  decltype(net)::tape<backend::reference<double>> tape(b, 4);
  net.forward(b, {{}, {}}, {x.data(), 4}, tape, mode::train, {});
  const double* y = tape.output().data;
  for (const int sample : {0, 2}) {
    CHECK(y[4 * sample] == x[static_cast<std::size_t>(2 * sample)]);
    CHECK(y[4 * sample + 1] == Approx((1 + 4) / 2.0));
    CHECK(y[4 * sample + 3] == Approx((1 + 4) / 2.0));
    CHECK(y[4 * sample + 5] == Approx(1e-4));
  }
}

using gradient_nets =
    std::tuple<sequential<latent<3>, minibatch_deviation<2>>,
               sequential<image<3, 2, 2>, minibatch_deviation<4>>,
               sequential<image<3, 3, 1>, conv2d<2, 2>, minibatch_deviation<3>, conv2d<2, 2>>>;

TEST_CASE_TEMPLATE_DEFINE("minibatch_deviation: gradients", net, minibatch_deviation_gradients) {
  for (const int n : {2, 4, 5}) CHECK(check_gradients(net{}, {.n = n}));
}
TEST_CASE_TEMPLATE_APPLY(minibatch_deviation_gradients, gradient_nets);

TEST_CASE("minibatch_deviation: tangent, second derivatives and the gradient of a penalty") {
  for (const int n : {2, 5}) {
    CHECK(test::check_tangents<hwc{2, 1, 3}>(minibatch_deviation<2>{}, {.n = n}));
    CHECK(test::check_tangents<hwc{1, 1, 4}>(minibatch_deviation<4>{}, {.n = n, .seed = 3}));
  }
  using net = sequential<image<3, 3, 1>, conv2d<2, 2>, leaky_relu, minibatch_deviation<3>,
                         conv2d<2, 2>, leaky_relu, linear<1>>;
  CHECK(test::check_penalty(net{}, {.n = 5}));
}
