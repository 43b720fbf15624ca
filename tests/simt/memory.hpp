// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Device memory: an arena per device, one behind the other. Fresh memory is NaN; what follows an
// allocation is checked when it is freed, and guarded under AddressSanitizer.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <sys/mman.h>
#include <utility>
#include <vector>

#include "simt/options.hpp"

namespace simt {

class device_heap {
 public:
  static constexpr std::size_t reserved = std::size_t{16} << 30;  ///< bytes of a device

  static device_heap& instance() {
    static device_heap& heap = *new device_heap;  // never destroyed: pointers into it may be left
    return heap;
  }

  /// Null if there is no room.
  void* allocate(int device, std::size_t bytes) {
    const access open(*this);
    char*& top = tops_[static_cast<std::size_t>(device)];
    const std::size_t padded = (bytes + gap + 255) & ~std::size_t{255};
    char* p = nullptr;
    const auto old = freed_.find({device, padded});
    if (old != freed_.end()) {
      p = old->second;
      freed_.erase(old);
    } else {
      if (static_cast<std::size_t>(top - arena(device)) + padded > reserved) return nullptr;
      p = top;
      top += padded;
      if (settings().host_trap) protect(PROT_READ | PROT_WRITE);
    }
    asan_unpoison(p, padded);
    std::fill_n(p, padded, fresh);
    asan_poison(p + bytes, padded - bytes);
    live_[p] = {bytes, padded};
    return p;
  }
  /// False if there is no such allocation. A write behind its end ends the program.
  bool release(void* memory) {
    const access open(*this);
    const auto it = live_.find(static_cast<char*>(memory));
    if (it == live_.end()) return false;
    const auto [bytes, padded] = it->second;
    if (under_asan) {
      asan_poison(memory, padded);
    } else {
      const char* p = it->first;
      const char* damage = std::find_if(p + bytes, p + padded, [](char c) { return c != fresh; });
      if (damage != p + padded) {
        std::fprintf(stderr, "simt: a kernel wrote %td bytes past the end of %zu bytes\n",
                     damage - p - static_cast<std::ptrdiff_t>(bytes), bytes);
        std::abort();
      }
    }
    freed_.emplace(std::pair{device_of(it->first), padded}, it->first);
    live_.erase(it);
    return true;
  }
  [[nodiscard]] bool owns(const void* p) const { return p >= base_ && p < arena(devices()); }
  /// Of memory that it owns.
  [[nodiscard]] int device_of(const void* p) const {
    return static_cast<int>(static_cast<std::size_t>(static_cast<const char*>(p) - base_) /
                            reserved);
  }
  /// [p, p + bytes) lies within one allocation.
  [[nodiscard]] bool contains(const void* p, std::size_t bytes) {
    std::lock_guard guard(mutex_);
    auto it = live_.upper_bound(static_cast<char*>(const_cast<void*>(p)));
    if (it == live_.begin()) return false;
    --it;
    return static_cast<const char*>(p) + bytes <= it->first + it->second.bytes;
  }
  [[nodiscard]] std::size_t allocations() const { return live_.size(); }

  /// While one lives, the host may touch device memory (see SIMT_HOSTTRAP).
  class access {
   public:
    explicit access(device_heap& heap) : heap_(heap), guard_(heap.mutex_) {
      if (heap_.depth_++ == 0 && settings().host_trap) heap_.protect(PROT_READ | PROT_WRITE);
    }
    ~access() {
      if (--heap_.depth_ == 0 && settings().host_trap) heap_.protect(PROT_NONE);
    }
    access(const access&) = delete;
    access& operator=(const access&) = delete;

   private:
    device_heap& heap_;
    std::lock_guard<std::recursive_mutex> guard_;
  };

 private:
  static constexpr std::size_t gap = 512;
  static constexpr char fresh = static_cast<char>(0xFF);
  struct extent {
    std::size_t bytes, padded;
  };
  device_heap() {
    const auto all = std::max<std::size_t>(1, tops_.size()) * reserved;
    base_ = static_cast<char*>(mmap(nullptr, all, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    for (int device = 0; device < devices(); ++device)
      tops_[static_cast<std::size_t>(device)] = arena(device);
  }
  [[nodiscard]] int devices() const { return static_cast<int>(tops_.size()); }
  [[nodiscard]] char* arena(int device) const {
    return base_ + static_cast<std::size_t>(device) * reserved;
  }
  void protect(int rights) {
    for (int device = 0; device < devices(); ++device) {
      const char* top = tops_[static_cast<std::size_t>(device)];
      const auto used = (static_cast<std::size_t>(top - arena(device)) + 4095) & ~std::size_t{4095};
      if (used) mprotect(arena(device), used, rights);
    }
  }

  char* base_ = nullptr;
  std::vector<char*> tops_ = std::vector<char*>(static_cast<std::size_t>(settings().devices));
  std::map<char*, extent> live_;
  std::multimap<std::pair<int, std::size_t>, char*> freed_;  ///< by device and padded bytes
  int depth_ = 0;
  std::recursive_mutex mutex_;
};

}  // namespace simt
