// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Devices, streams and events of CUDA's runtime. Everything throws device_error.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include <cuda_runtime.h>

#include "gantry/kernels/common/launch.cuh"

namespace gantry::inline v0::backend {

/// Devices that this process sees; 0 also where there is no driver.
inline int device_count() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorNoDevice || status == cudaErrorInsufficientDriver) {
    static_cast<void>(cudaGetLastError());
    return 0;
  }
  kernels::check(status, "cudaGetDeviceCount");
  return count;
}

/// The device of the local_rank-th process or thread of this machine: they take turns.
/// @throws usage_error where there is no device
inline int device_of(int local_rank) {
  const int count = device_count();
  expects(count > 0,
          "The CUDA backend needs a GPU with a driver, found none; use --device cpu or run it on a "
          "machine that has one.");
  return local_rank % count;
}

/// Makes a device the calling thread's. @throws usage_error if there is no such device
inline void use_device(int device) {
  const int count = device_count();
  if (device < 0 || device >= count)
    throw usage_error("Device " + std::to_string(device) + " was asked for, but there are " +
                      std::to_string(count) + "; devices count from 0.");
  kernels::check(cudaSetDevice(device), "cudaSetDevice");
}

/// Bytes of a device's memory, in use or not; makes it the calling thread's.
/// @throws usage_error if there is no such device
inline std::size_t memory_of(int device) {
  use_device(device);
  std::size_t unused = 0, all = 0;
  kernels::check(cudaMemGetInfo(&unused, &all), "cudaMemGetInfo");
  return all;
}

/// Bytes of the calling thread's device that nobody uses.
inline std::size_t unused_memory() {
  std::size_t unused = 0, all = 0;
  kernels::check(cudaMemGetInfo(&unused, &all), "cudaMemGetInfo");
  return unused;
}

/// A queue of work that waits for no other queue.
class cuda_stream {
 public:
  cuda_stream() {
    kernels::check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking),
                   "cudaStreamCreateWithFlags");
  }
  cuda_stream(const cuda_stream&) = delete;
  cuda_stream& operator=(const cuda_stream&) = delete;
  ~cuda_stream() { static_cast<void>(cudaStreamDestroy(handle_)); }

  [[nodiscard]] cudaStream_t get() const { return handle_; }
  void synchronize() const {
    kernels::check(cudaStreamSynchronize(handle_), "cudaStreamSynchronize");
  }

 private:
  cudaStream_t handle_{};
};

/// A point in a stream that the host can wait for.
class cuda_event {
 public:
  cuda_event() {
    kernels::check(cudaEventCreateWithFlags(&handle_, cudaEventDisableTiming),
                   "cudaEventCreateWithFlags");
  }
  cuda_event(const cuda_event&) = delete;
  cuda_event& operator=(const cuda_event&) = delete;
  ~cuda_event() { static_cast<void>(cudaEventDestroy(handle_)); }

  void record(const cuda_stream& stream) {
    kernels::check(cudaEventRecord(handle_, stream.get()), "cudaEventRecord");
  }
  /// Returns at once if nothing was recorded.
  void wait() const { kernels::check(cudaEventSynchronize(handle_), "cudaEventSynchronize"); }

 private:
  cudaEvent_t handle_{};
};

}  // namespace gantry::backend
