// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Device memory that is kept for the next request, and buffers in it.
#pragma once

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>

#include <cuda_runtime.h>

#include "gantry/backend/cuda/runtime.cuh"
#include "gantry/tensor/buffer.hpp"

namespace gantry::inline v0::backend {

/// What a pool does with memory that comes back: keeps it for the next request of its size, or
/// frees it, so that a memory checker sees every use of it.
enum class pool_mode { caching, pass_through };

/// Bytes, and the most that they have been.
class peaked_bytes {
 public:
  void add(std::size_t bytes) {
    const std::size_t now = now_ += bytes;
    for (std::size_t most = most_; most < now && !most_.compare_exchange_weak(most, now);) {}
  }
  void remove(std::size_t bytes) { now_ -= bytes; }
  /// The most since the last call.
  std::size_t take_peak() { return most_.exchange(now_); }

 private:
  std::atomic<std::size_t> now_{0}, most_{0};
};

/// What all pools of this process have had of their devices: handed out, and with what they keep.
struct process_memory {
  peaked_bytes used, held;
};
inline process_memory memory_of_process;

/// Device memory for the work of one stream: a block that comes back may be handed out at once, for
/// what uses it next comes later in the stream.
class memory_pool {
 public:
  explicit memory_pool(pool_mode mode) : mode_(mode) {}
  memory_pool(const memory_pool&) = delete;
  memory_pool& operator=(const memory_pool&) = delete;
  ~memory_pool() { release(); }

  /// @throws device_error if the device has no room left, even without what is kept
  void* take(std::size_t bytes) {
    const std::lock_guard guard(mutex_);
    const std::size_t size = rounded(bytes);
    if (const auto it = kept_.find(size); it != kept_.end()) {
      void* memory = it->second;
      kept_.erase(it);
      count_used(size);
      return memory;
    }
    void* memory = nullptr;
    cudaError_t status = cudaMalloc(&memory, size);
    if (status == cudaErrorMemoryAllocation && !kept_.empty()) {
      static_cast<void>(cudaGetLastError());
      free_kept();
      status = cudaMalloc(&memory, size);
    }
    if (status == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());
      throw device_error("cudaMalloc", "cudaErrorMemoryAllocation",
                         "the device has no room for " + std::to_string(size) +
                             " bytes more beside the " + std::to_string(used_) +
                             " that this backend uses; take a smaller batch or a smaller network");
    }
    kernels::check(status, "cudaMalloc");
    memory_of_process.held.add(size);
    count_used(size);
    return memory;
  }
  /// `bytes` as they were asked for.
  void give(void* memory, std::size_t bytes) noexcept {
    const std::lock_guard guard(mutex_);
    const std::size_t size = rounded(bytes);
    used_ -= size;
    memory_of_process.used.remove(size);
    if (mode_ == pool_mode::caching)
      kept_.emplace(size, memory);
    else
      free(memory, size);
  }
  /// Gives what is kept back to the device.
  void release() {
    const std::lock_guard guard(mutex_);
    free_kept();
  }
  [[nodiscard]] std::size_t used() const { return used_; }
  [[nodiscard]] std::size_t blocks_kept() const { return kept_.size(); }

 private:
  /// Few sizes, so that a block finds another use; without a cache, to the byte.
  [[nodiscard]] std::size_t rounded(std::size_t bytes) const {
    constexpr std::size_t small = 512, large = std::size_t{1} << 20;
    return mode_ == pool_mode::pass_through ? bytes
                                            : round_up(bytes, bytes < large ? small : large);
  }
  void free_kept() {
    for (const auto& [size, memory] : kept_) free(memory, size);
    kept_.clear();
  }
  static void free(void* memory, std::size_t size) {
    static_cast<void>(cudaFree(memory));
    memory_of_process.held.remove(size);
  }
  void count_used(std::size_t size) {
    used_ += size;
    memory_of_process.used.add(size);
  }

  pool_mode mode_;
  std::mutex mutex_;
  std::multimap<std::size_t, void*> kept_;
  std::size_t used_{};
};

/// What a backend and its buffers share, so that a buffer may outlive the backend.
struct device_memory {
  explicit device_memory(pool_mode mode) : pool(mode) {}
  cuda_stream stream;
  memory_pool pool;
  memory_meter meter;
};

/// Zero-filled device memory; move-only. The zeros are written in the stream's order.
template <class T>
class device_buffer {
 public:
  device_buffer() = default;
  /// A counted buffer is part of what a plan says a network takes. @throws device_error
  device_buffer(std::size_t count, std::shared_ptr<device_memory> memory, bool counted = true)
      : size_(count), counted_(counted), memory_(std::move(memory)) {
    if (count == 0) return;
    data_ = static_cast<T*>(memory_->pool.take(bytes()));
    if (counted_) memory_->meter.add(bytes());
    const cudaError_t status = cudaMemsetAsync(data_, 0, bytes(), memory_->stream.get());
    if (status != cudaSuccess) free();
    kernels::check(status, "cudaMemsetAsync");
  }
  device_buffer(device_buffer&& other) noexcept { swap(other); }
  device_buffer& operator=(device_buffer&& other) noexcept {
    device_buffer(std::move(other)).swap(*this);
    return *this;
  }
  device_buffer(const device_buffer&) = delete;
  device_buffer& operator=(const device_buffer&) = delete;
  ~device_buffer() { free(); }

  void swap(device_buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(counted_, other.counted_);
    std::swap(memory_, other.memory_);
  }
  [[nodiscard]] T* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::span<T> span() const { return {data_, size_}; }

 private:
  [[nodiscard]] std::size_t bytes() const { return allocation_bytes<T>(size_); }
  void free() noexcept {
    if (!data_) return;
    memory_->pool.give(data_, bytes());
    if (counted_) memory_->meter.remove(bytes());
    data_ = nullptr;
  }

  T* data_{};
  std::size_t size_{};
  bool counted_{true};
  std::shared_ptr<device_memory> memory_;
};

}  // namespace gantry::backend
