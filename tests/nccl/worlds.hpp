// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "gantry/comm/in_process.hpp"
#include "gantry/comm/nccl.hpp"

namespace test {

using nccl_threads = gantry::comm::nccl_world<gantry::comm::in_process_world>;

/// Threads whose values go by NCCL, by default all of them.
inline nccl_threads nccl_world(int size, int threads = 2, std::size_t least_values = 0,
                               gantry::comm::patience health = {}) {
  return nccl_threads(
      gantry::comm::in_process_world(size, std::make_shared<gantry::thread_pool>(threads)),
      {.least_values = least_values, .start_within = 5}, std::move(health));
}

}  // namespace test
