// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
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

/// Seven ranks on machines of one, four and two.
constexpr std::uint32_t machine_of(rank_t rank) { return rank == 0 ? 5 : rank < 5 ? 6 : 7; }
struct two_level_links {
  comm::level_costs costs;
  [[nodiscard]] double transfer_seconds(rank_t from, rank_t to, double bytes) const {
    const auto& link = machine_of(from) == machine_of(to) ? costs.within : costs.across;
    return link.seconds(static_cast<std::size_t>(bytes));
  }
  static double latency(rank_t, rank_t) { return 0; }
  static bool shares_uplink(rank_t) { return true; }
  static double compute_seconds(rank_t, double, std::uint32_t) { return 0; }
};

/// Seconds of the last rank, which are those that were foretold.
double broadcast_on_a_clock(const comm::level_costs& costs, std::size_t n,
                            comm::broadcast_way way) {
  auto world = comm::modelled(comm::in_process(7, 2), two_level_links{costs});
  std::mutex mutex;
  double last = 0;
  world.run([&](auto& comm) {
    auto levels = comm::node_leaders(comm, machine_of(comm.rank()));
    comm.barrier();
    const double begin = comm.time().seconds;
    std::vector<float> values(n);
    CHECK(levels.broadcast(message::model, values, way));
    comm.barrier();
    const double spent = comm.time().seconds - begin;
    CHECK(spent == doctest::Approx(levels.broadcast_seconds(way, 4 * n, costs)));
    const std::lock_guard lock(mutex);
    last = std::max(last, spent);
  });
  return last;
}
comm::broadcast_way chosen_on_a_clock(const comm::level_costs& costs, std::size_t n) {
  comm::broadcast_way chosen{};
  comm::in_process(7, 2).run([&](auto& comm) {
    const auto own =
        comm::node_leaders(comm, machine_of(comm.rank())).faster_broadcast(4 * n, costs);
    if (comm.rank() == 6) chosen = own;
  });
  return chosen;
}

void compute() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
  for (std::atomic<int> i{0}; std::chrono::steady_clock::now() < end; ++i) continue;
}

}  // namespace

TEST_CASE("in process: groups are worlds") { conformance::groups_are_worlds(make); }
TEST_CASE("in process: machines have leaders") { conformance::machines_have_leaders(make); }
TEST_CASE("in process: values come by leaders") { conformance::values_come_by_leaders(make); }
TEST_CASE("the faster broadcast is what the clock of a link model says") {
  using enum comm::broadcast_way;
  int by_leaders_won = 0, direct_won = 0;
  for (const comm::level_costs& costs :
       {comm::level_costs{{1e-6, 1e10}, {5e-5, 1e8}}, {{1e-3, 1e6}, {2e-3, 1e9}}})
    for (const std::size_t n : {1, 1000, 200'000}) {
      const double seconds[] = {broadcast_on_a_clock(costs, n, direct),
                                broadcast_on_a_clock(costs, n, by_leaders)};
      const auto chosen = chosen_on_a_clock(costs, n);
      CHECK(chosen == (seconds[1] < seconds[0] ? by_leaders : direct));
      ++(chosen == direct ? direct_won : by_leaders_won);
    }
  CHECK(by_leaders_won > 0);
  CHECK(direct_won > 0);
}
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
