// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The transport over MPI: every rank is a process. Same contract, same order of sums and same
// counters as over threads, so a strategy gives bitwise the same result. A run asks the library for
// point-to-point messages only; its collectives are those of comm/collectives.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iterator>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <mpi.h>

#include "gantry/base/error.hpp"
#include "gantry/base/thread_pool.hpp"
#include "gantry/comm/collectives.hpp"
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

/// Starts MPI on construction and ends it on destruction; one per process, made in main.
class mpi_environment {
 public:
  /// @throws error if MPI cannot be started
  mpi_environment() {
    int provided = 0;
    check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
    check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN),
              "MPI_Comm_set_errhandler");
  }
  mpi_environment(const mpi_environment&) = delete;
  mpi_environment& operator=(const mpi_environment&) = delete;
  ~mpi_environment() { MPI_Finalize(); }

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
  /// Ends all processes of the job at once; mpirun's exit code is `code`.
  [[noreturn]] static void abort(int code) {
    MPI_Abort(MPI_COMM_WORLD, code);
    std::abort();
  }

 private:
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
};

/// When a wait is late, and when it is given up.
struct mpi_patience {
  double warn_after{5};     ///< seconds until the rank that is waited for is named; 0: never
  double give_up_after{0};  ///< seconds until the wait ends in an error; 0: never
  /// Gets the sentence of a warning.
  std::function<void(const std::string&)> warn = [](const std::string& sentence) {
    std::fprintf(stderr, "gantry: %s\n", sentence.c_str());
  };
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

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
};

}  // namespace detail

/// One rank's end over MPI; see concepts/communicator.hpp for the contract. Only the thread that
/// started MPI uses it. A message's tag is its kind; what a rank sends last is that it has left.
class mpi_communicator : public ordered_collectives<mpi_communicator> {
 public:
  /// For mpi_world, which gives each run groups of its own.
  mpi_communicator(MPI_Comm data, MPI_Comm notices, compute_permit& permit,
                   const mpi_patience& patience)
      : data_(data), notices_(notices), permit_(&permit), patience_(&patience) {
    check_mpi(MPI_Comm_rank(data_, &rank_), "MPI_Comm_rank");
    check_mpi(MPI_Comm_size(data_, &size_), "MPI_Comm_size");
    peers_.resize(static_cast<std::size_t>(size_));
  }
  mpi_communicator(const mpi_communicator&) = delete;
  mpi_communicator& operator=(const mpi_communicator&) = delete;

  /// What is still under way is left to MPI: it may read those buffers until the job ends.
  ~mpi_communicator() {
    if (!pending_.empty()) static_cast<void>(new std::list<pending_send>(std::move(pending_)));
  }

  [[nodiscard]] rank_t rank() const noexcept { return rank_; }
  [[nodiscard]] rank_t size() const noexcept { return size_; }
  [[nodiscard]] const traffic& statistics() const { return counters_; }

  void send(message kind, std::span<const float> data, rank_t to) {
    require_peer(message_name(kind), to);
    require_here(message_name(kind));
    look_for_failures();
    if (alive(to)) post(static_cast<int>(kind), data, to);
    counters_.sent[kind] += {1, data.size_bytes()};
  }

  [[nodiscard]] bool receive(message kind, std::span<float> out, rank_t from) {
    require_peer(message_name(kind), from);
    require_here(message_name(kind));
    look_for_failures();
    if (peer(from).has_left) return false;
    MPI_Status status;
    wait([&] { return arrived(data_, from, MPI_ANY_TAG, status); },
         [&] { return describe(kind, out.size()) + " from rank " + std::to_string(from); });
    int count = 0;
    check_mpi(MPI_Get_count(&status, MPI_FLOAT, &count), "MPI_Get_count");
    if (status.MPI_TAG == has_left_tag) {
      take_farewell(from, count);
      return false;
    }
    const bool fits =
        status.MPI_TAG == static_cast<int>(kind) && static_cast<std::size_t>(count) == out.size();
    std::vector<float> other(fits ? 0 : static_cast<std::size_t>(count));
    take(fits ? out : std::span<float>(other), from, status.MPI_TAG);
    if (!fits)
      throw error("rank " + std::to_string(rank_) + " expected " + describe(kind, out.size()) +
                  " from rank " + std::to_string(from) + ", found " +
                  describe(static_cast<message>(status.MPI_TAG), static_cast<std::size_t>(count)) +
                  "; make both ranks follow one protocol");
    counters_.received[kind] += {1, out.size_bytes()};
    return true;
  }

  bool exchange(message kind, std::span<const float> out, rank_t to, std::span<float> in,
                rank_t from) {
    if (to != rank_ || from != rank_) {
      send(kind, out, to);
      return receive(kind, in, from);
    }
    if (out.size() != in.size())
      throw error("rank " + std::to_string(rank_) + " expected " + describe(kind, in.size()) +
                  " from itself, found " + describe(kind, out.size()) +
                  "; give exchange two spans of one length");
    if (out.data() != in.data()) std::copy(out.begin(), out.end(), in.begin());
    return true;
  }

  /// Everybody tells everybody: no rank has to be alive for it.
  void barrier() {
    require_here("barrier");
    look_for_failures();
    const int epoch = epoch_++ % most_epochs;
    for (rank_t r = 0; r < size_; ++r)
      if (r != rank_ && alive(r)) post(epoch, {}, r, notices_);
    for (rank_t r = 0; r < size_; ++r) {
      if (r == rank_) continue;
      MPI_Status status;
      wait([&] { return arrived(notices_, r, epoch, status) || !alive(r); },
           [&] { return "rank " + std::to_string(r) + " at a barrier"; });
      if (arrived(notices_, r, epoch, status)) take({}, r, epoch, notices_);
    }
    look_for_failures();
  }

  [[nodiscard]] bool alive(rank_t rank) const {
    if (rank < 0 || rank >= size_) throw_no_such_rank("alive", rank);
    if (rank == rank_) return !gone_;
    MPI_Status status;
    return !peers_[static_cast<std::size_t>(rank)].has_left &&
           !arrived(data_, rank, has_left_tag, status);
  }
  void leave() noexcept {
    try {
      say_farewell({});
    } catch (const error& e) {
      patience_->warn(e.what());
    }
  }

  /// Waits until all that was sent is on its way.
  void flush() {
    while (!pending_.empty()) {
      reclaim();
      std::this_thread::yield();
    }
  }

  /// The last thing on every rank: says that it is gone, with the reason if it failed, and takes
  /// whatever is still under way to it, so that nobody's sends stay open. @throws error if another
  /// rank has failed
  void finish(const std::string& failure) {
    const std::string own = "rank " + std::to_string(rank_) + " failed: " + failure;
    say_farewell(failure.empty() || !failure_.empty() ? failure_ : own);
    for (rank_t r = 0; r < size_; ++r) {
      while (r != rank_ && !peer(r).has_left) {
        MPI_Status status;
        wait([&] { return arrived(data_, r, MPI_ANY_TAG, status); },
             [&] { return "the end of rank " + std::to_string(r); });
        int count = 0;
        check_mpi(MPI_Get_count(&status, MPI_FLOAT, &count), "MPI_Get_count");
        if (status.MPI_TAG == has_left_tag) {
          note_farewell(r, count);
        } else {
          std::vector<float> unread(static_cast<std::size_t>(count));
          take(unread, r, status.MPI_TAG);
        }
      }
    }
    flush();
    drain_notices();
    if (failure.empty()) look_for_failures();
  }

 private:
  static constexpr int has_left_tag = static_cast<int>(message_kinds);
  static constexpr int most_epochs = 32000;  // every MPI has tags up to 32767

  struct neighbour {
    bool has_left{false};
  };
  struct pending_send {
    std::vector<float> values;
    MPI_Request request{MPI_REQUEST_NULL};
  };

  static std::string describe(message kind, std::size_t count) {
    return "a " + std::string(message_name(kind)) + " message of " + std::to_string(count) +
           " values";
  }
  void require_peer(std::string_view what, rank_t peer) const {
    if (peer < 0 || peer >= size_ || peer == rank_) throw_no_such_rank(what, peer);
  }
  [[noreturn]] void throw_no_such_rank(std::string_view what, rank_t peer) const {
    throw usage_error("rank " + std::to_string(rank_) + " expected the peer of " +
                      std::string(what) + " to be another rank below " + std::to_string(size_) +
                      ", found " + std::to_string(peer) + "; name a rank of the world");
  }
  void require_here(std::string_view what) const {
    if (gone_)
      throw usage_error("rank " + std::to_string(rank_) + " expected to take part in " +
                        std::string(what) + " and has left; leave last");
  }
  neighbour& peer(rank_t r) { return peers_[static_cast<std::size_t>(r)]; }

  static bool arrived(MPI_Comm where, rank_t from, int tag, MPI_Status& status) {
    int is_there = 0;
    check_mpi(MPI_Iprobe(from, tag, where, &is_there, &status), "MPI_Iprobe");
    return is_there != 0;
  }
  void take(std::span<float> out, rank_t from, int tag) { take(out, from, tag, data_); }
  static void take(std::span<float> out, rank_t from, int tag, MPI_Comm where) {
    check_mpi(MPI_Recv(out.data(), static_cast<int>(out.size()), MPI_FLOAT, from, tag, where,
                       MPI_STATUS_IGNORE),
              "MPI_Recv");
  }

  void post(int tag, std::span<const float> data, rank_t to) { post(tag, data, to, data_); }
  void post(int tag, std::span<const float> data, rank_t to, MPI_Comm where) {
    if (data.size() > INT_MAX)
      throw error("expected a message of at most 2147483647 values, found " +
                  std::to_string(data.size()) + "; send it in parts");
    reclaim();
    if (spare_.empty()) spare_.emplace_back();
    pending_send& p = spare_.front();
    p.values.assign(data.begin(), data.end());
    check_mpi(MPI_Isend(p.values.data(), static_cast<int>(data.size()), MPI_FLOAT, to, tag, where,
                        &p.request),
              "MPI_Isend");
    pending_.splice(pending_.end(), spare_, spare_.begin());
  }
  /// Takes back the buffers of sends that are done; gives MPI the chance to go on with the others.
  void reclaim() {
    for (auto p = pending_.begin(); p != pending_.end();) {
      int is_done = 0;
      check_mpi(MPI_Test(&p->request, &is_done, MPI_STATUS_IGNORE), "MPI_Test");
      const auto next = std::next(p);
      if (is_done) spare_.splice(spare_.end(), pending_, p);
      p = next;
    }
  }

  /// Barriers that nobody came to any more.
  void drain_notices() {
    for (MPI_Status status; arrived(notices_, MPI_ANY_SOURCE, MPI_ANY_TAG, status);)
      take({}, status.MPI_SOURCE, status.MPI_TAG, notices_);
  }

  void say_farewell(const std::string& failure) {
    if (gone_) return;
    gone_ = true;
    const std::vector<float> text(failure.begin(), failure.end());
    for (rank_t r = 0; r < size_; ++r)
      if (r != rank_) post(has_left_tag, text, r);
  }
  /// The last message of a rank carries the reason if it failed.
  void note_farewell(rank_t from, int count) {
    std::vector<float> text(static_cast<std::size_t>(count));
    take(text, from, has_left_tag);
    peer(from).has_left = true;
    if (text.empty() || !failure_.empty()) return;
    for (const float letter : text) failure_ += static_cast<char>(letter);
  }
  void take_farewell(rank_t from, int count) {
    note_farewell(from, count);
    throw_failure();
  }
  void throw_failure() const {
    if (!failure_.empty()) throw rank_failed(failure_);
  }
  /// A failure is news to all, also to those who do not talk to that rank.
  void look_for_failures() {
    throw_failure();
    for (rank_t r = 0; r < size_; ++r) {
      MPI_Status status;
      if (r == rank_ || peer(r).has_left || !arrived(data_, r, has_left_tag, status)) continue;
      int count = 0;
      check_mpi(MPI_Get_count(&status, MPI_FLOAT, &count), "MPI_Get_count");
      if (count > 0) take_farewell(r, count);
    }
  }

  /// Polls, without the permit to compute and with pauses that grow to 0.1 ms: the processes share
  /// their cores. `what` describes what is waited for.
  template <class Done, class What>
  void wait(Done done, What what) {
    if (done()) return;
    permit_->release();
    struct taker {
      compute_permit& permit;
      ~taker() { permit.acquire(); }
    } const again{*permit_};
    const auto start = std::chrono::steady_clock::now();
    bool warned = false;
    for (int turn = 0; !done(); ++turn) {
      reclaim();
      if (turn < 64) {
        std::this_thread::yield();
        continue;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(std::min(turn - 60, 100)));
      if (!gone_) look_for_failures();
      const double late =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      const auto sentence = [&] {
        return "rank " + std::to_string(rank_) + " has waited " +
               std::to_string(static_cast<int>(late)) + " s for " + what();
      };
      if (patience_->give_up_after > 0 && late > patience_->give_up_after)
        throw error(sentence() + " and gives up; look at that rank, it is stopped or too slow");
      if (!warned && patience_->warn_after > 0 && late > patience_->warn_after) {
        warned = true;
        patience_->warn(sentence());
      }
    }
  }

  MPI_Comm data_, notices_;
  compute_permit* permit_;
  const mpi_patience* patience_;
  int rank_{}, size_{};
  int epoch_{};
  bool gone_{false};
  std::string failure_;
  traffic counters_;
  std::vector<neighbour> peers_;
  std::list<pending_send> pending_, spare_;
};

static_assert(HasBroadcast<mpi_communicator> && HasReduce<mpi_communicator> &&
                  HasGather<mpi_communicator>,
              "the MPI communicator must have every capability of the contract");

/// The first `size` processes of MPI_COMM_WORLD; every process of it makes the same worlds in the
/// same order. run() calls f on the calling thread, once per process; processes outside return at
/// once.
class mpi_world {
 public:
  using communicator_type = mpi_communicator;

  /// size = 0 takes all processes. @throws usage_error for more than there are, or without a pool
  explicit mpi_world(const mpi_environment& mpi, int size, std::shared_ptr<thread_pool> pool,
                     mpi_patience patience = {})
      : pool_(std::move(pool)),
        patience_(std::move(patience)),
        size_(size == 0 ? mpi.size() : size) {
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
      mpi_communicator gathering(members_.get(), members_.get(), permit, patience_);
      gathering.barrier();
      gathering.flush();
    }
    const detail::mpi_group data = members_.copy(), notices = members_.copy();
    mpi_communicator comm(data.get(), notices.get(), permit, patience_);
    std::exception_ptr failure;
    std::string reason;
    try {
      f(comm);
    } catch (const std::exception& e) {
      failure = std::current_exception();
      reason = e.what();
    } catch (...) {
      failure = std::current_exception();
      reason = "an exception without a message";
    }
    if (failure && reason.empty()) reason = "an exception with an empty message";
    try {
      comm.finish(reason);
    } catch (...) {
      if (!failure) failure = std::current_exception();  // the first reason counts
    }
    if (failure) std::rethrow_exception(failure);
  }

 private:
  std::shared_ptr<thread_pool> pool_;
  mpi_patience patience_;
  rank_t size_;
  detail::mpi_group members_;
};

static_assert(World<mpi_world>, "the MPI transport must be a World");

}  // namespace gantry::comm
