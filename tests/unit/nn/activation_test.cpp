// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include <doctest/doctest.h>

#include "gantry/nn/activation.hpp"

#include "support/grad_check.hpp"

using namespace gantry;
using doctest::Approx;
using test::check_gradients;

TEST_CASE_TEMPLATE("activation: keeps extents, owns nothing, works in place", layer, relu,
                   leaky_relu, tanh_, sigmoid) {
  constexpr hwc in{3, 4, 5};
  static_assert(layer::output_shape(in) == in, "an activation keeps the extents");
  static_assert(layer::param_count(in) == 0, "an activation has no parameters");
  static_assert(layer::buffer_count(in) == 0, "an activation has no running statistics");
  static_assert(layer::saved_count(in, 7) == 0, "an activation saves nothing");
  static_assert(nn::is_in_place<layer>, "an activation may overwrite its input");
  static_assert(nn::needs_own_output<layer>, "its backward reads its output");
  static_assert(!nn::is_reshape<layer>, "an activation is no reshape");
  CHECK(layer::tensors(in, in).empty());
  CHECK(layer::flops(in).forward == 0);
}

TEST_CASE("activation: values and derivatives") {
  using namespace gantry::function;
  CHECK(function::relu{}.value(3.0) == 3.0);
  CHECK(function::relu{}.value(-3.0) == 0.0);
  CHECK(function::relu{}.derivative(3.0) == 1.0);
  CHECK(function::relu{}.derivative(0.0) == 0.0);
  CHECK(function::leaky_relu{0.5f}.value(-3.0) == -1.5);
  CHECK(function::leaky_relu{0.5f}.value(3.0) == 3.0);
  CHECK(function::leaky_relu{0.5f}.derivative(-1.5) == 0.5);
  CHECK(function::leaky_relu{0.5f}.derivative(3.0) == 1.0);
  CHECK(function::tanh{}.value(0.5) == Approx(std::tanh(0.5)));
  CHECK(function::tanh{}.derivative(0.5) == 0.75);
  CHECK(function::sigmoid{}.value(2.0) == Approx(1 / (1 + std::exp(-2.0))));
  CHECK(function::sigmoid{}.derivative(0.25) == 0.1875);
}

TEST_CASE("activation: sigmoid does not overflow") {
  CHECK(function::sigmoid{}.value(1000.0f) == 1.0f);
  CHECK(function::sigmoid{}.value(-1000.0f) == 0.0f);
}

TEST_CASE_TEMPLATE("activation: NaN stays NaN", f, function::relu, function::leaky_relu,
                   function::tanh, function::sigmoid) {
  CHECK(std::isnan(f{}.value(std::numeric_limits<float>::quiet_NaN())));
  CHECK(std::isnan(f{}.value(std::numeric_limits<double>::quiet_NaN())));
}

TEST_CASE("activation: the slope is a setting of the layer") {
  sequential<latent<2>, leaky_relu> net;
  CHECK(net.layer<0>().slope == 0.2f);
  net.layer<0>().slope = 0.5f;
  backend::reference<double> b;
  std::vector<double> x{-4, 4};
  decltype(net)::tape<backend::reference<double>> tape(b, 1);
  net.forward(b, {}, {x.data(), 1}, tape, mode::train, {});
  CHECK(tape.output().data[0] == -2.0);
  CHECK(tape.output().data[1] == 4.0);
}

TEST_CASE_TEMPLATE("activation: gradients", layer, relu, leaky_relu, tanh_, sigmoid) {
  for (const int n : {1, 2, 5}) {
    CHECK(check_gradients(sequential<image<3, 2, 2>, layer>{}, {.n = n}));
    CHECK(check_gradients(sequential<latent<4>, linear<5>, layer>{}, {.n = n}));
    CHECK(check_gradients(sequential<latent<4>, layer, linear<5>>{}, {.n = n}));
    CHECK(
        check_gradients(sequential<latent<4>, layer, layer, linear<3>, layer, layer>{}, {.n = n}));
  }
}
