// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Communicators around others keep the contract of concepts/communicator.hpp: a filter that changes
// nothing around a modelled link, and a real link without delay.
#include <vector>

#include <doctest/doctest.h>

#include "gantry/comm/filtered.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/comm/modelled.hpp"
#include "gantry/comm/throttled.hpp"
#include "gantry/dist/filter_chain.hpp"
#include "gantry/metrics/link_model.hpp"

#include "distributed/conformance.hpp"

using namespace gantry;

namespace {

const message_selection everything{.kinds = {message::batch, message::feedback,
                                             message::discriminator, message::model,
                                             message::control}};

metrics::link_model slow_links(int size) {
  return metrics::link_model(std::vector<metrics::node_rates>(static_cast<std::size_t>(size),
                                                              {.upload = 1e3, .latency = 0.1}));
}
metrics::link_model no_delay(int size) {
  return metrics::link_model(std::vector<metrics::node_rates>(static_cast<std::size_t>(size)));
}

template <class Suite>
void on_each(Suite suite) {
  suite([](int size) {
    return comm::filtered(comm::modelled(comm::in_process(size, 2), slow_links(size)), everything,
                          dist::exact{});
  });
  suite([](int size) { return comm::throttled(comm::in_process(size, 2), no_delay(size)); });
}

using filtered_type =
    comm::filtered_world<comm::modelled_world<comm::in_process_world, metrics::link_model>,
                         dist::exact>;
static_assert(World<filtered_type> && HasBroadcast<filtered_type::communicator_type> &&
                  HasReduce<filtered_type::communicator_type> &&
                  HasGather<filtered_type::communicator_type>,
              "decorated communicators must have every capability of the contract");

}  // namespace

TEST_CASE("decorators: ranks and size, lost peers, and who waits for those who leave") {
  on_each([](auto make) { conformance::ranks_and_size(make); });
  on_each([](auto make) { conformance::lost_peers(make); });
  on_each([](auto make) { conformance::leaving_wakes(make); });
}
TEST_CASE("decorators: messages keep their order, and mismatches are named") {
  on_each([](auto make) { conformance::messages_keep_their_order(make); });
  on_each([](auto make) { conformance::mismatches_are_named(make); });
}
TEST_CASE("decorators: exchange under any permutation, and barrier") {
  on_each([](auto make) { conformance::exchange_any_permutation(make); });
  on_each([](auto make) { conformance::barrier_separates(make); });
}
TEST_CASE("decorators: counters are exact") {
  on_each([](auto make) { conformance::counters_are_exact(make); });
}
TEST_CASE("decorators: sums are those of a serial loop and skip lost ranks") {
  on_each([](auto make) { conformance::sums_are_those_of_a_serial_loop(make); });
  on_each([](auto make) { conformance::sums_skip_lost_ranks(make); });
}
TEST_CASE("decorators: broadcast and gather") {
  on_each([](auto make) { conformance::broadcast_and_gather(make); });
}
TEST_CASE("decorators: one failure stops all") {
  on_each([](auto make) { conformance::one_failure_stops_all(make); });
}
