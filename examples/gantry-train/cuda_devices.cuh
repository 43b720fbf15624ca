// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>

#include "gantry/backend/cuda/device_room.cuh"
#include "gantry/backend/cuda/memory.cuh"
#include "gantry/backend/cuda/runtime.cuh"

#include "cuda_machine.hpp"

/// The devices of the runtime that this is compiled with.
inline cuda_machine count_devices() {
  cuda_machine found{.built = true, .devices = gantry::backend::device_count()};
  for (int device = 0; device < found.devices; ++device) {
    const std::size_t bytes = gantry::backend::memory_of(device);
    found.memory = device == 0 ? bytes : std::min(found.memory, bytes);
  }
  return found;
}

inline std::shared_ptr<gantry::device_room> room_on_device(int local_rank) {
  return std::make_shared<gantry::backend::cuda_room>(gantry::backend::device_of(local_rank));
}

inline device_peaks take_peaks_of_pools() {
  auto& memory = gantry::backend::memory_of_process;
  return {.used = memory.used.take_peak(), .held = memory.held.take_peak()};
}
