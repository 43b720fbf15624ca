// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <tuple>

#include <doctest/doctest.h>

#include "gantry/nn/minibatch_discrimination.hpp"

#include "support/grad_check.hpp"
#include "support/penalty_check.hpp"
#include "support/tangent_check.hpp"

using namespace gantry;
using doctest::Approx;
using test::check_gradients;

TEST_CASE("minibatch_discrimination: extents, counts and FLOPs") {
  using layer = minibatch_discrimination<50, 5>;
  constexpr hwc in{4, 4, 512};
  static_assert(layer::output_shape(in) == hwc{1, 1, 8192 + 50}, "one number more per kernel");
  static_assert(layer::param_count(in) == 8192 * 250, "a projection without bias");
  static_assert(layer::saved_count(in, 10) == 2 * (10 * 256 + 16), "M and its gradient");
  static_assert(layer::buffer_count(in) == 0, "no running statistics");
  CHECK(layer::flops(in).forward == 2.0 * 8192 * 250);
}

TEST_CASE("minibatch_discrimination: one weight tensor") {
  const auto all = minibatch_discrimination<4, 3>::tensors({2, 2, 5}, {1, 1, 24});
  REQUIRE(all.size() == 1);
  CHECK(all[0].name == "weight");
  CHECK(all[0].storage_extents == std::vector<int>{12, 2, 2, 5});
  CHECK(all[0].shape == std::vector<std::int64_t>{12, 20});
}

TEST_CASE("minibatch_discrimination: similarities by hand") {
  // Identity projections of two features: kernel 0 sees both (dims 2).
  sequential<latent<2>, minibatch_discrimination<1, 2>> net;
  backend::reference<double> b;
  std::vector<double> params{1, 0, 0, 1}, x{0, 0, 1, 0, 1, 2};
  decltype(net)::tape<backend::reference<double>> tape(b, 3);
  net.forward(b, {params, {}}, {x.data(), 3}, tape, mode::train, {});
  const double* y = tape.output().data;
  const double near = std::exp(-1.0), far = std::exp(-2.0), farthest = std::exp(-3.0);
  const double similarity[] = {near + farthest, near + far, farthest + far};
  for (int i = 0; i < 3; ++i) {
    CHECK(y[3 * i] == x[static_cast<std::size_t>(2 * i)]);
    CHECK(y[3 * i + 1] == x[static_cast<std::size_t>(2 * i + 1)]);
    CHECK(y[3 * i + 2] == Approx(similarity[i]));
  }
}

TEST_CASE("minibatch_discrimination: a sample alone resembles nobody") {
  sequential<latent<2>, minibatch_discrimination<3, 2>> net;
  backend::reference<double> b;
  std::vector<double> params(12, 1.0), x{4, 5};
  decltype(net)::tape<backend::reference<double>> tape(b, 1);
  net.forward(b, {params, {}}, {x.data(), 1}, tape, mode::train, {});
  const double* y = tape.output().data;
  CHECK(std::vector<double>(y, y + 5) == std::vector<double>{4, 5, 0, 0, 0});
}

using gradient_nets =
    std::tuple<sequential<latent<3>, minibatch_discrimination<1, 1>>,
               sequential<latent<3>, minibatch_discrimination<4, 2>>,
               sequential<image<2, 3, 2>, minibatch_discrimination<2, 3>, linear<1>>,
               sequential<image<3, 3, 1>, conv2d<2, 2>, leaky_relu, dropout,
                          minibatch_discrimination<3, 2>, linear<2>>>;

TEST_CASE_TEMPLATE_DEFINE("minibatch_discrimination: gradients", net,
                          minibatch_discrimination_gradients) {
  for (const int n : {1, 2, 5}) {
    CHECK(check_gradients(net{}, {.n = n}));
    CHECK(check_gradients(net{}, {.n = n, .run_mode = mode::evaluate}));
  }
}
TEST_CASE_TEMPLATE_APPLY(minibatch_discrimination_gradients, gradient_nets);

TEST_CASE("minibatch_discrimination: tangent and second derivatives, other samples included") {
  for (const int n : {1, 4}) {
    CHECK(test::check_tangents<hwc{1, 1, 3}>(minibatch_discrimination<2, 3>{}, {.n = n}));
    CHECK(test::check_tangents<hwc{2, 1, 2}>(minibatch_discrimination<3, 1>{}, {.n = n}));
  }
}

TEST_CASE("minibatch_discrimination: the gradient of a penalty") {
  using net =
      sequential<latent<4>, linear<5>, leaky_relu, minibatch_discrimination<3, 2>, linear<1>>;
  CHECK(test::check_penalty(net{}, {.n = 4}));
  CHECK(test::check_penalty(net{}, {.n = 3}, gradient_norm::distance_from_one{}));
}
