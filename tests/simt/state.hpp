// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What the emulator knows of a launch, its threads, their barriers and their warps.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "simt/fiber.hpp"
#include "simt/types.hpp"

inline constinit thread_local uint3 threadIdx{}, blockIdx{};
inline constinit thread_local dim3 blockDim{}, gridDim{};
inline constexpr int warpSize = 32;

namespace simt {

inline constexpr unsigned all_lanes = 0xffffffffu;

struct launch_job {
  dim3 grid, block;
  std::size_t shared_bytes = 0;   ///< dynamic shared memory
  void (*body)(void*) = nullptr;  ///< runs the kernel once, for the current thread
  void* argument = nullptr;
  std::vector<std::uint32_t> turns;  ///< order of the blocks; empty: forward
  std::uint64_t blocks = 0;
  std::atomic<std::uint64_t> next{0};
  std::atomic<bool> stop{false};
  char end = 0;  ///< ThreadSanitizer's key for the end of the launch

  /// Keeps the first error and stops the launch.
  void report(const char* sentence) {
    std::lock_guard guard(mutex_);
    if (error_.empty()) error_ = sentence;
    stop = true;
  }
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  std::mutex mutex_;
  std::string error_;
};

enum class status : std::uint8_t { fresh, ready, at_barrier, at_warp, done };

struct cuda_thread {
  fiber* on = nullptr;
  uint3 index{};
  std::uint16_t id = 0;
  status state = status::fresh;
  const char* what = nullptr;  ///< the operation it waits in
  location where;
  unsigned mask = 0;  ///< its lanes, or the number of its barrier
};

/// Lanes of one warp that gather for one operation. ThreadSanitizer gets an object per parity of
/// the generation: with one, a lane that wakes late would see what its peers did at their next
/// barrier.
struct lane_group {
  unsigned mask = 0, arrived = 0, generation = 0;
  const char* what = nullptr;
  location where;
  void (*operation)(void**, unsigned) = nullptr;
  void* arguments[32];
  char edge[2];
};

struct warp {
  unsigned alive = 0;
  std::vector<lane_group> groups;
};

/// __syncthreads and its forms that count predicates.
struct block_barrier {
  unsigned arrived = 0, generation = 0;
  location where;
  int count = 0, result = 0;  ///< true predicates: so far, and of the last generation
  char edge[2];
};

struct counters {
  std::uint64_t threads = 0, switches = 0, barriers = 0, collectives = 0, bank_conflicts = 0;
  counters& operator+=(const counters& other) {
    threads += other.threads;
    switches += other.switches;
    barriers += other.barriers;
    collectives += other.collectives;
    bank_conflicts += other.bank_conflicts;
    return *this;
  }
};

}  // namespace simt
