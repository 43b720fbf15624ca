// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <tuple>

#include <doctest/doctest.h>

#include "gantry/nn/grouped_conv2d.hpp"

#include "support/grad_check.hpp"
#include "support/penalty_check.hpp"
#include "support/tangent_check.hpp"

using namespace gantry;
using test::check_gradients;
using test::check_penalty;
using test::check_tangents;

TEST_CASE("grouped_conv2d: extents, counts, FLOPs and tensors") {
  using layer = grouped_conv2d<12, 3, 2, 1, 4>;
  constexpr hwc in{9, 8, 8};
  static_assert(layer::output_shape(in) == hwc{5, 4, 12}, "as conv2d");
  static_assert(layer::param_count(in) == 12 * 9 * 2 + 12, "two channels per filter, and biases");
  static_assert(grouped_conv2d<12, 3, 2, 1, 4, bias::no>::param_count(in) == 12 * 9 * 2,
                "no biases");
  CHECK(layer::flops(in).forward == 2.0 * 12 * 9 * 2 * 20);
  const auto all = layer::tensors(in, layer::output_shape(in));
  REQUIRE(all.size() == 2);
  CHECK(all[0].name == "weight");
  CHECK(all[0].shape == std::vector<std::int64_t>{12, 2, 3, 3});
  CHECK(all[0].size() == 12 * 9 * 2);
  CHECK(all[1].offset == 12 * 9 * 2);
}

TEST_CASE("grouped_conv2d: a filter sees its group alone") {
  sequential<image<1, 1, 4>, grouped_conv2d<2, 1, 1, 0, 2>> net;
  backend::reference<double> b;
  std::vector<double> params{1, 10, 100, 1000, 0.5, 0.25}, x{1, 2, 3, 4};
  decltype(net)::tape<backend::reference<double>> tape(b, 1);
  net.forward(b, {params, {}}, {x.data(), 1}, tape, mode::train, {});
  CHECK(tape.output().data[0] == 21.5);
  CHECK(tape.output().data[1] == 4300.25);
}

using gradient_nets = std::tuple<
    sequential<image<4, 3, 4>, grouped_conv2d<6, 3, 1, 1, 2>>,
    sequential<image<5, 4, 3>, grouped_conv2d<3, 2, 2, 0, 3, bias::no>>,
    sequential<image<4, 3, 2>, conv2d<4, 2>, leaky_relu, grouped_conv2d<2, 2, 1, 1, 2>, tanh_>>;

TEST_CASE_TEMPLATE_DEFINE("grouped_conv2d: gradients", net, grouped_conv2d_gradients) {
  for (const int n : {1, 3}) CHECK(check_gradients(net{}, {.n = n}));
}
TEST_CASE_TEMPLATE_APPLY(grouped_conv2d_gradients, gradient_nets);

TEST_CASE("grouped_conv2d: tangents, merged gradients and penalties") {
  for (const int n : {1, 3}) {
    CHECK(check_tangents<hwc{4, 3, 4}>(grouped_conv2d<6, 3, 1, 1, 2>{}, {.n = n}));
    CHECK(check_tangents<hwc{4, 3, 4}>(grouped_conv2d<4, 2, 2, 0, 4, bias::no>{}, {.n = n}));
  }
  CHECK(check_penalty(sequential<image<5, 4, 2>, conv2d<4, 3, 1, 1>, leaky_relu,
                                 grouped_conv2d<4, 3, 2, 1, 2>, tanh_, linear<1>>{}));
}
