// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Three GANs of different kinds under one server, and the same three one after the other.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/base/rng.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/comm/throttled.hpp"
#include "gantry/dist/task_groups.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/models/presets.hpp"
#include "gantry/optim/optimizers.hpp"

#include "experiments.hpp"

namespace {

using namespace gantry;

/// The same images at every step.
struct fixed_images {
  std::vector<float> values;
  void read(std::uint32_t, std::span<float> out, int) const {
    std::copy_n(values.begin(), out.size(), out.begin());
  }
  [[nodiscard]] std::int64_t size() const { return 1'000'000; }
};

using strategy = dist::basic_layerwise_overlap<dist::fixed_steps>;
template <class Objective>
using task = dist::task<gan<models::mlp28::generator, models::mlp28::discriminator, Objective,
                            optim::ema<optim::adam>, optim::adam>,
                        fixed_images, strategy>;

/// Two workers; two discriminator steps and two generator steps per round.
template <class Objective>
task<Objective> make_task(const char* name, int batch) {
  constexpr std::size_t image = 28 * 28;
  fixed_images images{std::vector<float>(static_cast<std::size_t>(batch) * image)};
  fill_normal(std::span<float>(images.values), {.seed = 7});
  for (float& v : images.values) v = std::tanh(v);
  return {.name = name,
          .common = {.seed = 1, .batch = batch},
          .settings = {.overlap = dist::overlap_mode::ready,
                       .steps = {.discriminator = 2, .generator = 2}},
          .sources = {images, images}};
}

}  // namespace

double seconds_of_tasks(const experiment& e, bool at_once, std::uint32_t rounds, int threads) {
  constexpr int batch = 128;
  const auto first = make_task<loss::non_saturating>("non-saturating", batch);
  const auto second = make_task<loss::hinge>("hinge", batch);
  const auto third = make_task<loss::least_squares>("least-squares", batch);
  const auto start = std::chrono::steady_clock::now();
  const auto train = [&](const auto&... tasks) {
    const int ranks = 1 + (tasks.workers() + ...);
    std::vector<metrics::node_rates> rates(static_cast<std::size_t>(ranks), e.worker);
    rates.front() = e.server;
    auto world = comm::throttled(comm::in_process(ranks, threads), metrics::link_model(rates));
    dist::run_tasks<backend::cpu>(
        world, rounds, [](auto&&...) {}, tasks...);
  };
  if (at_once) {
    train(first, second, third);
  } else {
    train(first);
    train(second);
    train(third);
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}
