// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "gantry/comm/mpi.hpp"

namespace test {

/// Of this process; set by main.
inline const gantry::comm::mpi_environment* mpi = nullptr;

/// A world of the first ranks, each with one thread.
inline gantry::comm::mpi_world mpi_world(int size, gantry::comm::mpi_patience patience = {},
                                         std::shared_ptr<gantry::device_room> room = {}) {
  return gantry::comm::mpi_world(*mpi, size, std::make_shared<gantry::thread_pool>(1),
                                 std::move(patience), std::move(room));
}

}  // namespace test
