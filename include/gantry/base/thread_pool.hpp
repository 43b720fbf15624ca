// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace gantry {

/// Threads for the pieces of one computation, shared by all nodes of a process. At most `threads()` compute at once: node threads hold a
/// compute_permit while they work, helpers join in only while a permit is free.
///
/// Which thread runs a piece varies, what a piece is does not: callers cut work by extents alone, so results do not depend on the number
/// of threads.
class thread_pool {
 public:
  /// `threads` compute at once; 0 takes the machine's number of cores.
  explicit thread_pool(int threads)
      : limit_(threads > 0 ? threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()))) {
    for (int i = 1; i < limit_; ++i) helpers_.emplace_back([this] { help(); });
  }
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;
  ~thread_pool() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_all();
    for (std::thread& t : helpers_) t.join();
  }

  [[nodiscard]] int threads() const { return limit_; }

  /// Runs f(0) .. f(chunks - 1) and returns when all are done; the caller takes part. May be nested and called from many threads. The
  /// first exception of f is thrown here, after the chunks already begun; the others are skipped.
  template <class F>
  void parallel_for(int chunks, F&& f) {
    if (chunks <= 1 || limit_ == 1) {
      for (int i = 0; i < chunks; ++i) f(i);
      return;
    }
    using function = std::remove_reference_t<F>;
    job work{[](void* context, int chunk) { (*static_cast<function*>(context))(chunk); },
             const_cast<void*>(static_cast<const void*>(std::addressof(f))), chunks};
    run(work);
  }

 private:
  friend class compute_permit;

  struct job {
    void (*call)(void*, int);
    void* context;
    int chunks;
    std::atomic<int> next{0};
    int inside{0};  // helpers in this job; guarded by the pool's mutex
    std::exception_ptr failure{};
  };

  void run(job& work) {
    {
      const std::lock_guard lock(mutex_);
      jobs_.push_back(&work);
    }
    wake_.notify_all();
    work_on(work);
    std::unique_lock lock(mutex_);
    std::erase(jobs_, &work);
    left_.wait(lock, [&] { return work.inside == 0; });
    if (work.failure) std::rethrow_exception(work.failure);
  }

  void work_on(job& work) {
    for (int chunk; (chunk = work.next.fetch_add(1)) < work.chunks;) {
      try {
        work.call(work.context, chunk);
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!work.failure) work.failure = std::current_exception();
        work.next.store(work.chunks);
      }
    }
  }

  /// A job with pieces left, the oldest first; null while node threads could use the core.
  job* open_job() const {
    if (active_ >= limit_ || waiting_ > 0) return nullptr;
    for (job* j : jobs_)
      if (j->next.load() < j->chunks) return j;
    return nullptr;
  }

  void help() {
    std::unique_lock lock(mutex_);
    for (;;) {
      job* work = nullptr;
      wake_.wait(lock, [&] { return ending_ || (work = open_job()) != nullptr; });
      if (ending_) return;
      ++active_;
      ++work->inside;
      lock.unlock();
      work_on(*work);
      lock.lock();
      --active_;
      if (--work->inside == 0) left_.notify_all();
      if (waiting_ > 0) permits_.notify_one();
    }
  }

  void acquire() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    permits_.wait(lock, [&] { return active_ < limit_; });
    --waiting_;
    ++active_;
  }
  void release() {
    {
      const std::lock_guard lock(mutex_);
      --active_;
    }
    permits_.notify_one();
    wake_.notify_one();
  }

  int limit_;
  std::mutex mutex_;
  std::condition_variable wake_, left_, permits_;
  std::vector<job*> jobs_;
  int active_{0}, waiting_{0};
  bool ending_{false};
  std::vector<std::thread> helpers_;
};

/// A node thread's right to compute. Given back while the node waits for a message, so that others may use the core.
class compute_permit {
 public:
  explicit compute_permit(thread_pool& pool) : pool_(&pool) { acquire(); }
  compute_permit(const compute_permit&) = delete;
  compute_permit& operator=(const compute_permit&) = delete;
  ~compute_permit() {
    if (held_) release();
  }
  void acquire() {
    pool_->acquire();
    held_ = true;
  }
  void release() {
    pool_->release();
    held_ = false;
  }

 private:
  thread_pool* pool_;
  bool held_{false};
};

}  // namespace gantry
