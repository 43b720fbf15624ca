// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Every strategy over MPI, in worlds of two, three and five of five ranks. Each process compares
// its networks with those of its rank in a run of its own threads.
#include <array>
#include <cstdint>

#include <doctest/doctest.h>

#include "distributed/every_strategy_suite.hpp"
#include "mpi/ranks.hpp"

using namespace gantry;

namespace {

every::payload sum_over_processes(every::payload here) {
  std::array<std::uint64_t, 3> sums{here.down, here.up, here.between};
  comm::check_mpi(MPI_Allreduce(MPI_IN_PLACE, sums.data(), static_cast<int>(sums.size()),
                                MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD),
                  "MPI_Allreduce");
  return {sums[0], sums[1], sums[2]};
}

every::transport over_mpi() {
  return {.make = [](int ranks, int) -> comm::any_world { return test::mpi_world(ranks); },
          .only = test::mpi->rank(),
          .total = sum_over_processes};
}

}  // namespace

TEST_CASE("mpi: every strategy has the networks, bytes and privacy of a run over threads") {
  for (const int ranks : {2, 3, 5}) every::runs_as_in_process(over_mpi(), ranks - 1);
}

TEST_CASE("mpi: every strategy goes on without a worker") {
  for (const int ranks : {3, 5}) every::goes_on_without_a_worker(over_mpi(), ranks - 1);
}
