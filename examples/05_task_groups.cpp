// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Two GANs of different types, trained at once by one server: a convolutional one over three
// workers, a dense one over two. Discriminators are averaged only within a task, and generators
// travel layer by layer. usage: 05_task_groups [rounds]
#include <cstdio>
#include <cstdlib>

#include <gantry/gantry.hpp>

using namespace gantry;

using convolutional = gan<sequential<latent<8>, linear<4 * 4 * 8>, reshape<4, 4, 8>, batch_norm,
                                     relu, conv_transpose2d<1, 4, 2, 1>, tanh_>,
                          sequential<image<8, 8, 1>, conv2d<8, 4, 2, 1>, leaky_relu, linear<1>>,
                          loss::non_saturating, optim::adam, optim::ema<optim::adam>>;
using dense =
    gan<sequential<latent<2>, linear<16>, relu, linear<2>>,
        sequential<image<1, 1, 2>, linear<16>, leaky_relu, linear<1>>, loss::hinge, optim::adam>;

/// Private samples of a worker: all numbers lie around one that is its own.
struct blob {
  float centre;
  void read(std::uint32_t step, std::span<float> out, int) const {
    fill_normal(out, {.seed = 3, .step = step});
    for (float& x : out) x = centre + 0.1f * x;
  }
  [[nodiscard]] std::int64_t size() const { return 1000; }
};

int main(int argc, char** argv) try {
  const auto rounds = static_cast<std::uint32_t>(argc > 1 ? std::atoi(argv[1]) : 300);
  const dist::task<convolutional, blob> images{.name = "images",
                                               .common = {.seed = 1, .batch = 16},
                                               .settings = {.overlap = dist::overlap_mode::ready},
                                               .sources = {{-0.5f}, {0.0f}, {0.5f}}};
  const dist::task<dense, blob> points{
      .name = "points",
      .common = {.seed = 2, .batch = 32},
      .settings = {.overlap = dist::overlap_mode::input_first,
                   .steps = {dist::fixed_steps{.discriminator = 2}}},
      .sources = {{0.2f}, {0.4f}}};

  auto world = comm::in_process(1 + images.workers() + points.workers());
  dist::run_tasks<backend::cpu>(
      world, rounds,
      [&](std::uint32_t done, auto&, const auto& reports) {
        if (done % std::max(1u, rounds / 5) == 0)
          std::printf("round %u: images D %.3f G %.3f, points D %.3f G %.3f\n", done,
                      reports[0].discriminator_loss, reports[0].generator_loss,
                      reports[1].discriminator_loss, reports[1].generator_loss);
      },
      images, points);
} catch (const gantry::error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return static_cast<int>(e.code());
}
