// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <tuple>

#include <doctest/doctest.h>

#include "gantry/nn/reshape.hpp"

#include "support/grad_check.hpp"

using namespace gantry;
using test::check_gradients;

TEST_CASE("reshape and flatten: extents, nothing owned") {
  static_assert(reshape<2, 3, 4>::output_shape({1, 1, 24}) == hwc{2, 3, 4}, "as asked for");
  static_assert(flatten::output_shape({2, 3, 4}) == hwc{1, 1, 24}, "a vector");
  static_assert(reshape<2, 3, 4>::param_count({1, 1, 24}) == 0, "no parameters");
  static_assert(nn::is_in_place<flatten> && nn::is_in_place<reshape<1, 1, 1>>, "nothing moves");
  static_assert(nn::is_reshape<flatten> && nn::is_reshape<reshape<1, 1, 1>>, "no product between");
  CHECK(flatten::tensors({2, 3, 4}, {1, 1, 24}).empty());
}

TEST_CASE_TEMPLATE("reshape: a network of reshapes alone copies its numbers", net,  //
                   sequential<latent<12>, reshape<2, 3, 2>>,                        //
                   sequential<image<2, 3, 2>, flatten>,                             //
                   sequential<image<2, 3, 2>, flatten, reshape<3, 2, 2>>,           //
                   sequential<image<1, 12, 1>, reshape<12, 1, 1>, flatten, reshape<4, 3, 1>>) {
  using reference = backend::reference<double>;
  reference b;
  std::vector<double> x = test::normal_doubles(24, 1, 1), dx(24);
  const auto dy = test::normal_doubles(24, 2, 1);
  typename net::template tape<reference> tape(b, 2);
  net{}.forward(b, {}, {x.data(), 2}, tape, mode::train, {});
  CHECK(tape.output().data != x.data());
  CHECK(std::vector<double>(tape.output().data, tape.output().data + 24) == x);
  std::ranges::copy(dy, tape.output_gradient().data);
  net{}.backward(b, {}, {x.data(), 2}, tape, {}, {dx.data(), 2});
  CHECK(dx == dy);
}

using gradient_nets =
    std::tuple<sequential<latent<12>, reshape<2, 3, 2>>, sequential<image<2, 3, 2>, flatten>,
               sequential<latent<12>, reshape<2, 3, 2>, conv2d<2, 2>>,
               sequential<image<3, 2, 2>, flatten, linear<3>>,
               sequential<latent<3>, linear<12>, reshape<2, 3, 2>, batch_norm, tanh_>,
               sequential<latent<3>, linear<12>, tanh_, reshape<2, 3, 2>, conv2d<2, 2>>,
               sequential<latent<3>, linear<12>, tanh_, reshape<2, 3, 2>>,
               sequential<latent<3>, linear<12>, reshape<2, 3, 2>, tanh_, flatten>,
               sequential<image<4, 3, 1>, conv2d<2, 2>, flatten, reshape<2, 2, 3>, sigmoid, flatten,
                          dropout, linear<2>>>;

TEST_CASE_TEMPLATE_DEFINE("reshape: gradients at the start, in the middle and at the end", net,
                          reshape_gradients) {
  for (const int n : {1, 2, 5}) {
    if (n == 1 && net::buffer_count > 0) continue;  // a batch of one vector has no statistics
    CHECK(check_gradients(net{}, {.n = n}));
  }
}
TEST_CASE_TEMPLATE_APPLY(reshape_gradients, gradient_nets);
