// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The transport over MPI: every rank is a process.
#pragma once

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <mpi.h>

#include "gantry/base/error.hpp"
#include "gantry/base/thread_pool.hpp"
#include "gantry/comm/health.hpp"
#include "gantry/comm/mpi_communicator.hpp"
#include "gantry/comm/mpi_environment.hpp"
#include "gantry/comm/mpi_pulse.hpp"
#include "gantry/comm/mpi_watch.hpp"
#include "gantry/comm/peer_rules.hpp"
#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/device_room.hpp"

namespace gantry::inline v0::comm {

using mpi_patience = patience;

/// The first `size` processes of MPI_COMM_WORLD; every process of it makes the same worlds in the
/// same order. run() calls f on the calling thread, once per process; processes outside return at
/// once.
class mpi_world {
 public:
  using communicator_type = mpi_communicator;

  /// size = 0 takes all processes. With room on a device, pointers to its memory are handed to MPI
  /// (mpi_device.hpp says whether it takes them). @throws usage_error for more than there are, or
  /// without a pool
  explicit mpi_world(const mpi_environment& mpi, int size, std::shared_ptr<thread_pool> pool,
                     patience health = {}, std::shared_ptr<device_room> room = {})
      : pool_(std::move(pool)),
        patience_(std::move(health)),
        room_(std::move(room)),
        size_(size == 0 ? mpi.size() : size),
        has_pulse_(mpi.is_serialized() && patience_.signs_every > 0) {
    if (patience_.then == when_late::drop && !has_pulse_)
      throw usage_error(
          "expected an MPI library with MPI_THREAD_SERIALIZED and signs of life every few "
          "seconds, because a rank without them is taken as lost, found none; let late ranks be "
          "waited for");
    expects(pool_ != nullptr, "a world needs a pool of threads; give one");
    if (size_ < 1 || size_ > mpi.size())
      throw usage_error("expected a world of 1 to " + std::to_string(mpi.size()) +
                        " ranks, as many as mpirun started, found " + std::to_string(size_) +
                        "; start mpirun with -n " + std::to_string(size_));
    const rank_t rank = mpi.rank();
    MPI_Comm made = MPI_COMM_NULL;
    check_mpi(MPI_Comm_split(MPI_COMM_WORLD, rank < size_ ? 0 : MPI_UNDEFINED, rank, &made),
              "MPI_Comm_split");
    members_ = detail::mpi_group(made);
    if (made != MPI_COMM_NULL)
      check_mpi(MPI_Comm_set_errhandler(made, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  }

  [[nodiscard]] rank_t size() const noexcept { return size_; }
  [[nodiscard]] const std::shared_ptr<thread_pool>& pool() const noexcept { return pool_; }
  [[nodiscard]] bool is_member() const { return members_.get() != MPI_COMM_NULL; }

  /// Runs f(communicator) on this process's rank and returns when all ranks have ended.
  /// @throws what f threw here, or rank_failed with what another rank said
  template <class F>
  void run(F&& f) {
    if (!is_member()) return;
    compute_permit permit(*pool_);
    {
      // To copy a group is a collective that waits without a word; this names who is late.
      patience only_named = patience_;
      only_named.then = when_late::wait;
      only_named.warn_after = std::max(patience_.warn_after, patience_.act_after);
      mpi_communicator gathering(members_.get(), members_.get(), permit, only_named, nullptr);
      gathering.barrier();
      gathering.flush();
    }
    detail::mpi_group data = members_.copy(), notices = members_.copy(), signs;
    std::optional<mpi_watch> watch;
    if (has_pulse_ && size_ > 1 && patience_.then == when_late::drop) watch_calls(watch);
    std::unique_ptr<mpi_pulse> pulse;
    if (has_pulse_ && size_ > 1) {
      signs = members_.copy();
      pulse = std::make_unique<mpi_pulse>(signs.get(), patience_.signs_every, room_);
    }
    mpi_communicator comm(data.get(), notices.get(), permit, patience_, pulse.get(), room_);
    detail::rank_end own = detail::end_of([&] { f(comm); });
    try {
      comm.finish(own.reason);
    } catch (...) {
      if (!own.failure) own.failure = std::current_exception();  // the first reason counts
    }
    if (comm.is_lost() || !comm.lost_ranks().empty()) {
      mpi_environment::has_losses() = true;
      if (own.failure && !comm.is_lost())
        mpi_environment::code_after_loss() = static_cast<int>(exit_code::too_few_workers);
      for (detail::mpi_group* group : {&data, &notices, &signs}) group->forget();
      if (comm.rank() == 0 && patience_.end_silent) end_silent(comm.lost_ranks(), *pulse);
    }
    // Nobody waits for what a lost rank did.
    if (own.failure && !comm.is_lost()) std::rethrow_exception(own.failure);
  }

 private:
  /// Whoever does not wait for a lost rank does not wait for a call of MPI that never returns.
  void watch_calls(std::optional<mpi_watch>& watch) const {
    watch.emplace(std::chrono::seconds(10), [warn = patience_.warn] {
      mpi_environment::end_within(std::chrono::seconds(1),
                                  static_cast<int>(exit_code::too_few_workers));
      warn(
          "MPI was expected to return from a call and has not for 10 s, as after a rank that was "
          "killed; the job is ended, go on with --resume latest");
    });
  }
  /// MPI's own end waits for all processes, also for those that will never come back: they are
  /// killed then, not now, because mpirun may end all others with them.
  void end_silent(const std::vector<rank_t>& lost, mpi_pulse& pulse) const {
    for (const rank_t r : lost) {
      if (pulse.of(r).silent_for(seconds_now()) < patience_.act_after) continue;
      const auto act = [r, process = pulse.process_of(r), here = mpi_process::this_host(),
                        warn = patience_.warn] {
        if (!process.end(here))
          warn("rank " + std::to_string(r) +
               " is lost, has not come back and runs on another machine; end it there if the job "
               "does not end");
      };
      mpi_environment::last_acts().push_back(act);
    }
  }

  std::shared_ptr<thread_pool> pool_;
  patience patience_;
  std::shared_ptr<device_room> room_;
  rank_t size_;
  bool has_pulse_;
  detail::mpi_group members_;
};

static_assert(World<mpi_world>, "the MPI transport must be a World");

}  // namespace gantry::comm
