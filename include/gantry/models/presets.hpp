// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Networks by name. Each preset has a generator from latent<100> to an image in [-1, 1] and a
// discriminator from that image to one logit.
#pragma once

#include <string_view>

#include "gantry/nn/layers.hpp"

namespace gantry::inline v0::models {

/// The MNIST multi-layer perceptron of MD-GAN (arXiv 1811.03850, section V-A): dense 512, 512, 784
/// against dense 512, 512. The paper's 11-way head is one logit here.
struct mlp28 {
  static constexpr std::string_view name = "mlp28";
  using generator = sequential<latent<100>, linear<512>, leaky_relu, linear<512>, leaky_relu,
                               linear<784>, tanh_, reshape<28, 28, 1>>;
  using discriminator =
      sequential<image<28, 28, 1>, linear<512>, leaky_relu, linear<512>, leaky_relu, linear<1>>;
};

/// The MNIST convolutional network of MD-GAN by its list of layers (arXiv 1811.03850, section V-A;
/// the printed parameter counts do not belong to that list). Strides, normalisation, dropout and
/// the 50 x 5 kernels of mini-batch discrimination are not in the paper: they are those of its
/// re-implementations.
struct cnn28 {
  static constexpr std::string_view name = "cnn28";
  using generator = sequential<latent<100>, linear<7 * 7 * 128, bias::no>, reshape<7, 7, 128>,
                               batch_norm, relu, conv_transpose2d<32, 5, 2, 2, bias::no, 1>,
                               batch_norm, relu, conv_transpose2d<1, 5, 2, 2, bias::yes, 1>, tanh_>;
  using discriminator = sequential<image<28, 28, 1>, conv2d<16, 3, 2, 1>, leaky_relu, dropout,
                                   conv2d<32, 3, 1, 1>, leaky_relu, dropout, conv2d<64, 3, 2, 1>,
                                   leaky_relu, dropout, conv2d<128, 3, 1, 1>, leaky_relu, dropout,
                                   conv2d<256, 3, 2, 1>, leaky_relu, dropout, conv2d<512, 3, 1, 1>,
                                   leaky_relu, dropout, minibatch_discrimination<50, 5>, linear<1>>;
};

/// DCGAN (Radford et al., arXiv 1511.06434) for 28 x 28 grey images.
struct dcgan28 {
  static constexpr std::string_view name = "dcgan28";
  using generator = sequential<latent<100>, linear<7 * 7 * 128, bias::no>, reshape<7, 7, 128>,
                               batch_norm, relu, conv_transpose2d<64, 4, 2, 1, bias::no>,
                               batch_norm, relu, conv_transpose2d<1, 4, 2, 1, bias::no>, tanh_>;
  using discriminator =
      sequential<image<28, 28, 1>, conv2d<64, 4, 2, 1, bias::no>, leaky_relu,
                 conv2d<128, 4, 2, 1, bias::no>, batch_norm, leaky_relu, linear<1>>;
};

/// DCGAN for 32 x 32 colour images, widths 256-128-64.
struct dcgan32 {
  static constexpr std::string_view name = "dcgan32";
  using generator = sequential<latent<100>, conv_transpose2d<256, 4, 1, 0, bias::no>, batch_norm,
                               relu, conv_transpose2d<128, 4, 2, 1, bias::no>, batch_norm, relu,
                               conv_transpose2d<64, 4, 2, 1, bias::no>, batch_norm, relu,
                               conv_transpose2d<3, 4, 2, 1, bias::no>, tanh_>;
  using discriminator = sequential<image<32, 32, 3>, conv2d<64, 4, 2, 1, bias::no>, leaky_relu,
                                   conv2d<128, 4, 2, 1, bias::no>, batch_norm, leaky_relu,
                                   conv2d<256, 4, 2, 1, bias::no>, batch_norm, leaky_relu,
                                   conv2d<1, 4, 1, 0, bias::no>>;
};

/// DCGAN for 64 x 64 colour images, widths 512-256-128-64.
struct dcgan64 {
  static constexpr std::string_view name = "dcgan64";
  using generator = sequential<latent<100>, conv_transpose2d<512, 4, 1, 0, bias::no>, batch_norm,
                               relu, conv_transpose2d<256, 4, 2, 1, bias::no>, batch_norm, relu,
                               conv_transpose2d<128, 4, 2, 1, bias::no>, batch_norm, relu,
                               conv_transpose2d<64, 4, 2, 1, bias::no>, batch_norm, relu,
                               conv_transpose2d<3, 4, 2, 1, bias::no>, tanh_>;
  using discriminator = sequential<
      image<64, 64, 3>, conv2d<64, 4, 2, 1, bias::no>, leaky_relu, conv2d<128, 4, 2, 1, bias::no>,
      batch_norm, leaky_relu, conv2d<256, 4, 2, 1, bias::no>, batch_norm, leaky_relu,
      conv2d<512, 4, 2, 1, bias::no>, batch_norm, leaky_relu, conv2d<1, 4, 1, 0, bias::no>>;
};

static_assert(mlp28::generator::param_count == 716'560,
              "mlp28: MD-GAN (arXiv 1811.03850) prints 716,560 parameters for this generator");

}  // namespace gantry::models
