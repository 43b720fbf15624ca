// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <tuple>

#include <doctest/doctest.h>

#include "gantry/nn/conv_transpose2d.hpp"

#include "support/grad_check.hpp"

using namespace gantry;
using test::check_gradients;

TEST_CASE("conv_transpose2d: extents, counts and FLOPs") {
  using layer = conv_transpose2d<8, 4, 2, 1>;
  constexpr hwc in{7, 5, 3};
  static_assert(layer::output_shape(in) == hwc{14, 10, 8}, "kernel 4, stride 2, pad 1 doubles");
  static_assert(conv_transpose2d<8, 5, 2, 2, bias::no, 1>::output_shape(in) == hwc{14, 10, 8},
                "kernel 5, stride 2, pad 2, output padding 1 doubles");
  static_assert(conv_transpose2d<6, 4>::output_shape({1, 1, 100}) == hwc{4, 4, 6},
                "one pixel becomes a kernel");
  static_assert(layer::param_count(in) == 3 * 4 * 4 * 8 + 8, "weights and a bias per channel");
  static_assert(conv_transpose2d<8, 4, 2, 1, bias::no>::param_count(in) == 3 * 4 * 4 * 8,
                "no bias");
  static_assert(layer::geometry(in).in == hwc{14, 10, 8}, "the convolution reads our output");
  static_assert(layer::geometry(in).out() == in, "the convolution writes our input");
  static_assert(layer::buffer_count(in) == 0, "conv_transpose2d has no running statistics");
  static_assert(layer::saved_count(in, 5) == 0, "conv_transpose2d saves nothing");
  const double products = 2.0 * 7 * 5 * 3 * 4 * 4 * 8;
  CHECK(layer::flops(in).forward == products);
  CHECK(layer::flops(in).input_gradient == products);
  CHECK(layer::flops(in).weight_gradient == products);
}

TEST_CASE("conv_transpose2d: tensors are a PyTorch ConvTranspose2d's") {
  const auto all = conv_transpose2d<8, 5, 2, 1>::tensors({7, 5, 3}, {});
  REQUIRE(all.size() == 2);
  CHECK(all[0].name == "weight");
  CHECK(all[0].storage_extents == std::vector<int>{3, 5, 5, 8});
  CHECK(all[0].order == std::vector<int>{0, 3, 1, 2});
  CHECK(all[0].shape == std::vector<std::int64_t>{3, 8, 5, 5});
  CHECK(all[1].name == "bias");
  CHECK(all[1].offset == 600);
  CHECK(all[1].shape == std::vector<std::int64_t>{8});
  CHECK(conv_transpose2d<8, 5, 2, 1, bias::no>::tensors({7, 5, 3}, {}).size() == 1);
}

TEST_CASE("conv_transpose2d: stamps of the kernel by hand") {
  // Two pixels in a row stamp a 1 x 3 window's middle row (3 x 3 kernel, pad 1, stride 2).
  sequential<image<1, 2, 1>, conv_transpose2d<1, 3, 2, 1, bias::yes, 1>> net;
  static_assert(net.output_shape == hwc{2, 4, 1}, "doubled by the output padding");
  backend::reference<double> b;
  std::vector<double> x{1, 10}, params{1, 2, 3, 4, 5, 6, 7, 8, 9, 0.5};
  decltype(net)::tape<backend::reference<double>> tape(b, 1);
  net.forward(b, {params, {}}, {x.data(), 1}, tape, mode::train, {});
  const double* y = tape.output().data;
  CHECK(std::vector<double>(y, y + 8) ==
        std::vector<double>{5.5, 46.5, 50.5, 60.5, 8.5, 79.5, 80.5, 90.5});
}

using gradient_nets =
    std::tuple<sequential<image<1, 1, 1>, conv_transpose2d<1, 1>>,
               sequential<latent<5>, conv_transpose2d<3, 4, 1, 0, bias::no>>,
               sequential<image<1, 1, 2>, conv_transpose2d<2, 5, 3, 1>>,
               sequential<image<3, 2, 2>, conv_transpose2d<3, 1>>,
               sequential<image<2, 3, 2>, conv_transpose2d<2, 1, 2>>,  // holes
               sequential<image<2, 2, 1>, conv_transpose2d<2, 1, 3, 0, bias::no, 2>>,
               sequential<image<3, 2, 1>, conv_transpose2d<3, 2>>,
               sequential<image<2, 3, 2>, conv_transpose2d<2, 2, 3, 1, bias::yes, 1>>,
               sequential<image<4, 3, 3>, conv_transpose2d<2, 3, 1, 1, bias::no>>,
               sequential<image<2, 3, 2>, conv_transpose2d<2, 3, 2, 1, bias::yes, 1>>,
               sequential<image<3, 2, 2>, conv_transpose2d<3, 4, 2, 1>>,
               sequential<image<2, 2, 2>, conv_transpose2d<2, 5, 2, 2, bias::yes, 1>>,
               sequential<image<2, 2, 1>, conv_transpose2d<2, 4, 3, 2, bias::yes, 2>>,
               sequential<image<2, 2, 3>, conv_transpose2d<2, 4, 2, 1>, conv2d<2, 3, 2>>>;

TEST_CASE_TEMPLATE_DEFINE("conv_transpose2d: gradients", net, conv_transpose2d_gradients) {
  for (const int n : {1, 2, 5}) CHECK(check_gradients(net{}, {.n = n}));
}
TEST_CASE_TEMPLATE_APPLY(conv_transpose2d_gradients, gradient_nets);
