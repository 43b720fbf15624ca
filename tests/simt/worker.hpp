// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Runs blocks on one thread of the operating system. A CUDA thread runs until it waits; then the
// next one that can run continues, on its own stack. Found and reported with file and line:
// barriers that not all threads reach, threads at different barriers, warp operations with missing
// lanes, mixed masks or mixed operations, deadlocks.
#pragma once

#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>

#include "simt/state.hpp"

namespace simt {

class worker;
inline constinit thread_local worker* self = nullptr;

class worker {
 public:
  static constexpr std::size_t most_shared = 227 << 10;  ///< bytes of dynamic shared memory

  /// Takes blocks of the launch until there are none left.
  void work(launch_job& job);
  /// __syncthreads; returns how many threads gave a true predicate.
  int block_sync(bool predicate, const location& at, const char* what);
  /// Waits for all lanes of the mask; the last one runs `operation` over all arguments. A fence
  /// also orders memory.
  struct gathering {
    unsigned mask;
    void* argument;
    void (*operation)(void**, unsigned);
    const char* what;
    bool fence;
  };
  void gather(const gathering& g, const location& at);
  /// Lets the other threads of the block run; from a loop that waits for memory.
  void yield(const location& at);
  /// Ends the launch with an error. No destructors run: this stack is abandoned.
  template <class... A>
  [[noreturn]] void fail(const char* format, A... arguments) {
    static thread_local char message[600];
    const uint3 b = blockIdx, t = current_->index;
    const int n =
        std::snprintf(message, sizeof message, "block (%u,%u,%u) thread (%u,%u,%u): ", b.x, b.y,
                      b.z, t.x, t.y, t.z);
    if constexpr (sizeof...(A) == 0)
      std::snprintf(message + n, sizeof message - static_cast<std::size_t>(n), "%s", format);
    else
      std::snprintf(message + n, sizeof message - static_cast<std::size_t>(n), format,
                    arguments...);
    abandon(message);
  }

  [[nodiscard]] cuda_thread& current() { return *current_; }
  [[nodiscard]] unsigned char* dynamic_shared() { return dynamic_shared_; }
  [[nodiscard]] std::size_t dynamic_shared_bytes() const { return job_->shared_bytes; }
  [[nodiscard]] counters& statistics() { return statistics_; }

  /// Random bits for the order of threads and blocks (xorshift).
  using result_type = std::uint64_t;
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return ~result_type{0}; }
  result_type operator()() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    return random_ ^= random_ << 17;
  }

 private:
  static void fiber_main();
  fiber* take_fiber();
  void make_ready(std::uint16_t* begin, std::uint16_t* end);
  cuda_thread* next_ready();
  void continue_as(cuda_thread& t) {
    current_ = &t;
    threadIdx = t.index;
  }
  void start_or_resume(cuda_thread& t, fiber& from);
  void wait();
  void retire();
  void release_barrier();
  void complete(lane_group& g, unsigned warp_index);
  lane_group& find_group(warp& w, unsigned mask);
  void run_block(std::uint64_t index);
  void set_shape(dim3 block);
  void prepare_shared();
  void report_deadlock();
  void forget_fibers();
  void remember_main_stack();
  [[noreturn]] void abandon(const char* message) {
    job_->report(message);
    failed_ = true;
    jump(*current_->on, main_);
    std::abort();
  }

  launch_job* job_ = nullptr;
  std::vector<cuda_thread> threads_;
  std::vector<warp> warps_;
  std::vector<std::uint16_t> ready_;  ///< a stack: the next one is at the back
  std::vector<std::unique_ptr<fiber>> fibers_;
  std::vector<fiber*> idle_, spent_;
  fiber main_;
  cuda_thread* current_ = nullptr;
  unsigned live_ = 0, generation_ = 0;
  block_barrier barrier_;
  dim3 shape_{0, 0, 0};
  unsigned char* dynamic_shared_ = nullptr;
  std::uint64_t random_ = 0x9E3779B97F4A7C15u;
  counters statistics_;
  bool failed_ = false;
  std::uint64_t spins_ = 0;  ///< yields since something else happened
  std::chrono::steady_clock::time_point spinning_since_;
  char edge_[2];  ///< ThreadSanitizer's keys for a block after the block before it
};

}  // namespace simt
