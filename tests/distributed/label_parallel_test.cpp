// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// One pair per label is one standalone GAN per label, and nothing is on the wire.
#include <cmath>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/reference/reference.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/dist/label_parallel.hpp"
#include "gantry/dist/standalone.hpp"

#include "support/toy_gan.hpp"

namespace {

using namespace gantry;
using dist::label_parallel;
using oracle = backend::reference<float>;
using topology = toy::adam_gan;

constexpr int batch = 6;
constexpr std::size_t image_size = 6 * 6 * 2;
using generator_type = topology::generator_type;
constexpr std::size_t packet = generator_type::param_count + generator_type::buffer_count;

struct outcome {
  std::map<int, std::vector<float>> generators, discriminators;
  std::vector<round_report> reports;
  std::vector<float> images;
  traffic total;
  int live{};
};

template <class State>
std::vector<float> averaged(State& state) {
  const auto params = state.averaged_values().params;
  return {params.begin(), params.end()};
}

struct run_settings {
  int workers{3}, rounds{3}, samples{0};
  std::map<int, int> stops{};  ///< worker -> round
};

outcome run(const label_parallel::config& config, const run_settings& s) {
  outcome out;
  std::mutex guard;
  const common_config<topology> common{.seed = 3, .batch = batch};
  comm::in_process_world world(s.workers + 1, std::make_shared<thread_pool>(2));
  const auto sources = toy::noise_sources(s.workers, 60);
  world.run([&](auto& comm) {
    oracle b;
    if (comm.rank() == 0) {
      label_parallel::server<topology, oracle> server(b, common, config, s.workers);
      server.begin(comm);
      for (int i = 0; i < s.rounds; ++i)
        out.reports.push_back(server.round(comm, static_cast<std::uint32_t>(i)));
      if (s.samples > 0) {
        std::vector<float> latents(static_cast<std::size_t>(s.samples) * 5);
        fill_normal(std::span<float>(latents), {.seed = 1});
        out.images.resize(static_cast<std::size_t>(s.samples) * image_size);
        server.prepare_sampling(comm);
        server.prepare_sampling(comm);  // fetches nothing again
        server.sample(latents, out.images);
      }
      for (int n = 1; n <= s.workers; ++n) out.live += server.is_live(n);
      server.command(comm, order::stop);
      return;
    }
    const auto index = static_cast<std::uint32_t>(comm.rank() - 1);
    using worker_type = label_parallel::worker<topology, oracle, toy::noise_source>;
    worker_type::begin(comm, sources[index]);
    worker_type worker(b, common, config, sources[index], index);
    const auto stop = s.stops.find(comm.rank());
    for (int i = 0;; ++i) {
      if (stop != s.stops.end() && i == stop->second) return comm.leave();
      if (worker.round(comm, static_cast<std::uint32_t>(i)) != order::train) break;
    }
    const std::lock_guard lock(guard);
    out.generators[comm.rank()] = averaged(worker.generator().state());
    out.discriminators[comm.rank()] = averaged(worker.discriminator().state());
  });
  out.total = world.total();
  return out;
}

}  // namespace

TEST_CASE("label_parallel: the first pair is a standalone GAN on its samples, bit for bit") {
  const outcome pairs = run({.steps = 2, .critic_steps = 2}, {.workers = 2, .rounds = 2});
  const common_config<topology> common{.seed = 3, .batch = batch};
  oracle b;
  dist::standalone::node<topology, oracle, toy::noise_source> node(b, common, {.critic_steps = 2},
                                                                   toy::noise_source(60, 0));
  comm::in_process_world world(1, std::make_shared<thread_pool>(1));
  world.run([&](auto& comm) {
    for (std::uint32_t i = 0; i < 4; ++i) (void)node.round(comm, i);
  });
  CHECK(pairs.generators.at(1) == averaged(node.generator().state()));
  CHECK(pairs.discriminators.at(1) == averaged(node.discriminator().state()));
  CHECK(pairs.generators.at(2) != pairs.generators.at(1));
  CHECK(pairs.reports.back().images == 2 * 2 * 2 * batch);
  CHECK(pairs.reports.back().generator_steps == 2);
  CHECK(std::isfinite(pairs.reports.back().generator_loss));
}

TEST_CASE("label_parallel: nothing of samples and networks is on the wire while training") {
  for (const int steps : {1, 4}) {
    const outcome out = run({.steps = steps}, {.workers = 3, .rounds = 5});
    for (const message kind :
         {message::batch, message::feedback, message::discriminator, message::model}) {
      CAPTURE(message_name(kind));
      CHECK(out.total.sent[kind] == tally{});
    }
    // Orders, one of them to stop, and losses and times; the same for any number of steps.
    CHECK(out.total.sent[message::control].messages == 3 * (6 + 5));
    CHECK(out.total.sent[message::control].bytes == 3 * 4 * (6 + 5 * (2 + dist::observed_size)));
    for (const round_report& r : out.reports) CHECK(r.bytes_down + r.bytes_up + r.bytes_swap == 0);
  }
}

TEST_CASE("label_parallel: class c is drawn by pair c") {
  constexpr int samples = 8;
  const outcome out = run({}, {.workers = 3, .rounds = 2, .samples = samples});
  CHECK(out.total.sent[message::model].bytes == 3 * packet * sizeof(float));
  // The same latents by one pair at a time: a run with one worker whose source and streams are
  // those of the first pair.
  const outcome alone = run({}, {.workers = 1, .rounds = 2, .samples = samples});
  for (std::size_t i = 0; i < samples; ++i) {
    const auto first = static_cast<std::ptrdiff_t>(i * image_size);
    const bool same =
        std::equal(out.images.begin() + first, out.images.begin() + first + image_size,
                   alone.images.begin() + first);
    CHECK(same == (i % 3 == 0));
  }
}

TEST_CASE("label_parallel: pairs go on when others stop") {
  const outcome out = run({}, {.workers = 3, .rounds = 3, .samples = 6, .stops = {{2, 1}}});
  CHECK(out.live == 2);
  CHECK(out.reports.front().workers == 3);
  CHECK(out.reports.back().workers == 2);
  CHECK(out.generators.at(1) == run({}, {}).generators.at(1));
  CHECK_THROWS_AS(run({}, {.workers = 1, .rounds = 3, .stops = {{1, 1}}}), workers_lost);
}

TEST_CASE("label_parallel: settings and plan") {
  CHECK_THROWS_AS(run({.steps = 0}, {}), usage_error);
  CHECK_THROWS_AS(run({.critic_steps = 0}, {}), usage_error);
  const common_config<topology> common{.batch = batch};
  const auto plan = label_parallel::plan<topology, oracle, toy::noise_source>(common, {}, 4);
  CHECK(plan.bytes_down + plan.bytes_up + plan.bytes_swap == 0);
  CHECK(plan.lead_flops == 0);
  const auto alone = dist::standalone::plan<topology, oracle, toy::noise_source>(common, {}, 1);
  CHECK(plan.worker_flops == alone.lead_flops);
}
