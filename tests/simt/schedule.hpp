// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Which CUDA thread runs next, and what it does when it starts, waits and ends.
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

#include "simt/worker.hpp"

namespace simt {

inline fiber* worker::take_fiber() {
  if (!idle_.empty()) {
    fiber* f = idle_.back();
    idle_.pop_back();
    return f;
  }
  fibers_.push_back(std::make_unique<fiber>());
  fibers_.back()->allocate();
  fibers_.back()->prepare(&worker::fiber_main, static_cast<unsigned>(fibers_.size()));
  return fibers_.back().get();
}

/// Ids in rising order.
inline void worker::make_ready(std::uint16_t* begin, std::uint16_t* end) {
  if (settings().schedule == order::random)
    std::shuffle(begin, end, *this);
  else if (settings().schedule == order::forward)
    std::reverse(begin, end);
  ready_.insert(ready_.end(), begin, end);
}

inline cuda_thread* worker::next_ready() {
  if (ready_.empty()) return nullptr;
  if (settings().schedule == order::random)
    std::swap(ready_.back(), ready_[(*this)() % ready_.size()]);
  cuda_thread* t = &threads_[ready_.back()];
  ready_.pop_back();
  return t;
}

inline void worker::start_or_resume(cuda_thread& t, fiber& from) {
  if (!t.on) t.on = take_fiber();
  continue_as(t);
  jump(from, *t.on);
}

/// The current thread's state is set: it blocks or yields, another one continues.
inline void worker::wait() {
  quiet q;
  cuda_thread* me = current_;
  cuda_thread* next = next_ready();
  if (next == me) return;
  ++statistics_.switches;
  if (next)
    start_or_resume(*next, *me->on);
  else
    jump(*me->on, main_);  // nothing can run: run_block reports it
}

inline void worker::fiber_main() {
  asan_enter(nullptr);
  for (;;) {
    worker& w = *self;
    fiber* mine;
    {
      quiet q;
      mine = w.current_->on;
    }
    tsan_acquire(w.job_);
    // A worker's blocks have the same __shared__ addresses, so each follows the one before it.
    tsan_acquire(&w.edge_[w.generation_ & 1]);
    try {
      w.job_->body(w.job_->argument);
    } catch (const std::exception& e) {
      w.fail("exception: %s", e.what());
    }
    tsan_release(&w.job_->end);
    tsan_release(&w.edge_[~w.generation_ & 1]);
    quiet q;
    w.retire();
    cuda_thread* next = w.next_ready();
    if (next && !next->on && !under_tsan) {  // it runs on this stack: a loop, not a switch
      next->on = mine;
      w.continue_as(*next);
      continue;
    }
    // Under ThreadSanitizer no CUDA thread may inherit another one's history.
    (under_tsan ? w.spent_ : w.idle_).push_back(mine);
    ++w.statistics_.switches;
    if (next)
      w.start_or_resume(*next, *mine);
    else
      jump(*mine, w.main_);
  }
}

inline void worker::retire() {
  spins_ = 0;
  current_->state = status::done;
  --live_;
  ++statistics_.threads;
  const unsigned index = current_->id / 32u;
  warp& w = warps_[index];
  w.alive &= ~(1u << current_->id % 32u);
  for (lane_group& g : w.groups)
    if (g.arrived && g.arrived == (g.mask & w.alive)) complete(g, index);
  if (barrier_.arrived && barrier_.arrived == live_)
    fail("exited while %u threads of its block wait at %s:%u", live_, barrier_.where.file_name(),
         barrier_.where.line);
  current_->on = nullptr;
}

inline void worker::yield(const location& at) {
  quiet q;
  if (spins_++ == 0) spinning_since_ = std::chrono::steady_clock::now();
  if (spins_ > 1000u * live_ &&
      std::chrono::steady_clock::now() - spinning_since_ > std::chrono::seconds(2))
    fail("livelock: every thread that can run spins at %s:%u", at.file_name(), at.line);
  current_->state = status::ready;
  ready_.insert(ready_.begin(), current_->id);
  // Alone it waits for a block of another worker.
  if (ready_.size() == 1) std::this_thread::sleep_for(std::chrono::microseconds(50));
  wait();
}

}  // namespace simt
