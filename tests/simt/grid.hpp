// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A grid of blocks on several threads of the operating system.
#pragma once

#include <condition_variable>
#include <tuple>
#include <utility>

#include <link.h>

#include "simt/block.hpp"

namespace simt {

/// Static __shared__ arrays are thread_local: they lie in the executable's image of such variables.
/// It is filled with NaN before a launch, and what it held before is put back after it; only the
/// engine and kernels run on this thread in between.
class poisoned_statics {
 public:
  poisoned_statics() {
    constexpr std::size_t too_slow = 1 << 20;
    if (under_asan) return;
    image found{};
    dl_iterate_phdr(&find_image, &found);
    if (!found.begin || found.size > too_slow) return;
    worker* me = self;
    begin_ = found.begin;
    saved_.assign(begin_, begin_ + found.size);
    std::fill_n(begin_, found.size, static_cast<char>(0xFF));
    self = me;
  }
  ~poisoned_statics() { std::copy(saved_.begin(), saved_.end(), begin_); }
  poisoned_statics(const poisoned_statics&) = delete;
  poisoned_statics& operator=(const poisoned_statics&) = delete;

 private:
  struct image {
    char* begin;
    std::size_t size;
  };
  static int find_image(dl_phdr_info* object, std::size_t, void* result) {
    bool is_program = false;
    for (int i = 0; i < object->dlpi_phnum; ++i)
      is_program = is_program || object->dlpi_phdr[i].p_type == PT_INTERP;
    for (int i = 0; i < object->dlpi_phnum; ++i)
      if (is_program && object->dlpi_phdr[i].p_type == PT_TLS)
        *static_cast<image*>(result) = {static_cast<char*>(object->dlpi_tls_data),
                                        object->dlpi_phdr[i].p_memsz};
    return 1;  // the first object is the executable
  }
  char* begin_ = nullptr;
  std::vector<char> saved_;
};

inline void worker::work(launch_job& job) {
  quiet q;
  worker* outer = std::exchange(self, this);
  job_ = &job;
  remember_main_stack();
  random_ = 0x9E3779B97F4A7C15u * (settings().seed * 2 + 1);
  {
    const poisoned_statics poisoned;
    while (!job.stop) {
      const std::uint64_t turn = job.next.fetch_add(1, std::memory_order_relaxed);
      if (turn >= job.blocks) break;
      run_block(job.turns.empty() ? turn : job.turns[turn]);
    }
  }
  self = outer;
}

class pool {
 public:
  static pool& instance() {
    static pool& p = *new pool;  // never destroyed: its threads wait in it
    return p;
  }

  /// Runs the job; one at a time.
  void run(launch_job& job) {
    std::lock_guard one(running_);
    const std::uint64_t threads = job.blocks * job.block.x * job.block.y * job.block.z;
    // Waking a thread costs more than a little work.
    if (helpers_.empty() || job.blocks < 2 || (!under_tsan && threads < 8192)) {
      first_.work(job);
      return;
    }
    {
      std::lock_guard guard(mutex_);
      job_ = &job;
      busy_ = helpers_.size();
      ++generation_;
    }
    wake_.notify_all();
    first_.work(job);
    std::unique_lock guard(mutex_);
    done_.wait(guard, [&] { return busy_ == 0; });
  }
  [[nodiscard]] counters statistics() {
    counters sum = first_.statistics();
    for (const auto& w : helpers_) sum += w->statistics();
    return sum;
  }
  /// Random bits for the order of blocks.
  [[nodiscard]] worker& random() { return first_; }

 private:
  struct start {
    pool* owner;
    worker* who;
  };
  pool() {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    // The C library takes thread_local variables, all __shared__ arrays, out of the stack.
    pthread_attr_setstacksize(&attributes, 256 << 20);
    for (unsigned i = 1; i < settings().threads; ++i) {
      helpers_.push_back(std::make_unique<worker>());
      pthread_t thread;
      if (pthread_create(&thread, &attributes, &pool::serve,
                         new start{this, helpers_.back().get()})) {
        std::perror("simt: a thread");
        std::abort();
      }
      pthread_detach(thread);
    }
    pthread_attr_destroy(&attributes);
  }
  static void* serve(void* argument) {
    const std::unique_ptr<start> s(static_cast<start*>(argument));
    pool& p = *s->owner;
    for (std::uint64_t seen = 0;;) {
      std::unique_lock guard(p.mutex_);
      p.wake_.wait(guard, [&] { return p.generation_ != seen; });
      seen = p.generation_;
      launch_job* job = p.job_;
      guard.unlock();
      s->who->work(*job);
      guard.lock();
      if (--p.busy_ == 0) p.done_.notify_one();
    }
  }

  std::recursive_mutex running_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  launch_job* job_ = nullptr;
  std::uint64_t generation_ = 0;
  std::size_t busy_ = 0;
  worker first_;  ///< the launching thread works, too
  std::vector<std::unique_ptr<worker>> helpers_;
};

/// Grid, block and bytes of dynamic shared memory.
struct launch_shape {
  dim3 grid, block;
  std::size_t shared_bytes = 0;
};

/// Runs a kernel. Returns "" or what went wrong.
template <class... P>
std::string run_kernel(const launch_shape& shape, void (*kernel)(P...),
                       std::tuple<P...> arguments) {
  struct call {
    void (*kernel)(P...);
    std::tuple<P...>& arguments;
  } c{kernel, arguments};
  launch_job job;
  job.grid = shape.grid;
  job.block = shape.block;
  job.shared_bytes = shape.shared_bytes;
  job.body = [](void* p) {
    const auto& self_call = *static_cast<call*>(p);
    std::apply(self_call.kernel, self_call.arguments);
  };
  job.argument = &c;
  job.blocks = std::uint64_t{shape.grid.x} * shape.grid.y * shape.grid.z;
  if (settings().schedule != order::forward) {
    for (std::uint64_t i = job.blocks; i > 0; --i)
      job.turns.push_back(static_cast<std::uint32_t>(i - 1));
    if (settings().schedule == order::random)
      std::shuffle(job.turns.begin(), job.turns.end(), pool::instance().random());
  }
  tsan_release(&job);
  pool::instance().run(job);
  tsan_acquire(&job.end);
  return job.error();
}

}  // namespace simt
