// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// doctest's main on every rank of mpirun: all ranks run the same tests in the same order.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "mpi/ranks.hpp"

int main(int argc, char** argv) {
  const gantry::comm::mpi_environment environment;
  test::mpi = &environment;
  doctest::Context context(argc, argv);
  context.setOption("no-version", true);
  return context.run();
}
