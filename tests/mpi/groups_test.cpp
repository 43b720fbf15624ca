// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Groups of ranks, operations with handles and late ranks over MPI; needs five ranks.
#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

#include <doctest/doctest.h>

#include "distributed/conformance_groups.hpp"
#include "mpi/ranks.hpp"

using namespace gantry;

namespace {

const auto make = [](int size) { return test::mpi_world(size); };
const auto make_watched = [](int size, comm::patience health) {
  return test::mpi_world(size, std::move(health));
};

void compute() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(2500);
  for (std::atomic<int> i{0}; std::chrono::steady_clock::now() < end; ++i) continue;
}

}  // namespace

TEST_CASE("mpi: groups are worlds") { conformance::groups_are_worlds(make); }
TEST_CASE("mpi: machines have leaders") { conformance::machines_have_leaders(make); }
TEST_CASE("mpi: values come by leaders") { conformance::values_come_by_leaders(make); }
TEST_CASE("mpi: handles end in the order of a peer") {
  conformance::handles_end_in_the_order_of_a_peer(make);
}
TEST_CASE("mpi: swaps with handles") { conformance::swaps_with_handles(make); }
TEST_CASE("mpi: collectives with handles") {
  conformance::collectives_with_handles(make);
  conformance::collectives_with_handles_skip_lost_ranks(make);
}
TEST_CASE("mpi: who does nothing is dropped") {
  conformance::who_does_nothing_is_dropped(
      make_watched, 1, [] { std::this_thread::sleep_for(std::chrono::milliseconds(5000)); },
      compute);
}
