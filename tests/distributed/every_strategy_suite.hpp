// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// One suite of all strategies for every transport: on it a run ends as one in this process does,
// bit for bit, with messages of the sizes of the formulas and without a private sample in any.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include <doctest/doctest.h>

#include "gantry/base/rng.hpp"

#include "distributed/canary.hpp"
#include "distributed/every_strategy.hpp"

namespace gantry::every {

/// Before and after what a rank sends and receives it goes on at once, lets others run, or sleeps
/// for up to a tenth of a millisecond.
inline observed::observer delays(std::uint64_t seed) {
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

struct transport {
  std::function<comm::any_world(int ranks, int threads)> make;
  std::optional<rank_t> only{};  ///< the one rank of this process, if it has not all
  /// Sums over the processes; called by all of them.
  std::function<payload(payload)> total = [](payload here) { return here; };
};

/// What the ranks of this process add to a run.
inline outcome part_of(const transport& t, outcome whole) {
  if (t.only)
    std::erase_if(whole, [own = std::to_string(*t.only) + "/"](const auto& entry) {
      return !entry.first.starts_with(own);
    });
  return whole;
}

/// Every strategy with so many workers, on private samples that no message may hold.
inline void runs_as_in_process(const transport& t, int workers) {
  for (const strategy_run& run : all()) {
    if (workers < run.least_workers) continue;
    run_settings s{.workers = workers, .draw = canary::draw};
    const outcome expected = part_of(t, run.train(s));
    std::atomic<std::uint64_t> down = 0, up = 0, between = 0;
    std::atomic<int> leaks = 0;
    s.seen = delays(static_cast<std::uint64_t>(workers));
    s.seen.sent = [&](const message_route& route, std::span<const float> values) {
      leaks += canary::is_in(values);
      if (route.kind == message::control) return;
      (route.from == 0 ? down : route.to == 0 ? up : between) += values.size();
    };
    s.make = t.make;
    INFO(run.name, ", ", workers, " workers");
    CHECK(run.train(s) == expected);
    CHECK(leaks == 0);
    const payload sum = t.total({down, up, between}), formula = run.expected(workers, s.rounds);
    CHECK(sum.down == formula.down);
    CHECK(sum.up == formula.up);
    CHECK(sum.between == formula.between);
  }
}

/// Every strategy goes on without a worker that stops on the way, the same way everywhere.
inline void goes_on_without_a_worker(const transport& t, int workers) {
  for (const strategy_run& run : all()) {
    if (workers < run.least_workers_to_stop) continue;
    run_settings s{.workers = workers, .stops = {{2, 2}}, .draw = canary::draw};
    const outcome whole = run.train(s), expected = part_of(t, whole);
    s.seen = delays(static_cast<std::uint64_t>(workers));
    s.make = t.make;
    INFO(run.name, ", ", workers, " workers, the second stops");
    CHECK(whole.contains("0/images"));
    CHECK(run.train(s) == expected);
  }
}

}  // namespace gantry::every
