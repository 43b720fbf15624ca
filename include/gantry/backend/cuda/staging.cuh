// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Host memory on its way to a device.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>

#include <cuda_runtime.h>

#include "gantry/backend/cuda/runtime.cuh"

namespace gantry::inline v0::backend {

/// Pinned host memory: a device copies from it while the host goes on.
class pinned_buffer {
 public:
  pinned_buffer() = default;
  explicit pinned_buffer(std::size_t count) : size_(count) {
    kernels::check(cudaMallocHost(&data_, count * sizeof(float)), "cudaMallocHost");
  }
  pinned_buffer(const pinned_buffer&) = delete;
  pinned_buffer(pinned_buffer&& other) noexcept { *this = std::move(other); }
  pinned_buffer& operator=(pinned_buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~pinned_buffer() {
    if (data_) static_cast<void>(cudaFreeHost(data_));
  }
  [[nodiscard]] float* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] float* begin() const { return data_; }
  [[nodiscard]] float* end() const { return data_ + size_; }

 private:
  float* data_{};
  std::size_t size_{};
};

/// Copies to the device that the host does not wait for: numbers go through one of a few pinned
/// buffers, which is used again after its copy. Buffers grow to the largest request and stay.
class staging {
 public:
  /// The source may change as soon as this returns. @throws device_error
  void send(std::span<const float> source, float* target, const cuda_stream& stream) {
    if (source.empty()) return;
    slot& s = slots_[next_];
    next_ = (next_ + 1) % slots_.size();
    s.sent.wait();
    if (s.memory.size() < source.size()) s.memory = pinned_buffer(source.size());
    std::ranges::copy(source, s.memory.data());
    kernels::check(cudaMemcpyAsync(target, s.memory.data(), source.size_bytes(),
                                   cudaMemcpyHostToDevice, stream.get()),
                   "cudaMemcpyAsync");
    s.sent.record(stream);
  }

 private:
  struct slot {
    pinned_buffer memory;
    cuda_event sent;
  };
  std::array<slot, 4> slots_;
  std::size_t next_{};
};

}  // namespace gantry::backend
