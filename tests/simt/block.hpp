// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// One block after the other, and what is left of a block that failed.
#pragma once

#include <map>
#include <pthread.h>

#include "simt/synchronise.hpp"

namespace simt {

inline void worker::set_shape(dim3 block) {
  if (shape_.x == block.x && shape_.y == block.y && shape_.z == block.z) return;
  shape_ = block;
  const unsigned n = block.x * block.y * block.z;
  threads_.resize(n);
  warps_.resize((n + 31) / 32);
  for (unsigned i = 0; i < n; ++i) {
    threads_[i].id = static_cast<std::uint16_t>(i);
    threads_[i].index = {i % block.x, i / block.x % block.y, i / (block.x * block.y)};
  }
}

/// Dynamic shared memory starts as NaN in every block.
inline void worker::prepare_shared() {
  constexpr std::size_t reserved = 256 << 10;
  if (!job_->shared_bytes) return;
  if (!dynamic_shared_)
    dynamic_shared_ = static_cast<unsigned char*>(
        mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  asan_unpoison(dynamic_shared_, reserved);
  asan_poison(dynamic_shared_ + job_->shared_bytes, reserved - job_->shared_bytes);
  std::fill_n(dynamic_shared_, job_->shared_bytes, static_cast<unsigned char>(0xFF));
}

inline void worker::run_block(std::uint64_t index) {
  const dim3 grid = job_->grid;
  set_shape(job_->block);
  const auto n = static_cast<unsigned>(threads_.size());
  live_ = n;
  ++generation_;
  spins_ = 0;
  for (cuda_thread& t : threads_) {
    t.state = status::fresh;
    t.on = nullptr;
  }
  for (unsigned w = 0; w < warps_.size(); ++w)
    warps_[w].alive = n - w * 32 >= 32 ? all_lanes : (1u << (n - w * 32)) - 1;
  const std::uint64_t plane = std::uint64_t{grid.x} * grid.y;
  blockIdx = {static_cast<unsigned>(index % grid.x), static_cast<unsigned>(index / grid.x % grid.y),
              static_cast<unsigned>(index / plane)};
  blockDim = job_->block;
  gridDim = grid;
  prepare_shared();
  std::uint16_t ids[1024];
  for (unsigned i = 0; i < n; ++i) ids[i] = static_cast<std::uint16_t>(i);
  ready_.clear();
  make_ready(ids, ids + n);
  start_or_resume(*next_ready(), main_);
  idle_.insert(idle_.end(), spent_.begin(), spent_.end());
  spent_.clear();
  if (!failed_ && live_) report_deadlock();
  if (failed_) forget_fibers();
}

inline void worker::report_deadlock() {
  std::map<std::string, unsigned> groups;
  for (const cuda_thread& t : threads_) {
    char key[200] = "exited";
    if (t.state == status::at_warp)
      std::snprintf(key, sizeof key, "wait at %s %s:%u mask %08x", t.what, t.where.file_name(),
                    t.where.line, t.mask);
    else if (t.state != status::done)
      std::snprintf(key, sizeof key, "wait at %s %s:%u", t.what, t.where.file_name(), t.where.line);
    ++groups[key];
  }
  const uint3 b = blockIdx;
  std::string sentence = "block (" + std::to_string(b.x) + "," + std::to_string(b.y) + "," +
                         std::to_string(b.z) + "): deadlock:";
  for (const auto& [key, count] : groups)
    sentence += " " + std::to_string(count) + " threads " + key + ";";
  job_->report(sentence.c_str());
  failed_ = true;
}

/// All stacks start anew: kernels own nothing that needs a destructor.
inline void worker::forget_fibers() {
  failed_ = false;
  idle_.clear();
  spent_.clear();
  ready_.clear();
  unsigned colour = 0;
  for (const auto& f : fibers_) {
    if (under_tsan) {  // what abandoned threads did happens before what follows the launch
      tsan_switch_to(f->tsan);
      tsan_release(&job_->end);
      tsan_switch_to(main_.tsan);
      f->tsan = tsan_create_fiber();
    }
    f->prepare(&worker::fiber_main, ++colour);
    idle_.push_back(f.get());
  }
  for (warp& w : warps_) w.groups.clear();
  barrier_ = {};
}

/// AddressSanitizer wants to know the stack that run_block returns to.
inline void worker::remember_main_stack() {
  main_.tsan = tsan_current_fiber();
  if (!under_asan) return;
  static thread_local void* stack = nullptr;
  static thread_local std::size_t size = 0;
  if (!stack) {
    pthread_attr_t attributes;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &stack, &size);
    pthread_attr_destroy(&attributes);
  }
  main_.stack = static_cast<char*>(stack);
  main_.size = size;
}

}  // namespace simt
