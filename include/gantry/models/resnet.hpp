// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Residual networks of the literature as types, by width. Up-sampling is done behind the 1 x 1
// convolution of a shortcut and pooling before it: the same functions in another order, for a
// quarter of the work.
#pragma once

#include <cmath>
#include <cstddef>

#include "gantry/nn/layers.hpp"

namespace gantry::inline v0::models::resnet {

/// A generator's block that doubles height and width (Gulrajani et al., arXiv 1704.00028, appendix
/// F; Miyato et al., arXiv 1802.05957, table 4): Norm is batch_norm or conditional_batch_norm.
template <int Channels, class Norm>
using up_block =
    residual<path<Norm, relu, upsampled_conv2d<Channels>, Norm, relu, conv2d<Channels, 3, 1, 1>>,
             path<conv2d<Channels, 1>, upsample_nearest<2>>>;

/// How a discriminator's products are made: as they are, or divided by their spectral norm.
struct plain {
  template <class Layer>
  using of = Layer;
};
struct spectral {
  template <class Layer>
  using of = spectral_norm<Layer>;
};

/// A discriminator's blocks without normalisation of activations: the first one, one that halves
/// height and width, and one that keeps them.
template <int Channels, class Weights>
using first_block =
    residual<path<typename Weights::template of<conv2d<Channels, 3, 1, 1>>, relu,
                  typename Weights::template of<pooled_conv2d<Channels>>>,
             path<average_pool<2>, typename Weights::template of<conv2d<Channels, 1>>>>;
template <int Channels, class Weights>
using down_block =
    residual<path<relu, typename Weights::template of<conv2d<Channels, 3, 1, 1>>, relu,
                  typename Weights::template of<pooled_conv2d<Channels>>>,
             path<average_pool<2>, typename Weights::template of<conv2d<Channels, 1>>>>;
template <int Channels, class Weights>
using flat_block = residual<path<relu, typename Weights::template of<conv2d<Channels, 3, 1, 1>>,
                                 relu, typename Weights::template of<conv2d<Channels, 3, 1, 1>>>>;

/// Generator for 32 x 32 colour images from 128 numbers.
template <int Channels>
using generator32 =
    sequential<latent<128>, linear<16 * Channels>, reshape<4, 4, Channels>,
               up_block<Channels, batch_norm>, up_block<Channels, batch_norm>,
               up_block<Channels, batch_norm>, batch_norm, relu, conv2d<3, 3, 1, 1>, tanh_>;

/// Discriminator of 32 x 32 colour images, which Pool turns into Channels features.
template <int Channels, class Weights, class Pool>
using discriminator32 =
    sequential<image<32, 32, 3>, first_block<Channels, Weights>, down_block<Channels, Weights>,
               flat_block<Channels, Weights>, flat_block<Channels, Weights>, relu, Pool,
               typename Weights::template of<linear<1>>>;

/// A block of a critic with layer normalisation, which a gradient penalty allows (arXiv 1704.00028,
/// section 4).
template <int Channels>
using normalised_down_block = residual<
    path<layer_norm, relu, conv2d<Channels, 3, 1, 1>, layer_norm, relu, pooled_conv2d<Channels>>,
    path<average_pool<2>, conv2d<Channels, 1>>>;

/// R3GAN's block (Huang et al., arXiv 2501.05441, section 3.4): 1 x 1 to twice the channels, 3 x 3
/// in groups, 1 x 1 back, no normalisation. The biases of its activations are those of the
/// convolutions before them.
template <int Channels, int Groups>
using r3_block = residual<
    path<conv2d<2 * Channels, 1>, leaky_relu, grouped_conv2d<2 * Channels, 3, 1, 1, Groups>,
         leaky_relu, conv2d<Channels, 1, 1, 0, bias::no>>>;

/// R3GAN's start for a block of a network with `blocks` of them, after Fixup (Zhang et al., arXiv
/// 1901.09321): the last product is 0, the others have a gain of sqrt(2 / 1.04) blocks^(-1/4).
template <class Net>
void use_r3_initialisation(Net& net, int blocks) {
  const float gain = std::sqrt(2.0f / 1.04f) * std::pow(static_cast<float>(blocks), -0.25f);
  const auto start = [](auto& layer, float deviation) {
    if constexpr (requires { layer.weight_init; })
      layer.weight_init = {nn::initialiser::rule::scaled, deviation};
  };
  net.for_each_layer([&](auto& layer) { start(layer, 1.0f); });
  nn::for_each_index<Net::depth>([&]<std::size_t I>() {
    auto& block = net.template layer<I>();
    if constexpr (requires { block.branch; }) {
      start(nn::get<0>(block.branch), gain);
      start(nn::get<2>(block.branch), gain);
      start(nn::get<4>(block.branch), 0.0f);
    }
  });
}

}  // namespace gantry::models::resnet
