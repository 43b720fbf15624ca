// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/nn/layers.hpp"

#include "support/penalty_check.hpp"

using namespace gantry;

TEST_CASE("penalty: dense and convolutional, piecewise linear") {
  using dense = sequential<latent<5>, linear<6>, leaky_relu, linear<4>, relu, linear<1>>;
  CHECK(test::check_penalty(dense{}));
  CHECK(test::check_penalty(dense{}, {.n = 3}, gradient_norm::distance_from_one{}));
  using images = sequential<image<6, 5, 2>, conv2d<3, 3, 2, 1>, leaky_relu, conv2d<4, 3, 1, 1>,
                            leaky_relu, flatten, linear<1>>;
  CHECK(test::check_penalty(images{}));
  CHECK(test::check_penalty(images{}, {.n = 3}, gradient_norm::distance_from_one{}));
  using reshaped = sequential<latent<8>, reshape<2, 2, 2>, conv_transpose2d<3, 4, 2, 1>, leaky_relu,
                              dropout, conv2d<1, 4, 1, 0>>;
  CHECK(test::check_penalty(reshaped{}));
  using without_bias = sequential<latent<5>, linear<6, bias::no>, leaky_relu, linear<1, bias::no>>;
  CHECK(test::check_penalty(without_bias{}));
}

TEST_CASE("penalty: activations that bend have a second-order term") {
  using smooth =
      sequential<latent<4>, linear<5>, tanh_, linear<4>, sigmoid, linear<3>, softplus, linear<1>>;
  CHECK(test::check_penalty(smooth{}));
  CHECK(test::check_penalty(smooth{}, {.n = 3}, gradient_norm::distance_from_one{}));
  using mixed = sequential<image<4, 4, 2>, conv2d<3, 3, 1, 1>, leaky_relu, conv2d<3, 3, 2, 1>,
                           tanh_, dropout, linear<4>, relu, linear<1>, tanh_>;
  CHECK(test::check_penalty(mixed{}));
  using first = sequential<latent<4>, tanh_, linear<3>, leaky_relu, linear<1>>;
  CHECK(test::check_penalty(first{}));
}
