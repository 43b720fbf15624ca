// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What holds for all strategies: no schedule of threads stops them or changes their result, their
// messages have the sizes of the formulas, and none holds a private sample.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "distributed/canary.hpp"
#include "distributed/every_strategy.hpp"
#include "distributed/every_strategy_suite.hpp"

using namespace gantry;
using every::outcome;
using every::run_settings;

namespace {

/// Two workers, of which the second stops on the way if the strategy can go on then.
run_settings undisturbed_settings(const every::strategy_run& run, bool stops) {
  run_settings s{.workers = 2, .rounds = 2, .draw = canary::draw};
  if (stops && s.workers >= run.least_workers_to_stop) s.stops = {{2, 1}};
  return s;
}

/// A run under the delays of a seed; with every other seed the second worker stops.
/// Returns what is wrong with it, or nothing.
std::string disturbed(const every::strategy_run& run, std::uint64_t seed,
                      const std::array<outcome, 2>& undisturbed) {
  const bool stops = seed % 2 == 1;
  run_settings s = undisturbed_settings(run, stops);
  s.threads = 1 + static_cast<int>(seed / 2 % 4);
  s.seen = every::delays(seed);
  const std::string what = run.name + ", seed " + std::to_string(seed) + ": ";
  try {
    return run.train(s) == undisturbed[stops] ? "" : what + "another result";
  } catch (const std::exception& e) {
    return what + e.what();  // ranks that wait for each other are found, and throw
  }
}

}  // namespace

TEST_CASE("every strategy: delays and schedules of threads neither stop it nor change its result") {
  constexpr std::uint64_t seeds = 200;
  for (const every::strategy_run& run : every::all()) {
    std::array<outcome, 2> undisturbed;
    for (const bool stops : {false, true})
      undisturbed[stops] = run.train(undisturbed_settings(run, stops));
    // Worlds beside each other: most of a run is delay.
    std::atomic<std::uint64_t> next = 0;
    std::mutex guard;
    std::vector<std::string> wrong;
    std::vector<std::thread> drivers(8);
    for (std::thread& driver : drivers)
      driver = std::thread([&] {
        for (std::uint64_t seed = next++; seed < seeds; seed = next++)
          if (const std::string found = disturbed(run, seed, undisturbed); !found.empty()) {
            const std::lock_guard lock(guard);
            wrong.push_back(found);
          }
      });
    for (std::thread& driver : drivers) driver.join();
    INFO(run.name);
    CHECK(undisturbed[1].contains("0/images"));
    CHECK_MESSAGE(wrong.empty(), (wrong.empty() ? "" : wrong.front()));
  }
}

TEST_CASE("every strategy: result, bytes and privacy in one process") {
  const every::transport threads{.make = every::make_in_process};
  for (const int workers : {1, 3}) every::runs_as_in_process(threads, workers);
  every::goes_on_without_a_worker(threads, 3);
}

TEST_CASE("every strategy: planned memory in parts") {
  const std::size_t least = 4 * std::min(every::theta, every::phi);
  for (const every::strategy_run& run : every::all()) {
    INFO(run.name);
    for (const auto& [total, parts] : {std::pair{run.plan.lead_bytes, run.plan.lead_arenas},
                                       std::pair{run.plan.worker_bytes, run.plan.worker_arenas}}) {
      std::size_t sum = 0;
      parts.visit([&](const char*, std::size_t bytes) { sum += bytes; });
      CHECK(sum == total);
      CHECK(parts.activations > 0);
      CHECK(parts.activations < total);
      CHECK(parts.messages > 0);
      CHECK(parts.parameters >= least);
      CHECK(parts.gradients <= parts.parameters);
    }
  }
}

TEST_CASE("every strategy: what nodes take from their backend is planned, part by part") {
  for (const every::strategy_run& run : every::all()) {
    INFO(run.name);
    int nodes = 0;
    run_settings s{.draw = canary::draw};
    s.measured = [&](rank_t rank, const arena_bytes& found) {
      const arena_bytes& plan = rank == 0 ? run.plan.lead_arenas : run.plan.worker_arenas;
      CHECK(found.parameters == plan.parameters);
      CHECK(found.gradients == plan.gradients);
      CHECK(found.optimizer_state == plan.optimizer_state);
      CHECK(found.activations == plan.activations);
      CHECK(found.messages == 0);
      ++nodes;
    };
    (void)run.train(s);
    CHECK(nodes == 1 + s.workers);
  }
}

TEST_CASE("a private sample that is in a message is found, however it is written") {
  using canary::constant;
  using canary::pattern;
  std::vector<float> message(40, 0.25f);
  CHECK_FALSE(canary::is_in(message));
  const auto finds = [&](auto write) {
    for (const bool uniform : {false, true}) {
      std::vector<float> sent = message;
      for (std::size_t i = 0; i < pattern.size(); ++i)
        sent[7 + i] = write(uniform ? constant : pattern[i]);
      CHECK(canary::is_in(sent));
    }
  };
  finds([](std::uint8_t v) { return canary::scaled(v); });
  finds([](std::uint8_t v) { return static_cast<float>(v) / 255.0f; });
  finds([](std::uint8_t v) { return static_cast<float>(v); });
  // As bytes, at an odd place, and in a message of a run.
  std::memcpy(reinterpret_cast<std::uint8_t*>(message.data()) + 13, pattern.data(), pattern.size());
  CHECK(canary::is_in(message));
  std::atomic<int> leaks = 0;
  observed::world world(
      comm::in_process(2, 2),
      {.sent = [&](const message_route&, std::span<const float> v) { leaks += canary::is_in(v); }});
  world.run([&](auto& comm) {
    std::vector<float> sample(every::image_values);
    canary::draw(1, 0, sample);
    if (comm.rank() == 1) return comm.send(message::batch, sample, 0);
    CHECK(comm.receive(message::batch, sample, 1));
  });
  CHECK(leaks == 1);
}
