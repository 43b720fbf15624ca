// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/comm/any.hpp"
#include "gantry/comm/filtered.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/comm/modelled.hpp"
#include "gantry/dist/filter_chain.hpp"
#include "gantry/metrics/link_model.hpp"

#include "distributed/conformance_groups.hpp"

using namespace gantry;

namespace {

const auto make = [](int size) { return comm::in_process(size, 2); };
const auto make_watched = [](int size, comm::patience health) {
  return comm::in_process_world(size, std::make_shared<thread_pool>(4), std::move(health));
};

/// A filter that changes nothing around links on a clock, behind one type.
const auto make_erased = [](int size) {
  const auto ranks = static_cast<std::size_t>(size);
  return comm::any_world(
      comm::filtered(comm::modelled(comm::in_process(size, 2),
                                    metrics::link_model(std::vector<metrics::node_rates>(
                                        ranks, {.upload = 1e6, .latency = 0.1}))),
                     message_selection{.kinds = {message::model}}, dist::exact{}));
};

void compute() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
  for (std::atomic<int> i{0}; std::chrono::steady_clock::now() < end; ++i) continue;
}

}  // namespace

TEST_CASE("in process: groups are worlds") { conformance::groups_are_worlds(make); }
TEST_CASE("in process: machines have leaders") { conformance::machines_have_leaders(make); }
TEST_CASE("in process: handles end in the order of a peer") {
  conformance::handles_end_in_the_order_of_a_peer(make);
}
TEST_CASE("in process: swaps with handles") { conformance::swaps_with_handles(make); }
TEST_CASE("in process: collectives with handles") {
  conformance::collectives_with_handles(make);
  conformance::collectives_with_handles_skip_lost_ranks(make);
}
TEST_CASE("decorators: collectives with handles") {
  conformance::collectives_with_handles(make_erased);
  conformance::collectives_with_handles_skip_lost_ranks(make_erased);
}
TEST_CASE("in process: who does nothing is dropped") {
  conformance::who_does_nothing_is_dropped(
      make_watched, 0.2, [] { std::this_thread::sleep_for(std::chrono::milliseconds(1500)); },
      compute);
}

TEST_CASE("in process: a late rank is named, and the wait can end") {
  std::string said;
  auto world = make_watched(
      2,
      {.warn_after = 0.1, .give_up_after = 0.3, .warn = [&](const std::string& s) { said = s; }});
  CHECK_THROWS_WITH_AS(world.run([](auto& comm) {
    if (comm.rank() == 1) return std::this_thread::sleep_for(std::chrono::milliseconds(800));
    comm.barrier();
  }),
                       doctest::Contains("rank 0 gives up"), error);
  CHECK_MESSAGE(conformance::contains(said, {"rank 0 has waited", "for the others",
                                             "barrier before the first iteration", "rank 1"}),
                said);
}
