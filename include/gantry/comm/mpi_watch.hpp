// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Calls of MPI that do not return. A process that is killed can leave its queue in shared memory
// half written; whoever reads it then turns round for ever inside MPI, where no clock is looked at,
// and holds the lock that all calls of its process take.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "gantry/comm/mpi_environment.hpp"

namespace gantry::inline v0::comm {

/// Looks at the calls of a process from time to time. It counts looks and not seconds, as the
/// process may itself have been stopped between two of them.
class mpi_looks {
 public:
  static constexpr int enough = 40;

  /// `calls` is mpi_call_lock::count(). True once one and the same call has been under way at
  /// `enough` looks in a row.
  [[nodiscard]] bool is_stuck(std::uint64_t calls) {
    const bool is_same = calls % 2 == 1 && calls == before_;
    before_ = calls;
    times_ = is_same ? times_ + 1 : 0;
    return times_ >= enough;
  }

 private:
  std::uint64_t before_{};
  int times_{};
};

/// A thread that looks at this process's calls of MPI.
class mpi_watch {
 public:
  /// `on_stuck` is called once, by that thread, when a call has not returned for `limit`.
  /// @throws std::system_error if there is no room for a thread
  mpi_watch(std::chrono::milliseconds limit, std::function<void()> on_stuck)
      : on_stuck_(std::move(on_stuck)),
        thread_([this, limit] { look(limit / mpi_looks::enough); }) {}
  mpi_watch(const mpi_watch&) = delete;
  mpi_watch& operator=(const mpi_watch&) = delete;
  ~mpi_watch() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    over_.notify_one();
    thread_.join();
  }

 private:
  void look(std::chrono::milliseconds pause) {
    mpi_looks looks;
    std::unique_lock lock(mutex_);
    while (!over_.wait_for(lock, pause, [&] { return stopping_; })) {
      if (!looks.is_stuck(mpi_calls().count())) continue;
      on_stuck_();
      return;
    }
  }

  std::function<void()> on_stuck_;
  std::mutex mutex_;
  std::condition_variable over_;
  bool stopping_{false};
  std::thread thread_;
};

}  // namespace gantry::comm
