// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Signs of life over MPI: a thread of each process tells rank 0 where its rank is, and that of
// rank 0 tells all, whatever the ranks themselves are busy with. So a rank that computes for long
// is told from one that is stopped, killed or cut off. The same thread lets messages that are on
// their way go on while their sender computes.
#pragma once

#if defined(__linux__)
#include <signal.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <mpi.h>

#include "gantry/base/error.hpp"
#include "gantry/comm/health.hpp"
#include "gantry/comm/mpi_environment.hpp"
#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/device_room.hpp"

namespace gantry::inline v0::comm {

/// Where a rank runs, as far as it has said so.
struct mpi_process {
  std::int64_t pid{}, host{};

  /// A number of this machine, exact as a double.
  static std::int64_t this_host() {
    std::array<char, MPI_MAX_PROCESSOR_NAME> name{};
    int length = 0;
    check_mpi(MPI_Get_processor_name(name.data(), &length), "MPI_Get_processor_name");
    std::uint64_t hash = 14695981039346656037u;
    for (int i = 0; i < length; ++i)
      hash =
          (hash ^ static_cast<unsigned char>(name[static_cast<std::size_t>(i)])) * 1099511628211u;
    return static_cast<std::int64_t>(hash >> 12);
  }
  /// Kills a process that will never come back. False if it is not on `here`, this machine.
  [[nodiscard]] bool end(std::int64_t here) const {
    if (pid <= 1 || host != here) return false;
#if defined(__linux__)
    // The number may belong to somebody else by now.
    std::error_code gone;
    const auto program = [&](const std::string& who) {
      return std::filesystem::read_symlink("/proc/" + who + "/exe", gone);
    };
    if (program(std::to_string(pid)) == program("self") && !gone)
      ::kill(static_cast<pid_t>(pid), SIGKILL);
#endif
    return true;
  }
};

/// One rank's signs of life, and what it has heard of the others. At most one message to a peer is
/// under way, so that nothing piles up in front of one that does not read.
class mpi_pulse {
 public:
  /// `group` must outlive this object. With room on a device, its messages may be moved on here.
  /// @throws error if there is no room for a thread
  mpi_pulse(MPI_Comm group, double period, std::shared_ptr<device_room> room = {})
      : group_(group), period_(period), room_(std::move(room)) {
    check_mpi(MPI_Comm_rank(group_, &rank_), "MPI_Comm_rank");
    check_mpi(MPI_Comm_size(group_, &size_), "MPI_Comm_size");
    signs_.resize(static_cast<std::size_t>(size_));
    processes_.resize(signs_.size());
    for (int r = 0; r < size_; ++r) way_.push_back(std::make_unique<way>());
    host_ = mpi_process::this_host();
    thread_ = std::thread([this] { beat(); });
  }
  mpi_pulse(const mpi_pulse&) = delete;
  mpi_pulse& operator=(const mpi_pulse&) = delete;
  /// What has not left by then is left to MPI.
  ~mpi_pulse() {
    stop();
    const std::lock_guard calls(mpi_calls());
    for (auto& w : way_) {
      int is_done = 1;
      if (w->request != MPI_REQUEST_NULL) MPI_Test(&w->request, &is_done, MPI_STATUS_IGNORE);
      if (is_done == 0) static_cast<void>(w.release());
    }
  }

  /// Where this rank is; on its own thread.
  void enter_iteration(std::uint32_t iteration) {
    const std::lock_guard lock(mutex_);
    here_.iteration = iteration;
  }
  void wait_for(rank_t peer, message kind) {
    const std::lock_guard lock(mutex_);
    here_.waits_for = peer;
    here_.kind = kind;
    if (peer == rank_position::nobody && is_sending_) wake_.notify_one();
  }
  void work_on() { wait_for(rank_position::nobody, message::control); }

  [[nodiscard]] rank_signs of(rank_t rank) {
    const std::lock_guard lock(mutex_);
    return signs_[static_cast<std::size_t>(rank)];
  }
  [[nodiscard]] mpi_process process_of(rank_t rank) {
    const std::lock_guard lock(mutex_);
    return processes_[static_cast<std::size_t>(rank)];
  }

  /// Whether something is being sent: most MPI libraries go on with a long message only when they
  /// are called, so this thread calls them while the rank computes.
  void keep_moving(bool is_sending) {
    if (is_sending_.exchange(is_sending) == is_sending || !is_sending) return;
    const std::lock_guard lock(mutex_);
    wake_.notify_one();
  }

  /// This rank has nothing more to say to that one.
  void forget(rank_t rank) {
    const std::lock_guard lock(mutex_);
    way_[static_cast<std::size_t>(rank)]->is_closed = true;
  }
  /// Says nothing more, and hears only by listen().
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
  }
  /// Takes what has come; also after stop().
  void listen() {
    const double now = seconds_now();
    for (;;) {
      text said{};
      MPI_Status status;
      {
        const std::lock_guard calls(mpi_calls());
        int is_there = 0;
        check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, 0, group_, &is_there, &status), "MPI_Iprobe");
        if (is_there == 0) return;
        check_mpi(MPI_Recv(said.data(), static_cast<int>(said.size()), MPI_DOUBLE,
                           status.MPI_SOURCE, 0, group_, MPI_STATUS_IGNORE),
                  "MPI_Recv");
      }
      const auto from = static_cast<std::size_t>(status.MPI_SOURCE);
      const std::lock_guard lock(mutex_);
      signs_[from].note({.iteration = static_cast<std::uint32_t>(said[0]),
                         .waits_for = static_cast<rank_t>(said[1]),
                         .kind = static_cast<message>(static_cast<int>(said[2])),
                         .cpu_seconds = said[3]},
                        now);
      processes_[from] = {static_cast<std::int64_t>(said[4]), static_cast<std::int64_t>(said[5])};
    }
  }

 private:
  using text = std::array<double, 6>;
  struct way {
    text said{};
    MPI_Request request{MPI_REQUEST_NULL};
    bool is_closed{false};
  };

  /// Of the whole process, whose threads compute for its rank, but for the calling one: to tell of
  /// oneself and to move messages on is no sign of work.
  static double own_cpu_seconds() {
    double own = 0;
#if defined(__linux__)
    timespec used{};
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) == 0)
      own = static_cast<double>(used.tv_sec) + 1e-9 * static_cast<double>(used.tv_nsec);
#endif
    return static_cast<double>(std::clock()) / static_cast<double>(CLOCKS_PER_SEC) - own;
  }
  static std::int64_t own_pid() {
#if defined(__linux__)
    return getpid();
#else
    return 0;
#endif
  }
  void beat() {
    for (bool has_entered = false;;) {
      try {
        if (room_ && !std::exchange(has_entered, true)) room_->enter();
        if (rank_ != 0)
          tell(0);
        else
          for (rank_t r = 1; r < size_; ++r) tell(r);
        listen();
      } catch (const error&) {
        return;  // the ranks themselves will meet the same failure, and say so
      }
      if (!rest(seconds_now() + period_)) return;
    }
  }
  /// Until the next sign is due. False if there will be none.
  bool rest(double until) {
    constexpr double turn = 1e-3;
    std::unique_lock lock(mutex_);
    for (double now = seconds_now(); now < until && !stopping_; now = seconds_now()) {
      // A rank that waits calls MPI itself.
      const auto is_needed = [&] {
        return is_sending_.load() && here_.waits_for == rank_position::nobody;
      };
      const bool was_needed = is_needed();
      const std::chrono::duration<double> time(was_needed ? std::min(turn, until - now)
                                                          : until - now);
      wake_.wait_for(lock, time, [&] { return stopping_ || (!was_needed && is_needed()); });
      if (!was_needed || stopping_) continue;
      lock.unlock();
      move_on();
      lock.lock();
    }
    return !stopping_;
  }
  /// Any call does.
  void move_on() {
    const std::lock_guard calls(mpi_calls());
    int is_there = 0;
    MPI_Iprobe(MPI_ANY_SOURCE, 0, group_, &is_there, MPI_STATUS_IGNORE);
  }
  void tell(rank_t to) {
    way& w = *way_[static_cast<std::size_t>(to)];
    text said{};
    {
      const std::lock_guard lock(mutex_);
      if (w.is_closed) return;
      said = {static_cast<double>(here_.iteration),
              static_cast<double>(here_.waits_for),
              static_cast<double>(static_cast<int>(here_.kind)),
              own_cpu_seconds(),
              static_cast<double>(own_pid()),
              static_cast<double>(host_)};
    }
    const std::lock_guard calls(mpi_calls());
    if (w.request != MPI_REQUEST_NULL) {
      int is_done = 0;
      check_mpi(MPI_Test(&w.request, &is_done, MPI_STATUS_IGNORE), "MPI_Test");
      if (is_done == 0) return;
    }
    w.said = said;
    check_mpi(MPI_Issend(w.said.data(), static_cast<int>(w.said.size()), MPI_DOUBLE, to, 0, group_,
                         &w.request),
              "MPI_Issend");
  }

  MPI_Comm group_;
  double period_;
  std::shared_ptr<device_room> room_;
  int rank_{}, size_{};
  std::int64_t host_{};
  std::mutex mutex_;  // of all below; never held with a call of MPI
  std::condition_variable wake_;
  bool stopping_{false};
  std::atomic<bool> is_sending_{false};
  rank_position here_;
  std::vector<rank_signs> signs_;
  std::vector<mpi_process> processes_;
  std::vector<std::unique_ptr<way>> way_;  // by peer; requests are the thread's
  std::thread thread_;
};

}  // namespace gantry::comm
