// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Trains a preset on numbers in [-1, 1] on a GPU and prints one JSON line. gan_step [batch] [steps]
// The compiler is told the preset and the arithmetic of products, as tests/kernels/
// check_cuda_program.py does: -DGANTRY_STEP_PRESET=dcgan32 -DGANTRY_STEP_MATH=fp32.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <span>
#include <vector>

#include "gantry/backend/cuda/cuda.cuh"
#include "gantry/comm/in_process.hpp"
#include "gantry/dist/standalone.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/models/presets.hpp"
#include "gantry/optim/optimizers.hpp"

namespace {

using namespace gantry;

using preset = models::GANTRY_STEP_PRESET;
using device = backend::basic_cuda<kernels::gemm_math::GANTRY_STEP_MATH>;
using topology = gan<preset::generator, preset::discriminator, loss::non_saturating,
                     optim::ema<optim::adam>, optim::adam>;

struct noise {
  void read(std::uint32_t step, std::span<float> out, int) {
    fill_normal(out, {.seed = 7, .step = step});
    for (float& v : out) v = std::tanh(v);
  }
  [[nodiscard]] std::int64_t size() const { return 60000; }
};

void run(int batch, int steps) {
  using clock = std::chrono::steady_clock;
  device b;
  const common_config<topology> common{.seed = 1, .batch = batch};
  dist::standalone::node<topology, device, noise> node(b, common, {}, noise{});
  comm::in_process_world world(1, std::make_shared<thread_pool>(1));
  std::vector<double> seconds;
  round_report report;
  std::size_t launches = 0;
  world.run([&](auto& comm) {
    for (int i = 0; i < steps; ++i) {
      const auto begin = clock::now();
      const std::size_t before = b.launches();
      report = node.round(comm, static_cast<std::uint32_t>(i));
      launches = b.launches() - before;
      seconds.push_back(std::chrono::duration<double>(clock::now() - begin).count());
    }
  });
  std::ranges::sort(seconds);
  std::printf(
      "{\"model\": \"%s\", \"backend\": \"%s\", \"batch\": %d, \"steps\": %d, \"ms_per_step\": "
      "%.4f, "
      "\"kernels_per_step\": %zu, \"loss_d\": %.6f, \"loss_g\": %.6f}\n",
      preset::name.data(), device::name.data(), batch, steps, seconds[seconds.size() / 2] * 1e3,
      launches, report.discriminator_loss, report.generator_loss);
}

}  // namespace

int main(int argc, char** argv) try {
  run(argc > 1 ? std::atoi(argv[1]) : 64, argc > 2 ? std::atoi(argv[2]) : 100);
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "gan_step: %s\n", e.what());
  return 1;
}
