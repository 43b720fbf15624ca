// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// One pool of threads for a whole process: shared by the nodes that run in it and by the products
// inside their layers. A fixed number of permits says how many threads compute at once, so that
// many nodes on few cores never oversubscribe them.
//
// Results never depend on the number of threads: the caller cuts its work into chunks, the pool
// only decides which thread runs a chunk and when. A chunk must not read what another chunk of the
// same call writes.
#pragma once

#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"

namespace gantry::inline v0 {

class thread_pool;

/// Cores that this process may run on.
inline int usable_cores() {
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) return CPU_COUNT(&allowed);
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

/// The right of the current thread to compute: one of the pool's permits, waited for in the
/// constructor. If the thread has one already, the new object stands for that one. Before a thread
/// waits for another one it gives the permit up (`release`), else the two could wait for each
/// other. A local variable of the thread that computes; not for members or other threads.
class compute_permit {
 public:
  explicit compute_permit(thread_pool& pool);
  ~compute_permit();
  compute_permit(const compute_permit&) = delete;
  compute_permit& operator=(const compute_permit&) = delete;

  /// Gives the permit up until `acquire`; never blocks.
  void release();
  /// Waits for a permit; does nothing if it is held.
  void acquire();
  [[nodiscard]] bool held() const { return owner_->held_; }

 private:
  friend class thread_pool;
  compute_permit(thread_pool& pool, std::try_to_lock_t);

  thread_pool* pool_;
  compute_permit* enclosing_;  // the next outer permit of this thread, of any pool
  compute_permit* owner_;      // who holds what this object stands for: itself or an outer one
  bool held_{false};
  static inline constinit thread_local compute_permit* innermost_ = nullptr;
};

/// `threads` permits, and threads - 1 helpers that join the calls of `parallel_for`.
class thread_pool {
 public:
  /// threads = 0 takes as many as there are usable cores. @throws usage_error if negative, error if
  /// the system has no room for so many threads
  explicit thread_pool(int threads);
  /// No call of parallel_for may be under way.
  ~thread_pool() { stop(); }
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  /// Threads that compute at once, callers included.
  [[nodiscard]] int threads() const { return threads_; }

  /// Runs f(0) ... f(chunks - 1), each once, in any order, on the caller and on the helpers that
  /// find a permit free; returns when all have ended. The caller never waits for a helper that has
  /// not started a chunk, so a busy machine slows it down to one thread, not below. May be called
  /// inside f and from many threads at once; a caller without a permit waits for one. Allocates
  /// nothing. If chunks throw, no more are started and the exception of the lowest one is rethrown,
  /// which is the one a serial loop would have thrown.
  template <class F>
  void parallel_for(int chunks, F&& f) {
    using function = std::remove_reference_t<F>;
    run(
        chunks, [](void* context, int chunk) { (*static_cast<function*>(context))(chunk); },
        const_cast<void*>(static_cast<const void*>(std::addressof(f))));
  }

 private:
  friend class compute_permit;
  static constexpr int most_regions = 64;
  static constexpr std::uint64_t one_helper = std::uint64_t{1} << 32;
  static constexpr std::chrono::microseconds spin_time{100};

  // One call of parallel_for. It lies in the pool, not on the caller's stack, so that a helper that
  // is late may still look at it. `state` counts helpers at work (high half) and chunks nobody has
  // started (low half): a helper joins and takes its first chunk in one step. The other members
  // belong to the caller; helpers read them between joining and leaving.
  struct alignas(64) region {
    std::atomic<std::uint64_t> state{0};
    std::atomic<std::uint32_t> last_left{0};  // changes whenever the last helper leaves
    void (*call)(void*, int){};
    void* context{};
    int chunks{};
    int failed_chunk{};
    std::exception_ptr failure{};
  };

  // What every instance of parallel_for shares; a kernel's body is compiled once, behind `call`.
  void run(int chunks, void (*call)(void*, int), void* context);

  static std::uint32_t unstarted(std::uint64_t state) { return static_cast<std::uint32_t>(state); }
  static std::uint64_t helpers_in(std::uint64_t state) { return state >> 32; }
  static void relax();
  template <class Ready>
  static void spin_until(Ready ready);

  bool try_take_permit();
  void take_permit();
  void give_permit();

  region* claim_region();
  void run_region(region& r);
  static int take_chunk(region& r, std::uint64_t joining);
  void run_chunk(region& r, int chunk);
  static void leave(region& r);

  [[nodiscard]] bool has_unstarted_chunks() const;
  [[nodiscard]] bool can_help() const;
  void wake_helpers(int wanted);
  void help();
  void help_with(region& r);
  void sleep();
  void stop();

  int threads_;
  std::atomic<int> permits_;
  std::atomic<int> waiting_{0};   // threads waiting for a permit
  std::atomic<int> sleeping_{0};  // helpers that only a signal wakes
  std::atomic<std::uint32_t> signal_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> claimed_{0};  // bit i: region i is in use
  std::array<region, most_regions> regions_{};
  std::mutex failure_mutex_;
  std::vector<std::thread> helpers_;
};

// ------------------------------------------------------------------------------- compute_permit

inline compute_permit::compute_permit(thread_pool& pool, std::try_to_lock_t)
    : pool_(&pool), enclosing_(innermost_), owner_(this) {
  for (compute_permit* outer = enclosing_; outer != nullptr; outer = outer->enclosing_)
    if (outer->pool_ == pool_ && outer->held_) owner_ = outer;
  if (owner_ == this) held_ = pool.try_take_permit();
  innermost_ = this;
}

inline compute_permit::compute_permit(thread_pool& pool) : compute_permit(pool, std::try_to_lock) {
  acquire();
}

inline compute_permit::~compute_permit() {
  innermost_ = enclosing_;
  if (held_) release();
}

inline void compute_permit::acquire() {
  if (owner_->held_) return;
  pool_->take_permit();
  owner_->held_ = true;
}

inline void compute_permit::release() {
  if (!owner_->held_) return;
  owner_->held_ = false;
  pool_->give_permit();
}

// ---------------------------------------------------------------------------------- thread_pool

inline void thread_pool::run(int chunks, void (*call)(void*, int), void* context) {
  if (chunks <= 0) return;
  const compute_permit permit(*this);
  region* const shared = chunks == 1 || helpers_.empty() ? nullptr : claim_region();
  if (shared == nullptr) {
    for (int chunk = 0; chunk < chunks; ++chunk) call(context, chunk);
    return;
  }
  shared->context = context;
  shared->call = call;
  shared->chunks = chunks;
  run_region(*shared);
}

inline thread_pool::thread_pool(int threads)
    : threads_(threads == 0 ? usable_cores() : threads), permits_(threads_) {
  expects(threads >= 0, "the number of threads must be positive, or 0 for all cores");
  try {
    helpers_.reserve(static_cast<std::size_t>(threads_ - 1));
    for (int i = 1; i < threads_; ++i) helpers_.emplace_back([this] { help(); });
  } catch (const std::system_error& e) {
    const std::size_t started = helpers_.size() + 1;
    stop();
    throw error("expected to start " + std::to_string(threads_) + " threads, found room for " +
                std::to_string(started) + " (" + e.what() + "); ask for fewer threads");
  }
}

inline void thread_pool::stop() {
  stopping_.store(true);
  signal_.fetch_add(1);
  signal_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

inline void thread_pool::relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <class Ready>
void thread_pool::spin_until(Ready ready) {
  const auto deadline = std::chrono::steady_clock::now() + spin_time;
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return;
      relax();
    }
  } while (std::chrono::steady_clock::now() < deadline);
}

// Sleeping and waking, of permits and of helpers alike: who goes to sleep announces it and then
// looks again; who changes something does that and then looks for sleepers. All of it is
// sequentially consistent, so one of the two sees the other.

inline bool thread_pool::try_take_permit() {
  int free = permits_.load();
  while (free > 0)
    if (permits_.compare_exchange_weak(free, free - 1)) return true;
  return false;
}

inline void thread_pool::take_permit() {
  if (try_take_permit()) return;
  waiting_.fetch_add(1);
  while (!try_take_permit()) permits_.wait(0);
  waiting_.fetch_sub(1);
  wake_helpers(threads_);  // helpers hold back while somebody waits
}

inline void thread_pool::give_permit() {
  permits_.fetch_add(1);
  if (waiting_.load() > 0)
    permits_.notify_one();
  else
    wake_helpers(1);
}

/// A free region, or null if all are in use.
inline thread_pool::region* thread_pool::claim_region() {
  std::uint64_t claimed = claimed_.load();
  for (;;) {
    const int first_free = std::countr_one(claimed);
    if (first_free == most_regions) return nullptr;
    if (claimed_.compare_exchange_weak(claimed, claimed | std::uint64_t{1} << first_free))
      return &regions_[static_cast<std::size_t>(first_free)];
  }
}

inline void thread_pool::run_region(region& r) {
  r.state.store(static_cast<std::uint64_t>(r.chunks));
  wake_helpers(r.chunks - 1);
  for (int chunk = take_chunk(r, 0); chunk >= 0; chunk = take_chunk(r, 0)) run_chunk(r, chunk);

  const auto nobody_left = [&r] { return helpers_in(r.state.load()) == 0; };
  spin_until(nobody_left);
  for (;;) {
    const std::uint32_t seen = r.last_left.load();
    if (nobody_left()) break;
    r.last_left.wait(seen);
  }
  const std::exception_ptr failure = std::exchange(r.failure, nullptr);
  claimed_.fetch_and(~(std::uint64_t{1} << (&r - regions_.data())));
  if (failure) std::rethrow_exception(failure);
}

/// Takes the next chunk, and joins in the same step if `joining` is one_helper. @returns -1 if all
/// chunks have been started
inline int thread_pool::take_chunk(region& r, std::uint64_t joining) {
  std::uint64_t state = r.state.load();
  while (unstarted(state) > 0)
    if (r.state.compare_exchange_weak(state, state - 1 + joining))
      return r.chunks - static_cast<int>(unstarted(state));
  return -1;
}

inline void thread_pool::run_chunk(region& r, int chunk) {
  try {
    r.call(r.context, chunk);
  } catch (...) {
    r.state.fetch_and(~(one_helper - 1));
    const std::lock_guard lock(failure_mutex_);
    // Chunks are started in ascending order: the lowest that throws has always been started.
    if (r.failure && r.failed_chunk < chunk) return;
    r.failed_chunk = chunk;
    r.failure = std::current_exception();
  }
}

inline void thread_pool::leave(region& r) {
  if (helpers_in(r.state.fetch_sub(one_helper)) > 1) return;
  r.last_left.fetch_add(1);
  r.last_left.notify_one();
}

inline bool thread_pool::has_unstarted_chunks() const {
  for (std::uint64_t left = claimed_.load(); left != 0; left &= left - 1)
    if (unstarted(regions_[static_cast<std::size_t>(std::countr_zero(left))].state.load()) > 0)
      return true;
  return false;
}

inline bool thread_pool::can_help() const {
  return permits_.load() > 0 && waiting_.load() == 0 && has_unstarted_chunks();
}

inline void thread_pool::wake_helpers(int wanted) {
  const int free = std::min(permits_.load(), sleeping_.load());
  if (free <= 0 || !has_unstarted_chunks()) return;
  signal_.fetch_add(1);
  for (int i = std::min(free, wanted); i > 0; --i) signal_.notify_one();
}

/// A helper's life.
inline void thread_pool::help() {
  while (!stopping_.load()) {
    for (std::uint64_t left = can_help() ? claimed_.load() : 0; left != 0; left &= left - 1)
      help_with(regions_[static_cast<std::size_t>(std::countr_zero(left))]);
    // A helper that spins takes a core, so it does that only while a permit says one is idle.
    spin_until([this] { return can_help() || permits_.load() == 0 || stopping_.load(); });
    if (!can_help()) sleep();
  }
}

/// Runs chunks while there are any and no node waits for the permit.
inline void thread_pool::help_with(region& r) {
  if (unstarted(r.state.load()) == 0 || waiting_.load() > 0) return;
  const compute_permit permit(*this, std::try_to_lock);
  if (!permit.held()) return;
  int chunk = take_chunk(r, one_helper);
  if (chunk < 0) return;
  while (chunk >= 0) {
    run_chunk(r, chunk);
    chunk = waiting_.load() > 0 ? -1 : take_chunk(r, 0);
  }
  leave(r);
}

inline void thread_pool::sleep() {
  sleeping_.fetch_add(1);
  const std::uint32_t seen = signal_.load();
  if (!can_help() && !stopping_.load()) signal_.wait(seen);
  sleeping_.fetch_sub(1);
}

}  // namespace gantry
