// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What holds for all strategies: no schedule of threads stops them or changes their result, their
// messages have the sizes of the formulas, and none holds a private sample.
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstring>
#include <thread>

#include <doctest/doctest.h>

#include "gantry/base/rng.hpp"

#include "distributed/every_strategy.hpp"

namespace {

using namespace gantry;
using every::outcome;
using every::run_settings;

void draw_noise(int worker, std::uint32_t step, std::span<float> out) {
  fill_normal(out, {.seed = 77,
                    .step = step,
                    .worker = static_cast<std::uint32_t>(worker),
                    .use = purpose::user});
}

/// Before and after what a rank sends and receives it goes on at once, lets others run, or sleeps
/// for up to a tenth of a millisecond.
observed::observer delays(std::uint64_t seed) {
  return {.pause = [seed](rank_t rank, std::uint32_t operation) {
    random_sequence draw({.seed = seed,
                          .step = operation,
                          .worker = static_cast<std::uint32_t>(rank),
                          .use = purpose::user});
    const auto chosen = draw.below(8);
    if (chosen < 3) std::this_thread::yield();
    if (chosen == 3) std::this_thread::sleep_for(std::chrono::microseconds(draw.below(100)));
  }};
}

/// The bytes of a private image, and the constant one of every other sample: as files and programs
/// hold them, 0 to 255.
constexpr std::array<std::uint8_t, every::image_values> pattern{0x5B, 0xC7, 0x1E, 0x93,
                                                                0x68, 0xE2, 0x2D, 0xB4};
constexpr std::uint8_t constant = 0xA7;

float scaled(std::uint8_t byte) { return static_cast<float>(byte) / 127.5f - 1.0f; }

void draw_canary(int, std::uint32_t, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = scaled(i / pattern.size() % 2 == 0 ? pattern[i % pattern.size()] : constant);
}

/// Runs of bytes that are in no message by chance: three neighbouring values of the pattern, or of
/// the constant image, in each way to write them.
std::vector<std::vector<std::uint8_t>> needles() {
  std::vector<std::vector<std::uint8_t>> all;
  const auto add = [&](std::span<const std::uint8_t> bytes) {
    for (const auto& write : {+[](std::uint8_t v) { return scaled(v); },
                              +[](std::uint8_t v) { return static_cast<float>(v) / 255.0f; },
                              +[](std::uint8_t v) { return static_cast<float>(v); }}) {
      std::vector<std::uint8_t> floats;
      for (const std::uint8_t v : bytes) {
        const auto parts = std::bit_cast<std::array<std::uint8_t, 4>>(write(v));
        floats.insert(floats.end(), parts.begin(), parts.end());
      }
      all.push_back(floats);
    }
  };
  for (std::size_t i = 0; i + 3 <= pattern.size(); ++i) add(std::span(pattern).subspan(i, 3));
  add(std::array{constant, constant, constant});
  // Three bytes alone may be there by chance, those of a whole image are not.
  all.emplace_back(pattern.begin(), pattern.end());
  all.emplace_back(pattern.size(), constant);
  return all;
}

bool holds_canary(std::span<const float> message) {
  static const auto all = needles();
  const auto* first = reinterpret_cast<const std::uint8_t*>(message.data());
  const auto* last = first + message.size_bytes();
  return std::ranges::any_of(all, [&](const auto& needle) {
    return std::search(first, last, needle.begin(), needle.end()) != last;
  });
}

}  // namespace

TEST_CASE("every strategy: delays and schedules of threads neither stop it nor change its result") {
  const auto runs = every::all();
  constexpr std::uint64_t seeds = 200;
  std::vector<std::array<outcome, 2>> undisturbed(runs.size());
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    const std::size_t which = seed % runs.size();
    // In every other turn a worker stops on the way.
    const bool stops = seed / runs.size() % 2 == 1;
    run_settings s{.draw = draw_noise};
    if (stops) s.stops = {{2, 2}};
    outcome& expected = undisturbed[which][stops];
    if (expected.empty()) expected = runs[which].train(s);
    s.threads = 1 + static_cast<int>(seed % 5);
    s.seen = delays(seed);
    INFO(runs[which].name, ", seed ", seed);
    CHECK(runs[which].train(s) == expected);
  }
}

TEST_CASE("every strategy: what is on the wire is what the formulas say") {
  for (const every::strategy_run& run : every::all()) {
    std::atomic<std::uint64_t> down = 0, up = 0, between = 0;
    run_settings s{.draw = draw_noise};
    s.seen.sent = [&](const message_route& route, std::span<const float> values) {
      if (route.kind == message::control) return;
      (route.from == 0 ? down : route.to == 0 ? up : between) += values.size();
    };
    INFO(run.name);
    (void)run.train(s);
    CHECK(down == run.expected.down);
    CHECK(up == run.expected.up);
    CHECK(between == run.expected.between);
  }
}

TEST_CASE("every strategy: private samples are in no message") {
  for (const every::strategy_run& run : every::all()) {
    std::atomic<int> messages = 0, leaks = 0;
    run_settings s{.draw = draw_canary};
    s.seen.sent = [&](const message_route&, std::span<const float> values) {
      ++messages;
      leaks += holds_canary(values);
    };
    INFO(run.name);
    (void)run.train(s);
    CHECK(messages > 0);
    CHECK(leaks == 0);
  }
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
    run_settings s{.draw = draw_noise};
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
    CHECK(nodes == 1 + every::workers);
  }
}

TEST_CASE("a private sample that is in a message is found, however it is written") {
  std::vector<float> message(40, 0.25f);
  CHECK_FALSE(holds_canary(message));
  const auto finds = [&](auto write) {
    for (const bool uniform : {false, true}) {
      std::vector<float> sent = message;
      for (std::size_t i = 0; i < pattern.size(); ++i)
        sent[7 + i] = write(uniform ? constant : pattern[i]);
      CHECK(holds_canary(sent));
    }
  };
  finds([](std::uint8_t v) { return scaled(v); });
  finds([](std::uint8_t v) { return static_cast<float>(v) / 255.0f; });
  finds([](std::uint8_t v) { return static_cast<float>(v); });
  // As bytes, at an odd place, and in a message of a run.
  std::memcpy(reinterpret_cast<std::uint8_t*>(message.data()) + 13, pattern.data(), pattern.size());
  CHECK(holds_canary(message));
  std::atomic<int> leaks = 0;
  observed::world world(
      comm::in_process(2, 2),
      {.sent = [&](const message_route&, std::span<const float> v) { leaks += holds_canary(v); }});
  world.run([&](auto& comm) {
    std::vector<float> sample(every::image_values);
    draw_canary(1, 0, sample);
    if (comm.rank() == 1) return comm.send(message::batch, sample, 0);
    CHECK(comm.receive(message::batch, sample, 1));
  });
  CHECK(leaks == 1);
}
