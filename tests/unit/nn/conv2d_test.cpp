// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <tuple>

#include <doctest/doctest.h>

#include "gantry/nn/conv2d.hpp"

#include "support/grad_check.hpp"

using namespace gantry;
using test::check_gradients;

TEST_CASE("conv2d: extents, counts and FLOPs") {
  using layer = conv2d<8, 4, 2, 1>;
  constexpr hwc in{28, 20, 3};
  static_assert(layer::output_shape(in) == hwc{14, 10, 8}, "kernel 4, stride 2, pad 1 halves");
  static_assert(conv2d<5, 3>::output_shape(in) == hwc{26, 18, 5}, "a valid convolution loses 2");
  static_assert(conv2d<1, 4>::output_shape({4, 4, 9}) == hwc{1, 1, 1}, "down to one pixel");
  static_assert(conv2d<1, 3, 3>::output_shape({8, 9, 1}) == hwc{2, 3, 1}, "the rest is left out");
  static_assert(layer::param_count(in) == 8 * 4 * 4 * 3 + 8, "weights and a bias per filter");
  static_assert(conv2d<8, 4, 2, 1, bias::no>::param_count(in) == 8 * 4 * 4 * 3, "no bias");
  static_assert(layer::buffer_count(in) == 0, "conv2d has no running statistics");
  static_assert(layer::saved_count(in, 5) == 0, "conv2d saves nothing");
  const double products = 2.0 * 14 * 10 * 8 * 4 * 4 * 3;
  CHECK(layer::flops(in).forward == products);
  CHECK(layer::flops(in).input_gradient == products);
  CHECK(layer::flops(in).weight_gradient == products);
}

TEST_CASE("conv2d: tensors are a PyTorch Conv2d's") {
  const auto all = conv2d<8, 5, 2, 1>::tensors({28, 20, 3}, {});
  REQUIRE(all.size() == 2);
  CHECK(all[0].name == "weight");
  CHECK(all[0].storage_extents == std::vector<int>{8, 5, 5, 3});
  CHECK(all[0].order == std::vector<int>{0, 3, 1, 2});
  CHECK(all[0].shape == std::vector<std::int64_t>{8, 3, 5, 5});
  CHECK(all[1].name == "bias");
  CHECK(all[1].offset == 600);
  CHECK(all[1].shape == std::vector<std::int64_t>{8});
  CHECK(conv2d<8, 5, 2, 1, bias::no>::tensors({28, 20, 3}, {}).size() == 1);
}

TEST_CASE("conv2d: initial weights follow the fan-in, biases are 0") {
  using layer = conv2d<64, 3>;
  constexpr hwc in{8, 8, 32};
  std::vector<float> params(layer::param_count(in), 7.0f);
  layer{.weight_init = {.how = nn::initialiser::rule::he}}.initialise(params, {}, in, {});
  double square = 0;
  for (std::size_t i = 0; i < layer::weight_count(in); ++i) square += params[i] * params[i];
  // 18,432 draws: the deviation is known to 0.5 %.
  CHECK(std::sqrt(square / layer::weight_count(in)) ==
        doctest::Approx(std::sqrt(2.0 / (3 * 3 * 32))).epsilon(0.02));
  for (std::size_t i = layer::weight_count(in); i < params.size(); ++i) CHECK(params[i] == 0.0f);
}

TEST_CASE("conv2d: a cross-correlation by hand, with padding and two channels") {
  // 2 x 3 pixels of two channels, one 2 x 2 filter, pad 1, stride 2: outputs 2 x 2.
  sequential<image<2, 3, 2>, conv2d<1, 2, 2, 1>> net;
  static_assert(net.output_shape == hwc{2, 2, 1}, "two steps of two pixels over four and five");
  backend::reference<double> b;
  std::vector<double> x{1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6};
  // weight[ky][kx][c] = 1000, 0 | 100, 0 | 10, 0 | 1, 0.5; bias 7
  std::vector<double> params{1000, 0, 100, 0, 10, 0, 1, 0.5, 7};
  decltype(net)::tape<backend::reference<double>> tape(b, 1);
  net.forward(b, {params, {}}, {x.data(), 1}, tape, mode::train, {});
  const double* y = tape.output().data;
  // (0, 0) sees x[0][0] at tap (1, 1); (0, 1) sees x[0][1], x[0][2] at (1, 0), (1, 1); and so on.
  CHECK(y[0] == doctest::Approx(1 - 0.5 + 7));
  CHECK(y[1] == doctest::Approx(20 + 3 - 1.5 + 7));
  CHECK(y[2] == doctest::Approx(400 + 7));
  CHECK(y[3] == doctest::Approx(5000 + 600 + 7));
}

using gradient_nets = std::tuple<
    sequential<image<1, 1, 1>, conv2d<1, 1>>, sequential<image<1, 1, 3>, conv2d<2, 3, 1, 1>>,
    sequential<image<1, 1, 2>, conv2d<2, 5, 3, 2>>, sequential<image<4, 3, 2>, conv2d<3, 1>>,
    sequential<image<5, 4, 2>, conv2d<2, 1, 2>>,
    sequential<image<3, 2, 1>, conv2d<2, 1, 1, 1>>,  // pad over kernel
    sequential<image<4, 5, 1>, conv2d<3, 2>>, sequential<image<5, 3, 2>, conv2d<2, 2, 3, 1>>,
    sequential<image<4, 6, 3>, conv2d<2, 3, 1, 1, bias::no>>,
    sequential<image<7, 5, 2>, conv2d<3, 3, 2>>,  // rest left out
    sequential<image<6, 4, 2>, conv2d<3, 4, 2, 1>>,
    sequential<image<4, 4, 5>, conv2d<1, 4, 1, 0, bias::no>>,  // to one pixel
    sequential<image<7, 6, 1>, conv2d<2, 5, 3, 2>>,
    sequential<image<5, 6, 1>, conv2d<2, 5, 1, 4>>,  // wide padding
    sequential<image<5, 5, 2>, conv2d<3, 3, 2, 1>, conv2d<2, 3>>>;

TEST_CASE_TEMPLATE_DEFINE("conv2d: gradients", net, conv2d_gradients) {
  for (const int n : {1, 2, 5}) CHECK(check_gradients(net{}, {.n = n}));
}
TEST_CASE_TEMPLATE_APPLY(conv2d_gradients, gradient_nets);
