// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A whole GAN on points of the plane: eight Gaussians on a circle, two workers, and how many of the
// eight the generator finds. usage: 01_first_gan [iterations]
#include <cstdio>
#include <cstdlib>

#include <gantry/gantry.hpp>

using namespace gantry;

using generator = sequential<latent<16>, linear<128>, relu, linear<128>, relu, linear<2>>;
using discriminator = sequential<latent<2>, linear<128>, leaky_relu, linear<64>, leaky_relu,
                                 minibatch_discrimination<16, 4>, linear<1>>;
using topology =
    gan<generator, discriminator, loss::non_saturating, optim::adam, optim::ema<optim::adam>>;

int main(int argc, char** argv) {
  const auto iterations = static_cast<std::uint32_t>(argc > 1 ? std::atoi(argv[1]) : 6000);
  common_config<topology> gan{.seed = 1, .batch = 64};
  nn::use_he_initialisation(gan.topology.generator);
  nn::use_he_initialisation(gan.topology.discriminator);
  gan.topology.generator_optimizer = {.base = {.rate = 1e-3f}, .decay = 0.99f};
  gan.topology.discriminator_optimizer.rate = 1e-3f;

  const data::gaussian_mixture_config ring{.modes = 8, .radius = 2.0f, .sigma = 0.05f};
  const std::vector<data::gaussian_mixture> sources{{1, 0, ring}, {1, 1, ring}};
  auto world = comm::in_process(3);  // a server and two workers

  const auto report = [&](const train::round_view& view) {
    if (view.iteration % std::max(1u, iterations / 4) != 0) return;
    std::vector<float> latents(2000 * 16), points(2000 * 2);
    fill_normal(std::span<float>(latents), {.seed = 2, .use = purpose::evaluation});
    view.sample(latents, points);
    const auto found = metrics::mode_coverage(points, sources[0].modes(), {.sigma = ring.sigma});
    std::printf("iteration %5u: %d of 8 modes, %.0f %% of the samples within 3 sigma\n",
                view.iteration, found.covered, 100 * found.good_share);
  };
  train::run<dist::md_gan, backend::cpu>(world, gan, {}, sources,
                                         {.iterations = iterations, .on_round = report});
}
