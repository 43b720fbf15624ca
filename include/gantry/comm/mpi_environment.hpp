// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The MPI library's start and end, and its communicators.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <mpi.h>

#include "gantry/base/error.hpp"
#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0::comm {

/// @throws error that names the call and MPI's reason
inline void check_mpi(int status, const char* call) {
  if (status == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(status, text.data(), &length);
  throw error(std::string("expected ") + call + " to succeed, found \"" +
              std::string(text.data(), static_cast<std::size_t>(length)) +
              "\"; look at what the other ranks and mpirun printed");
}

/// One call of MPI at a time: ranks compute on one thread and say that they live on another, and
/// every library that has MPI_THREAD_SERIALIZED can do that.
class mpi_call_lock {
 public:
  void lock() {
    mutex_.lock();
    ++count_;
  }
  void unlock() {
    ++count_;
    mutex_.unlock();
  }
  /// Odd while a call is under way, and another number for each.
  [[nodiscard]] std::uint64_t count() const { return count_.load(); }

 private:
  std::mutex mutex_;
  std::atomic<std::uint64_t> count_{0};
};
inline mpi_call_lock& mpi_calls() {
  static mpi_call_lock calls;
  return calls;
}

namespace detail {

/// Ends this process after that time, whatever it is doing then; nothing if it has ended before.
inline void exit_after(std::chrono::milliseconds time, int code) {
  std::thread([=] {
    std::this_thread::sleep_for(time);
    std::_Exit(code);
  }).detach();
}

/// What mpirun answers may never come: for after exit_after().
[[noreturn]] inline void abort_job(int code) {
  std::fflush(nullptr);
  MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);
}

}  // namespace detail

/// Starts MPI on construction and ends it on destruction; one per process, made in main.
class mpi_environment {
 public:
  /// @throws error if MPI cannot be started
  mpi_environment() {
    check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level_), "MPI_Init_thread");
    check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN),
              "MPI_Comm_set_errhandler");
  }
  mpi_environment(const mpi_environment&) = delete;
  mpi_environment& operator=(const mpi_environment&) = delete;
  /// Where ranks have been lost, MPI's own end may wait for them for ever: after 3 s the job is
  /// aborted. The other ranks wait until rank 0, which may have a report to write, has come this
  /// far, for 10 minutes at most.
  ~mpi_environment() {
    if (has_losses().load()) {
      meet_at_end(std::chrono::minutes(10));
      end_within(std::chrono::seconds(3), code_after_loss().load());
    }
    MPI_Finalize();
  }

  /// Whether a rank of this job has been lost, or this one has.
  static std::atomic<bool>& has_losses() {
    static std::atomic<bool> losses{false};
    return losses;
  }
  /// The exit code if the job has to be aborted then.
  static std::atomic<int>& code_after_loss() {
    static std::atomic<int> code{0};
    return code;
  }
  /// What is to be done before the job is aborted because MPI does not end.
  static std::vector<std::function<void()>>& last_acts() {
    static std::vector<std::function<void()>> acts;
    return acts;
  }

  /// Whether more than one thread may call MPI, one at a time.
  [[nodiscard]] bool is_serialized() const { return level_ >= MPI_THREAD_SERIALIZED; }
  [[nodiscard]] rank_t rank() const {
    int r = 0;
    check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &r), "MPI_Comm_rank");
    return r;
  }
  [[nodiscard]] rank_t size() const {
    int n = 0;
    check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &n), "MPI_Comm_size");
    return n;
  }
  /// Processes of the job on this machine; all of the job must ask.
  [[nodiscard]] rank_t local_size() const { return on_this_machine(MPI_Comm_size); }
  /// This process's place among them, from 0; all of the job must ask.
  [[nodiscard]] rank_t local_rank() const { return on_this_machine(MPI_Comm_rank); }
  /// Returns when all processes of the job have called it. Leaves the cores to those that work.
  void barrier() const {
    MPI_Request all_here = MPI_REQUEST_NULL;
    check_mpi(MPI_Ibarrier(MPI_COMM_WORLD, &all_here), "MPI_Ibarrier");
    for (int is_done = 0;;) {
      check_mpi(MPI_Test(&all_here, &is_done, MPI_STATUS_IGNORE), "MPI_Test");
      if (is_done != 0) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  /// Ends all processes of the job at once; mpirun's exit code is `code`. MPI asks mpirun for that,
  /// which may not answer; this process ends within 5 s all the same.
  [[noreturn]] static void abort(int code) {
    detail::exit_after(std::chrono::seconds(5), code);
    if (has_losses().load()) meet_at_end(std::chrono::seconds(0));
    detail::abort_job(code);
  }
  /// For a process that has nothing left to do but to end, and may wait for a lost rank in MPI: it
  /// aborts the job if it has not ended by then.
  static void end_within(std::chrono::seconds limit, int code) {
    std::thread([=] {
      std::this_thread::sleep_for(limit);
      detail::exit_after(std::chrono::seconds(5), code);  // whoever reads stderr may be stuck
      std::fprintf(stderr,
                   "gantry: MPI was expected to end and waits for a lost rank; the job is ended\n");
      for (const auto& act : last_acts()) act();
      detail::abort_job(code);
    }).detach();
  }

 private:
  /// Rank 0 tells the others that it is at its end, and they wait for that.
  static void meet_at_end(std::chrono::milliseconds limit) noexcept {
    constexpr int at_end = 1;
    constexpr auto turn = std::chrono::milliseconds(10);
    try {
      int own = 0, size = 0, is_there = 0;
      check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &own), "MPI_Comm_rank");
      check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size), "MPI_Comm_size");
      for (int r = 1; own == 0 && r < size; ++r) {
        const std::lock_guard calls(mpi_calls());
        MPI_Request request = MPI_REQUEST_NULL;  // a lost rank may never take it
        check_mpi(MPI_Isend(nullptr, 0, MPI_BYTE, r, at_end, MPI_COMM_WORLD, &request),
                  "MPI_Isend");
        check_mpi(MPI_Request_free(&request), "MPI_Request_free");
      }
      for (; own != 0 && is_there == 0 && limit.count() > 0; limit -= turn) {
        std::this_thread::sleep_for(turn);
        const std::lock_guard calls(mpi_calls());
        check_mpi(MPI_Iprobe(0, at_end, MPI_COMM_WORLD, &is_there, MPI_STATUS_IGNORE),
                  "MPI_Iprobe");
      }
    } catch (const error& e) {
      std::fprintf(stderr, "gantry: %s\n", e.what());
    }
  }
  [[nodiscard]] static rank_t on_this_machine(int (*ask)(MPI_Comm, int*)) {
    MPI_Comm here = MPI_COMM_NULL;
    check_mpi(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here),
              "MPI_Comm_split_type");
    int n = 0;
    const int status = ask(here, &n);
    MPI_Comm_free(&here);
    check_mpi(status, "MPI_Comm_size or MPI_Comm_rank");
    return n;
  }

  int level_ = MPI_THREAD_SINGLE;
};

namespace detail {

/// A communicator of MPI that frees itself.
class mpi_group {
 public:
  mpi_group() = default;
  explicit mpi_group(MPI_Comm comm) : comm_(comm) {}
  mpi_group(mpi_group&& other) noexcept : comm_(std::exchange(other.comm_, MPI_COMM_NULL)) {}
  mpi_group& operator=(mpi_group&& other) noexcept {
    std::swap(comm_, other.comm_);
    return *this;
  }
  ~mpi_group() {
    if (comm_ != MPI_COMM_NULL) MPI_Comm_free(&comm_);
  }
  [[nodiscard]] mpi_group copy() const {
    MPI_Comm made = MPI_COMM_NULL;
    check_mpi(MPI_Comm_dup(comm_, &made), "MPI_Comm_dup");
    check_mpi(MPI_Comm_set_errhandler(made, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    return mpi_group(made);
  }
  [[nodiscard]] MPI_Comm get() const { return comm_; }
  /// Leaves it to MPI: a rank that is lost may still write to it.
  void forget() { comm_ = MPI_COMM_NULL; }

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
};

}  // namespace detail

}  // namespace gantry::comm
