// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What layerwise_overlap remembers: resumed runs, schedulers, and continual learning.
#include <filesystem>
#include <string>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/dist/layerwise_overlap.hpp"
#include "gantry/train/trainer.hpp"

#include "support/toy_gan.hpp"

namespace {

using namespace gantry;
using dist::balanced_steps;
using dist::fixed_steps;
using dist::layerwise_overlap;
using dist::peer_rule;
using cpu = backend::cpu;
using topology = toy::adam_gan;
using config = layerwise_overlap::config;
namespace fs = std::filesystem;

struct scratch_folder {
  fs::path path = fs::temp_directory_path() / ("gantry-layerwise-" + std::to_string(::getpid()));
  scratch_folder() { fs::remove_all(path), fs::create_directories(path); }
  ~scratch_folder() { fs::remove_all(path); }
};

train::run_result train_toy(const config& settings, const train::run_options& options) {
  auto world = comm::in_process(4, 2);
  return train::run<layerwise_overlap, cpu>(world, common_config<topology>{.seed = 5, .batch = 4},
                                            settings, toy::noise_sources(3, 12), options);
}

/// Calls f(folder of a whole run, folder of one that was resumed at 4 of 7).
std::array<std::string, 2> hashes(const config& settings, const fs::path& root,
                                  const std::vector<train::planned_stop>& stops = {}) {
  train::run_options options{.iterations = 7, .checkpoints = root / "whole", .stops = stops};
  const auto whole = train_toy(settings, options);
  options.iterations = 4;
  options.checkpoints = root / "parts";
  train_toy(settings, options);
  options.iterations = 7;
  options.resume_from = root / "parts" / "network-snapshot-000004";
  options.stops = {};
  return {whole.checkpoint_hash, train_toy(settings, options).checkpoint_hash};
}

}  // namespace

TEST_CASE("a resumed run is the run that never stopped, bit for bit") {
  const scratch_folder root;
  for (const peer_rule peer : {peer_rule::none, peer_rule::consolidate, peer_rule::replay}) {
    CAPTURE(static_cast<int>(peer));
    config settings{.return_mean = peer == peer_rule::none,
                    .steps = {fixed_steps{.discriminator = 3, .generator = 2, .fakes_every = 2}},
                    .peer = peer,
                    .replay_capacity = 5};
    const auto [whole, resumed] = hashes(settings, root.path);
    CHECK(whole.size() == 64);
    CHECK(whole == resumed);
    settings.overlap = dist::overlap_mode::blocking;
    CHECK(hashes(settings, root.path)[1] == whole);
  }
  const auto [whole, resumed] = hashes({}, root.path, {{2, 3}});
  CHECK(whole == resumed);
}

TEST_CASE("sampling between rounds does not change the run") {
  const scratch_folder root;
  std::vector<float> latents(9 * 5, 0.1f), images(9 * 72);
  train::run_options options{.iterations = 3, .checkpoints = root.path};
  const auto plain = train_toy({}, options);
  options.on_round = [&](const train::round_view& v) { v.sample(latents, images); };
  CHECK(train_toy({}, options).checkpoint_hash == plain.checkpoint_hash);
}

TEST_CASE("the balancing scheduler's measured times are in the checkpoint") {
  const scratch_folder root;
  const config settings{.steps = {balanced_steps{.most = {.discriminator = 3, .generator = 2}}}};
  const auto done = train_toy(settings, {.iterations = 3, .checkpoints = root.path});
  const fs::path half = root.path / "network-snapshot-000003";
  const auto values = io::safetensors_file::read(half / "values.safetensors");
  const auto seconds = values.find<float>("step_seconds");
  REQUIRE(seconds.size() == 4);
  for (const float s : seconds) CHECK(s > 0);
  const auto more =
      train_toy(settings, {.iterations = 5, .checkpoints = root.path, .resume_from = half});
  CHECK(more.iterations == 5);
}

TEST_CASE("steps are balanced by measured times") {
  balanced_steps s{.most = {.discriminator = 6, .generator = 8}, .smoothing = 0.5f};
  s.begin(3);
  for (int n = 1; n <= 3; ++n) CHECK(s.for_worker(n).discriminator == 6);
  CHECK(s.for_server() == 8);
  s.observe(0, 2.0);
  s.observe(1, 1.0);
  s.observe(2, 2.0);
  s.observe(3, 100.0);
  CHECK(s.for_worker(1).discriminator == 6);
  CHECK(s.for_worker(2).discriminator == 3);
  CHECK(s.for_worker(3).discriminator == 1);
  CHECK(s.for_server() == 8);  // worker 3 needs 100 s for one step
  for (int i = 0; i < 60; ++i) s.observe(3, 1.0);
  CHECK(s.for_worker(3).discriminator == 6);
  CHECK(s.for_server() == 3);  // 6 s for steps of 2 s
  CHECK_THROWS_AS((balanced_steps{.smoothing = 1.0f}.begin(1)), usage_error);
  CHECK_THROWS_AS((fixed_steps{.fakes_every = 0}.begin(1)), usage_error);
}

TEST_CASE("consolidation adds the derivative of lambda / 2 sum F (phi - phi*)^2") {
  backend::cpu b;
  auto phi = b.allocate(3), gradient = b.allocate(3);
  dist::elastic_consolidation ewc(3);
  const std::span<const float> params(phi.span()), slopes(gradient.span());
  b.upload(std::array{1.0f, -2.0f, 0.5f}, gradient.data());
  ewc.observe(b, slopes, 0.75f);
  CHECK(ewc.fisher() == std::vector{0.25f, 1.0f, 0.0625f});
  b.upload(std::array{1.0f, 2.0f, 3.0f}, phi.data());
  ewc.set_anchor(b, params);
  ewc.add_penalty(b, 10.0f, params, gradient.span());
  CHECK(std::vector(slopes.begin(), slopes.end()) == std::vector{1.0f, -2.0f, 0.5f});
  b.upload(std::array{2.0f, 2.5f, -1.0f}, phi.data());
  ewc.add_penalty(b, 10.0f, params, gradient.span());
  CHECK(std::vector(slopes.begin(), slopes.end()) == std::vector{3.5f, 3.0f, -2.0f});
}

TEST_CASE("the memory of fakes is a ring, and gives back what it was given") {
  dist::fake_memory memory(3, 2);
  std::vector<float> images{9, 9, 9, 9};
  std::vector<std::uint8_t> labels{7, 7};
  memory.mix(images, labels.data(), 2, {});
  CHECK(images == std::vector<float>{9, 9, 9, 9});  // nothing to remember yet
  for (int i = 0; i < 50; ++i) {
    const auto x = static_cast<float>(i);
    memory.keep(std::vector{x, x + 0.5f}, std::vector{static_cast<std::uint8_t>(i)}.data(), 1);
  }
  for (std::uint32_t step = 0; step < 20; ++step) {
    memory.mix(images, labels.data(), 1, {.step = step});
    CHECK(images[0] >= 47);
    CHECK(images[1] == images[0] + 0.5f);
    CHECK(static_cast<float>(labels[0]) == images[0]);
    CHECK(images[2] == 9);
  }
}
