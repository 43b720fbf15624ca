// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Runs of every strategy with one pair of small networks, for tests of what all have in common.
// every_strategy.cpp compiles the strategies once, for all transports.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gantry/comm/any.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/concepts/strategy.hpp"
#include "gantry/dist/node_memory.hpp"

#include "support/observed_world.hpp"

namespace gantry::every {

constexpr std::uint64_t image_values = 8;
extern const std::uint64_t theta, phi;  ///< values of a generator with its buffers, of its judge

inline comm::any_world make_in_process(int ranks, int threads) {
  return comm::in_process_world(ranks, std::make_shared<thread_pool>(threads));
}

struct run_settings {
  int threads{2}, workers{3};
  std::uint32_t rounds{4};
  std::map<int, int> stops{};  ///< worker -> round
  observed::observer seen{};
  std::function<void(int, std::uint32_t, std::span<float>)> draw{};  ///< of worker n = 1, 2, ...
  std::function<comm::any_world(int ranks, int threads)> make = make_in_process;
  std::function<void(rank_t, const arena_bytes&)> measured{};  ///< called by all ranks
};

/// Bits of all networks of all ranks of this process that came to the end, as "rank/name", and of
/// two images of the server's.
using outcome = std::map<std::string, std::vector<std::uint32_t>>;

/// Payload of a whole run, all workers together.
struct payload {
  std::uint64_t down{}, up{}, between{};
  friend bool operator==(const payload&, const payload&) = default;
};

struct strategy_run {
  std::string name;
  strategy_plan plan;  ///< of three workers
  std::function<outcome(const run_settings&)> train;
  /// In floats, control messages apart, of so many workers and rounds; rounds are even.
  std::function<payload(std::uint64_t, std::uint64_t)> expected;
  int least_workers{1}, least_workers_to_stop{2};  ///< and go on when the second stops
};

/// Every strategy, with what makes its messages differ.
std::vector<strategy_run> all();

}  // namespace gantry::every
