// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// MD-GAN (Hardy et al.) on Fashion-MNIST: a generator on a server, four workers that each keep a
// quarter of the images and a discriminator. Writes a picture of 64 samples every now and then.
// usage: 02_md_gan_fashion [iterations] [folder of the IDX files]
#include <cstdio>
#include <cstdlib>
#include <string>

#include <gantry/gantry.hpp>

using namespace gantry;

// Any pair of networks would do: this is models::dcgan28, written out.
using generator = sequential<latent<100>, linear<7 * 7 * 128, bias::no>, reshape<7, 7, 128>,
                             batch_norm, relu, conv_transpose2d<64, 4, 2, 1, bias::no>, batch_norm,
                             relu, conv_transpose2d<1, 4, 2, 1, bias::no>, tanh_>;
using discriminator = sequential<image<28, 28, 1>, conv2d<64, 4, 2, 1, bias::no>, leaky_relu,
                                 conv2d<128, 4, 2, 1, bias::no>, batch_norm, leaky_relu, linear<1>>;
using topology =
    gan<generator, discriminator, loss::non_saturating, optim::adam, optim::ema<optim::adam>>;

void write_samples(const train::round_view& view) {
  std::vector<float> latents(64 * 100), images(64 * 28 * 28);
  fill_normal(std::span<float>(latents), {.seed = 7, .use = purpose::fixed_latent});
  view.sample(latents, images);
  const std::string file = "fashion" + std::to_string(view.iteration) + ".png";
  io::write_png(file,
                io::image_grid(images, {.count = 64, .height = 28, .width = 28, .channels = 1}));
  std::printf("iteration %u: D %.3f, G %.3f, %s\n", view.iteration, view.report.discriminator_loss,
              view.report.generator_loss, file.c_str());
}

int main(int argc, char** argv) try {
  const auto iterations = static_cast<std::uint32_t>(argc > 1 ? std::atoi(argv[1]) : 1000);
  const std::uint64_t seed = 1;
  const int workers = 4;

  // Shards stay with their worker; the server's type has no place for images.
  auto shards =
      data::partition(data::fashion_mnist(argc > 2 ? argv[2] : ""), data::iid{}, workers, seed);
  std::vector<data::shuffled_source> sources;
  for (int w = 0; w < workers; ++w) sources.emplace_back(shards[w], seed, w);

  auto world = comm::in_process(1 + workers);
  const common_config<topology> gan{.seed = seed, .batch = 16};
  const dist::md_gan::config strategy{
      .k = 2, .swap_every = dist::epochs(1), .swap = dist::swap_rule::derangement};
  train::run<dist::md_gan, backend::cpu>(
      world, gan, strategy, sources,
      {.iterations = iterations, .on_round = [&](const train::round_view& view) {
         if (view.iteration % std::max(1u, iterations / 5) == 0) write_samples(view);
       }});
  std::printf(
      "bytes of generated batches: %llu, of feedback: %llu, of swapped discriminators: %llu\n",
      static_cast<unsigned long long>(world.total().sent[message::batch].bytes),
      static_cast<unsigned long long>(world.total().sent[message::feedback].bytes),
      static_cast<unsigned long long>(world.total().sent[message::discriminator].bytes));
} catch (const gantry::error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return static_cast<int>(e.code());
}
