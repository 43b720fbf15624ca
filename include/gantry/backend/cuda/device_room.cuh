// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include <cuda_runtime.h>

#include "gantry/backend/cuda/memory.cuh"
#include "gantry/backend/cuda/runtime.cuh"
#include "gantry/concepts/device_queue.hpp"
#include "gantry/concepts/device_room.hpp"

namespace gantry::inline v0::backend {

/// Memory of a CUDA device for messages, with a stream of its own.
class cuda_room final : public device_room {
 public:
  /// @throws usage_error if there is no such device, device_error
  explicit cuda_room(int device)
      : device_(device), memory_((use_device(device), pool_mode::caching)) {}

  void enter() const override { use_device(device_); }
  [[nodiscard]] float* take(std::size_t count) override {
    return static_cast<float*>(memory_.pool.take(allocation_bytes<float>(count)));
  }
  void give(float* memory, std::size_t count) noexcept override {
    memory_.pool.give(memory, allocation_bytes<float>(count));
  }
  void follow(device_queue work) override {
    kernels::check(cudaStreamSynchronize(static_cast<cudaStream_t>(work.handle)),
                   "cudaStreamSynchronize");
  }
  void copy(std::span<const float> from, float* to) override {
    if (from.empty()) return;
    kernels::check(cudaMemcpyAsync(to, from.data(), from.size_bytes(), cudaMemcpyDeviceToDevice,
                                   memory_.stream.get()),
                   "cudaMemcpyAsync");
    memory_.stream.synchronize();
  }

 private:
  int device_;
  device_memory memory_;
};

}  // namespace gantry::backend
