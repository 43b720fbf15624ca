// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Every strategy over sockets. Each process compares its networks with those of its rank in a run
// of its own threads.
#include <vector>

#include <doctest/doctest.h>

#include "distributed/every_strategy_suite.hpp"
#include "tcp/ranks.hpp"

using namespace gantry;

namespace {

every::payload sum_over_processes(every::payload here) {
  std::vector<float> sums{static_cast<float>(here.down), static_cast<float>(here.up),
                          static_cast<float>(here.between)};
  test::tcp_world(test::processes).run([&](auto& comm) {
    comm.all_reduce_sum(message::control, sums);
  });
  for (const float sum : sums) REQUIRE(sum < 16'777'216.0f);  // exact up to there
  return {static_cast<std::uint64_t>(sums[0]), static_cast<std::uint64_t>(sums[1]),
          static_cast<std::uint64_t>(sums[2])};
}

every::transport over_tcp() {
  return {.make = [](int ranks, int) -> comm::any_world { return test::tcp_world(ranks); },
          .only = test::rank,
          .total = sum_over_processes};
}

}  // namespace

TEST_CASE("tcp: every strategy has the networks, bytes and privacy of a run over threads") {
  every::runs_as_in_process(over_tcp(), 4);
}

TEST_CASE("tcp: every strategy goes on without a worker") {
  every::goes_on_without_a_worker(over_tcp(), 2);
}
