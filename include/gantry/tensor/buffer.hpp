// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include "gantry/base/math.hpp"

namespace gantry::inline v0 {

/// Slices of an arena start at multiples of this many scalars (one cache line of floats).
inline constexpr std::size_t slice_alignment = 16;

/// Scalars that a slice of `count` scalars occupies in an arena.
constexpr std::size_t slice(std::size_t count) { return round_up(count, slice_alignment); }

/// Bytes that host_buffer<T> takes for `count` scalars.
template <class T>
constexpr std::size_t allocation_bytes(std::size_t count) {
  return round_up(count * sizeof(T), std::size_t{64});
}

/// What memory of a node is for, where its owner says so.
enum class memory_use : std::size_t { parameters, gradients, optimizer_state };

/// Counts what a backend has allocated; shared by the backend and its buffers.
class memory_meter {
 public:
  void add(std::size_t bytes) {
    const std::size_t now = bytes_.fetch_add(bytes) + bytes;
    allocations_.fetch_add(1);
    std::size_t peak = peak_.load();
    while (peak < now && !peak_.compare_exchange_weak(peak, now)) {}
  }
  void remove(std::size_t bytes) { bytes_.fetch_sub(bytes); }
  [[nodiscard]] std::size_t bytes() const { return bytes_.load(); }
  [[nodiscard]] std::size_t peak() const { return peak_.load(); }
  [[nodiscard]] std::size_t allocations() const { return allocations_.load(); }

  /// Notes what counted bytes are for. A note stays when they are freed: networks live as long as
  /// their node.
  void note(memory_use use, std::size_t bytes) const {
    noted_[static_cast<std::size_t>(use)].fetch_add(bytes);
  }
  [[nodiscard]] std::size_t noted(memory_use use) const {
    return noted_[static_cast<std::size_t>(use)].load();
  }

 private:
  std::atomic<std::size_t> bytes_{0}, peak_{0}, allocations_{0};
  mutable std::array<std::atomic<std::size_t>, 3> noted_{};
};

/// Zero-filled host memory on a cache-line boundary; move-only. From 2 MiB on it lies on a huge
/// page where the system allows that: a step then misses the page tables' cache less often.
template <class T>
class host_buffer {
 public:
  host_buffer() = default;
  host_buffer(std::size_t count, std::shared_ptr<memory_meter> meter)
      : size_(count), meter_(std::move(meter)) {
    if (count == 0) return;
    data_ = static_cast<T*>(::operator new(bytes(), alignment()));
#if defined(__linux__)
    if (bytes() >= huge_page)  // a wish: nothing is wrong if it is not granted
      static_cast<void>(madvise(data_, bytes() / huge_page * huge_page, MADV_HUGEPAGE));
#endif
    std::memset(static_cast<void*>(data_), 0, bytes());
    if (meter_) meter_->add(bytes());
  }
  host_buffer(host_buffer&& other) noexcept { swap(other); }
  host_buffer& operator=(host_buffer&& other) noexcept {
    host_buffer(std::move(other)).swap(*this);
    return *this;
  }
  host_buffer(const host_buffer&) = delete;
  host_buffer& operator=(const host_buffer&) = delete;
  ~host_buffer() {
    if (!data_) return;
    if (meter_) meter_->remove(bytes());
    ::operator delete(data_, alignment());
  }

  void swap(host_buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(meter_, other.meter_);
  }
  [[nodiscard]] T* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::span<T> span() const { return {data_, size_}; }

 private:
  static constexpr std::size_t huge_page = std::size_t{1} << 21;
  [[nodiscard]] std::align_val_t alignment() const {
    return std::align_val_t{bytes() >= huge_page ? huge_page : 64};
  }
  [[nodiscard]] std::size_t bytes() const { return allocation_bytes<T>(size_); }

  T* data_{};
  std::size_t size_{};
  std::shared_ptr<memory_meter> meter_;
};

}  // namespace gantry
