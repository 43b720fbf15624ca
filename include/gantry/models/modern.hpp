// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Presets that bring their objective and the settings of their source along. A width below the
// source's is for small machines: wgan_gp32 and wgan_gp32_narrow are one template.
#pragma once

#include <string_view>

#include "gantry/loss/auxiliary_classifier.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/loss/penalties.hpp"
#include "gantry/models/presets.hpp"
#include "gantry/models/recommended.hpp"
#include "gantry/models/resnet.hpp"

namespace gantry::inline v0::models {

/// dcgan28 with the auxiliary classifier of ACGAN (Odena et al., arXiv 1610.09585) for ten classes.
struct acgan28 {
  static constexpr std::string_view name = "acgan28";
  static constexpr recommended settings{};
  using objective = loss::auxiliary_classifier<loss::non_saturating, 10>;
  using generator =
      sequential<latent<100>, concat_label<10, 10>, linear<7 * 7 * 128, bias::no>,
                 reshape<7, 7, 128>, batch_norm, relu, conv_transpose2d<64, 4, 2, 1, bias::no>,
                 batch_norm, relu, conv_transpose2d<1, 4, 2, 1, bias::no>, tanh_>;
  using discriminator =
      sequential<image<28, 28, 1>, conv2d<64, 4, 2, 1, bias::no>, leaky_relu, dropout,
                 conv2d<128, 4, 2, 1, bias::no>, batch_norm, leaky_relu, dropout, linear<11>>;
};

/// WGAN-GP's residual networks for CIFAR-10 (Gulrajani et al., arXiv 1704.00028, appendix F and
/// their code; width 128 there).
template <int Channels>
struct wgan_gp_resnet {
  static constexpr recommended settings{2e-4f, 2e-4f, 0.0f, 0.9f, 5};
  using objective = loss::penalised<loss::critic, loss::wgan_gp>;
  using generator = resnet::generator32<Channels>;
  using discriminator = resnet::discriminator32<Channels, resnet::plain, global_average_pool>;
  static void configure(generator& g, discriminator& d) {
    nn::use_he_initialisation(g);
    nn::use_he_initialisation(d);
  }
};
struct wgan_gp32 : wgan_gp_resnet<128> {
  static constexpr std::string_view name = "wgan_gp32";
};
struct wgan_gp32_narrow : wgan_gp_resnet<32> {
  static constexpr std::string_view name = "wgan_gp32_narrow";
};

/// SNGAN's residual networks for CIFAR-10 (Miyato et al., arXiv 1802.05957, table 4; widths 256 and
/// 128 there).
template <int GeneratorChannels, int DiscriminatorChannels>
struct sngan_resnet {
  static constexpr recommended settings{2e-4f, 2e-4f, 0.0f, 0.9f, 5};
  using objective = loss::hinge;
  using generator = resnet::generator32<GeneratorChannels>;
  using discriminator =
      resnet::discriminator32<DiscriminatorChannels, resnet::spectral, global_sum_pool>;
  static void configure(generator& g, discriminator& d) {
    nn::use_he_initialisation(g);
    nn::use_he_initialisation(d);
  }
};
struct sngan32 : sngan_resnet<256, 128> {
  static constexpr std::string_view name = "sngan32";
};
struct sngan32_narrow : sngan_resnet<48, 32> {
  static constexpr std::string_view name = "sngan32_narrow";
};

/// The conditional WGAN of label-parallel training (Lupo Pasini et al., arXiv 2207.12315, whose
/// networks are not published): residual networks of width 64, batch norm in the generator and
/// layer norm in the critic as in the authors' ResNet, the label embedded beside the latent and as
/// a plane beside the image as in their conditional baseline.
template <int Channels>
struct wcgan_resnet {
  static constexpr recommended settings{1e-4f, 1e-4f, 0.5f, 0.999f, 1};
  using objective = loss::penalised<loss::critic, loss::wgan_gp>;
  using generator =
      sequential<latent<128>, concat_label<10, 10>, linear<16 * Channels>, reshape<4, 4, Channels>,
                 resnet::up_block<Channels, batch_norm>, resnet::up_block<Channels, batch_norm>,
                 resnet::up_block<Channels, batch_norm>, batch_norm, relu, conv2d<3, 3, 1, 1>,
                 tanh_>;
  using discriminator =
      sequential<image<32, 32, 3>, concat_label<10, 1>, conv2d<Channels, 3, 1, 1>,
                 resnet::normalised_down_block<Channels>, resnet::normalised_down_block<Channels>,
                 resnet::normalised_down_block<Channels>, layer_norm, relu, linear<1>>;
  static void configure(generator& g, discriminator& d) {
    const auto he = [](auto& layer) {
      if constexpr (requires {
                      layer.weight_init;
                      layer.weight_rows;
                    })
        layer.weight_init.how = nn::initialiser::rule::he;
    };
    g.for_each_layer(he);
    d.for_each_layer(he);
  }
};
struct wcgan32 : wcgan_resnet<64> {
  static constexpr std::string_view name = "wcgan32";
};

/// A BigGAN-style conditional residual GAN for 64 x 64 images of ten classes (Brock et al., arXiv
/// 1809.11096, table 6, ch = Channels; without skip connections of the latent and with conditional
/// batch norm from the label alone): spectral normalisation and projection in the discriminator.
template <int Channels>
struct biggan_resnet {
  static constexpr int c = Channels;
  static constexpr recommended settings{1e-4f, 4e-4f, 0.0f, 0.999f, 1};
  using objective = loss::hinge;
  using norm = conditional_batch_norm<10>;
  using generator = sequential<latent<120>, linear<16 * 16 * c>, reshape<4, 4, 16 * c>,
                               resnet::up_block<16 * c, norm>, resnet::up_block<8 * c, norm>,
                               resnet::up_block<4 * c, norm>, resnet::up_block<2 * c, norm>,
                               batch_norm, relu, conv2d<3, 3, 1, 1>, tanh_>;
  using discriminator =
      sequential<image<64, 64, 3>, resnet::first_block<c, resnet::spectral>,
                 resnet::down_block<2 * c, resnet::spectral>,
                 resnet::down_block<4 * c, resnet::spectral>,
                 resnet::down_block<8 * c, resnet::spectral>,
                 residual<path<relu, spectral_norm<conv2d<16 * c, 3, 1, 1>>, relu,
                               spectral_norm<conv2d<16 * c, 3, 1, 1>>>,
                          path<spectral_norm<conv2d<16 * c, 1>>>>,
                 relu, global_sum_pool,
                 residual<path<spectral_norm<linear<1>>>, path<spectral_norm<label_product<10>>>>>;
};
struct biggan64 : biggan_resnet<64> {
  static constexpr std::string_view name = "biggan64";
};
struct biggan64_narrow : biggan_resnet<8> {
  static constexpr std::string_view name = "biggan64_narrow";
};

/// R3GAN for 32 x 32 images (Huang et al., arXiv 2501.05441, and its code; 768 channels in 96
/// groups on CIFAR-10 there, two blocks per resolution): relativistic pairing with R1 and R2,
/// resampling behind the filter [1, 2, 1].
template <int Channels, int Groups, int Latent>
struct r3gan_resnet {
  static constexpr recommended settings{2e-4f, 2e-4f, 0.0f, 0.9f, 1};
  static constexpr int c = Channels;
  using objective = loss::penalised<loss::relativistic, loss::r1, loss::r2>;
  using block = resnet::r3_block<Channels, Groups>;
  using generator =
      sequential<latent<Latent>, linear<c, bias::no>, learned_basis<4, 4>, block, block,
                 upsample_filtered, block, block, upsample_filtered, block, block,
                 upsample_filtered, block, block, conv2d<3, 1, 1, 0, bias::no>>;
  using discriminator =
      sequential<image<32, 32, 3>, conv2d<c, 1, 1, 0, bias::no>, block, block, downsample_filtered,
                 block, block, downsample_filtered, block, block, downsample_filtered, block, block,
                 grouped_conv2d<c, 4, 1, 0, c, bias::no>, linear<1, bias::no>>;
  static void configure(generator& g, discriminator& d) {
    resnet::use_r3_initialisation(g, 8);
    resnet::use_r3_initialisation(d, 8);
    g.template layer<1>().weight_init = {nn::initialiser::rule::normal, 1.0f};
  }
  static objective make_objective() {
    objective o;
    o.penalties = {loss::r1{.gamma = 0.05f}, loss::r2{.gamma = 0.05f}};
    return o;
  }
};
struct r3gan32 : r3gan_resnet<768, 96, 64> {
  static constexpr std::string_view name = "r3gan32";
};
struct r3gan32_narrow : r3gan_resnet<32, 4, 64> {
  static constexpr std::string_view name = "r3gan32_narrow";
};

}  // namespace gantry::models
