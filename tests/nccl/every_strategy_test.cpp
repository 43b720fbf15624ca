// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Every strategy with all values of its messages by NCCL, whose part tests/nccl/emulated plays.
#include <doctest/doctest.h>

#include "distributed/every_strategy_suite.hpp"
#include "nccl/worlds.hpp"

using namespace gantry;

namespace {

every::transport over_nccl(std::size_t least_values) {
  return {.make = [least_values](int ranks, int threads) -> comm::any_world {
    return test::nccl_world(ranks, threads, least_values);
  }};
}

}  // namespace

TEST_CASE("nccl: every strategy has the networks, bytes and privacy of a run over threads") {
  every::runs_as_in_process(over_nccl(0), 3);
}

TEST_CASE("nccl: every strategy goes on without a worker") {
  every::goes_on_without_a_worker(over_nccl(8), 2);
}
