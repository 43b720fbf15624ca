// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Work that threads do ahead of the one that needs its results, such as the decoding of images.
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/thread_pool.hpp"

namespace gantry::inline v0::data {

struct prefetch_options {
  int threads{0};        ///< that work; 0: one for each core
  std::size_t ahead{0};  ///< results, begun ones included, that wait for `next`; 0: 4 per thread
};

/// Who waited for whom. `stall_seconds` near 0 says that more threads would not help.
struct prefetch_counters {
  std::size_t taken{};     ///< results that `next` gave
  std::size_t stalls{};    ///< results that were not ready when asked for, one awaited included
  double stall_seconds{};  ///< that the caller of `next` waited in all
  double work_seconds{};   ///< that the threads worked, all of them together
  int threads{};
};

/// What `work(i)` returns for i = 0, 1, ... count - 1, in this order however the threads race.
///
/// Each thread has a copy of `work` and so may keep scratch memory in it. At most `ahead` results
/// exist at a time, so memory stays bounded. An exception of `work(i)` comes out of `next` in the
/// place of result i, so it is the same one in every run. The destructor stops after the items
/// that are in work; one thread at a time may call `next`.
template <class Work>
requires std::invocable<Work&, std::size_t> && std::copy_constructible<Work>
class prefetcher {
 public:
  using result_type = std::invoke_result_t<Work&, std::size_t>;
  static_assert(std::is_nothrow_move_constructible_v<result_type>,
                "results of a prefetcher are moved between threads, which must not throw; return a "
                "vector or a struct of such");

  /// @throws usage_error for a negative number of threads
  prefetcher(std::size_t count, Work work, const prefetch_options& options = {}) : count_(count) {
    expects(options.threads >= 0,
            "a prefetcher needs 0 threads (all cores) or more but got a negative number; correct "
            "its options");
    const std::size_t wished =
        static_cast<std::size_t>(options.threads > 0 ? options.threads : usable_cores());
    slots_.resize(options.ahead > 0 ? options.ahead : 4 * wished);
    const std::size_t threads = std::min({wished, slots_.size(), count});
    threads_.reserve(threads);
    try {
      for (std::size_t t = 0; t < threads; ++t)
        threads_.emplace_back([this, own = work]() mutable { run(own); });
    } catch (const std::system_error&) {  // the system has no more threads: fewer do as well
      if (threads_.empty()) throw;
    } catch (...) {
      stop();
      throw;
    }
  }
  prefetcher(const prefetcher&) = delete;
  prefetcher& operator=(const prefetcher&) = delete;
  ~prefetcher() { stop(); }

  /// The next result, or nothing after the last one. Waits for it.
  /// @throws what work(i) threw, also when called again
  std::optional<result_type> next() {
    std::unique_lock lock(mutex_);
    if (taken_ == count_) return std::nullopt;
    slot& own = slots_[taken_ % slots_.size()];
    if (!own.ready()) {
      ++stalls_;  // before the wait: `counters` of another thread shows it
      const auto begin = std::chrono::steady_clock::now();
      ready_.wait(lock, [&] { return own.ready(); });
      stall_seconds_ += seconds_since(begin);
    }
    if (own.failure) std::rethrow_exception(own.failure);
    std::optional<result_type> result(std::move(own.result));
    own.result.reset();
    ++taken_;
    lock.unlock();
    room_.notify_one();
    return result;
  }

  [[nodiscard]] prefetch_counters counters() const {
    const std::lock_guard lock(mutex_);
    return {taken_, stalls_, stall_seconds_, work_seconds_, static_cast<int>(threads_.size())};
  }

 private:
  struct slot {
    std::optional<result_type> result;
    std::exception_ptr failure;
    [[nodiscard]] bool ready() const { return result.has_value() || failure != nullptr; }
  };

  static double seconds_since(std::chrono::steady_clock::time_point begin) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

  void run(Work& work) {
    std::unique_lock lock(mutex_);
    for (;;) {
      room_.wait(lock,
                 [&] { return stopped_ || begun_ == count_ || begun_ < taken_ + slots_.size(); });
      if (stopped_ || begun_ == count_) return;
      const std::size_t i = begun_++;
      lock.unlock();
      const auto begin = std::chrono::steady_clock::now();
      slot made;
      try {
        made.result.emplace(work(i));
      } catch (...) {
        made.failure = std::current_exception();
      }
      const double seconds = seconds_since(begin);
      lock.lock();
      work_seconds_ += seconds;
      slots_[i % slots_.size()] = std::move(made);
      if (i == taken_) ready_.notify_one();
    }
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    room_.notify_all();
    threads_.clear();  // waits for each
  }

  const std::size_t count_;
  mutable std::mutex mutex_;
  std::condition_variable ready_, room_;
  std::vector<slot> slots_;  ///< result i is in slot i % size
  std::size_t begun_{0}, taken_{0}, stalls_{0};
  double stall_seconds_{0}, work_seconds_{0};
  bool stopped_{false};
  std::vector<std::jthread> threads_;
};

}  // namespace gantry::data
