// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/models/augmented.hpp"
#include "gantry/models/modern.hpp"

using namespace gantry;
using namespace gantry::models;

namespace {

template <class Net>
void check_tensors() {
  std::size_t params = 0, buffers = 0;
  for (const tensor_info& t : Net::tensors()) (t.is_buffer ? buffers : params) += t.size();
  CHECK(params == Net::param_count);
  CHECK(buffers == Net::buffer_count);
}

template <class Preset>
void check_counts(std::size_t generator, std::size_t discriminator) {
  CAPTURE(Preset::name);
  CHECK(Preset::generator::param_count == generator);
  CHECK(Preset::discriminator::param_count == discriminator);
  check_tensors<typename Preset::generator>();
  check_tensors<typename Preset::discriminator>();
}

constexpr std::size_t conv(std::size_t in, std::size_t out, std::size_t kernel) {
  return in * out * kernel * kernel;
}

}  // namespace

TEST_CASE("modern presets: parameters of the residual networks, layer by layer of their sources") {
  // gan_cifar_resnet.py: a linear, three blocks of two 3 x 3 and one 1 x 1 convolution with biases
  // and two batch norms, a batch norm, a convolution; four blocks and a linear.
  const std::size_t up = 2 * (conv(128, 128, 3) + 128) + conv(128, 128, 1) + 128 + 2 * 2 * 128;
  const std::size_t first = conv(3, 128, 3) + 128 + conv(128, 128, 3) + 128 + conv(3, 128, 1) + 128;
  const std::size_t down = 2 * (conv(128, 128, 3) + 128) + conv(128, 128, 1) + 128;
  const std::size_t flat = 2 * (conv(128, 128, 3) + 128);
  const std::size_t critic = first + down + 2 * flat + 129;
  check_counts<wgan_gp32>(129 * 2048 + 3 * up + 256 + conv(128, 3, 3) + 3, critic);
  CHECK(critic == 1'053'825);
  // Miyato et al., table 4: width 256 against 128; the same discriminator.
  const std::size_t wide = 2 * (conv(256, 256, 3) + 256) + conv(256, 256, 1) + 256 + 2 * 2 * 256;
  check_counts<sngan32>(129 * 4096 + 3 * wide + 512 + conv(256, 3, 3) + 3, critic);
  CHECK(sngan32::discriminator::buffer_count > 0);
}

TEST_CASE("modern presets: parameters of BigGAN, R3GAN and the conditional ones") {
  const auto up = [](std::size_t in, std::size_t out) {
    return conv(in, out, 3) + out + conv(out, out, 3) + out + conv(in, out, 1) + out + 20 * in +
           20 * out;
  };
  const auto down = [](std::size_t in, std::size_t out) {
    return conv(in, out, 3) + out + conv(out, out, 3) + out + conv(in, out, 1) + out;
  };
  check_counts<biggan64>(121 * 16 * 1024 + up(1024, 1024) + up(1024, 512) + up(512, 256) +
                             up(256, 128) + 256 + conv(128, 3, 3) + 3,
                         down(3, 64) + down(64, 128) + down(128, 256) + down(256, 512) +
                             down(512, 1024) + 1025 + 10 * 1024);
  // R3GAN: two blocks at each of four resolutions; expansion 2, 96 groups of 16.
  const std::size_t block =
      conv(768, 1536, 1) + 1536 + conv(16, 1536, 3) + 1536 + conv(1536, 768, 1);
  check_counts<r3gan32>(64 * 768 + 16 * 768 + 8 * block + 3 * 768,
                        3 * 768 + 8 * block + 16 * 768 + 768);
  check_counts<acgan28>(dcgan28::generator::param_count + 100 + 10 * 7 * 7 * 128,
                        dcgan28::discriminator::param_count + 10 * (7 * 7 * 128 + 1));
  static_assert(acgan28::generator::classes == 10 && wcgan32::discriminator::classes == 10);
}

TEST_CASE("modern presets: R3GAN's blocks start as the identity") {
  r3gan32_narrow::discriminator d;
  r3gan32_narrow::generator g;
  r3gan32_narrow::configure(g, d);
  std::vector<float> params(r3gan32_narrow::discriminator::param_count);
  d.initialise(params, {}, {.seed = 1, .use = purpose::initialise});
  std::size_t zero = 0, other = 0;
  for (const tensor_info& t : r3gan32_narrow::discriminator::tensors()) {
    double square = 0;
    for (std::size_t i = 0; i < t.size(); ++i)
      square += static_cast<double>(params[t.offset + i]) * params[t.offset + i];
    if (t.name.ends_with("branch.4.weight")) {
      ++zero;
      CHECK(square == 0);
    } else if (t.name.ends_with("weight")) {
      ++other;
      CHECK(square > 0);
    }
  }
  CHECK(zero == 8);
  CHECK(other == 8 * 2 + 3);
}

TEST_CASE("augmented presets: the preset with its settings behind the changes") {
  using preset = augmented<wgan_gp32_narrow>;
  check_counts<preset>(wgan_gp32_narrow::generator::param_count,
                       wgan_gp32_narrow::discriminator::param_count);
  CHECK(preset::name == "wgan_gp32_narrow");
  CHECK(preset::settings.critic_steps == 5);
  static_assert(std::is_same_v<preset::objective, wgan_gp32_narrow::objective>);
  preset::generator g;
  preset::discriminator d;
  d.layer<0>() = augment_images::of("flip");
  preset::configure(g, d);
  CHECK((d.layer<0>().flip && !d.layer<0>().color));
  int he = 0;
  d.for_each_layer([&](auto& layer) {
    if constexpr (requires { layer.weight_init; })
      he += layer.weight_init.how == nn::initialiser::rule::he;
  });
  CHECK(he > 5);
  augmented<dcgan32>::discriminator other;
  augmented<dcgan32>::generator plain;
  augmented<dcgan32>::configure(plain, other);  // a preset without settings
  CHECK(other.layer<0>().probability == 1.0f);
}
