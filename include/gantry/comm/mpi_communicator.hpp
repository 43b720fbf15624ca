// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// One rank's end over MPI. Same contract, same order of sums and same counters as over threads, so
// a strategy gives bitwise the same result. A run asks the library for point-to-point messages
// only; its collectives are those of comm/collectives.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
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
#include "gantry/comm/health.hpp"
#include "gantry/comm/message_values.hpp"
#include "gantry/comm/mpi_environment.hpp"
#include "gantry/comm/mpi_pulse.hpp"
#include "gantry/comm/mpi_sends.hpp"
#include "gantry/comm/peer_rules.hpp"
#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/device_queue.hpp"
#include "gantry/concepts/device_room.hpp"

namespace gantry::inline v0::comm {

/// One rank's end over MPI; see concepts/communicator.hpp for the contract. Only the thread that
/// started MPI uses it. A message's tag is its kind; what a rank sends last is that it has left.
/// Rank 0 may decide that another one is lost; it tells all, and each of them behaves as if that
/// rank had left. If it comes back, it finds that all others have left.
class mpi_communicator : public ordered_collectives<mpi_communicator> {
 public:
  /// For mpi_world, which gives each run groups of its own.
  mpi_communicator(MPI_Comm data, MPI_Comm notices, compute_permit& permit, const patience& health,
                   mpi_pulse* pulse, const std::shared_ptr<device_room>& room = {})
      : data_(data),
        notices_(notices),
        permit_(&permit),
        patience_(&health),
        pulse_(pulse),
        sends_(pulse, room),
        room_(room),
        incoming_(room) {
    check_mpi(MPI_Comm_rank(data_, &rank_), "MPI_Comm_rank");
    check_mpi(MPI_Comm_size(data_, &size_), "MPI_Comm_size");
    peers_.resize(static_cast<std::size_t>(size_));
  }
  mpi_communicator(const mpi_communicator&) = delete;
  mpi_communicator& operator=(const mpi_communicator&) = delete;

  [[nodiscard]] rank_t rank() const noexcept { return rank_; }
  [[nodiscard]] rank_t size() const noexcept { return size_; }
  [[nodiscard]] const traffic& statistics() const { return counters_; }

  void send(message kind, std::span<const float> data, rank_t to) {
    if (reaches(kind, to)) post(static_cast<int>(kind), data, to);
    counters_.sent[kind] += {1, data.size_bytes()};
  }

  [[nodiscard]] bool receive(message kind, std::span<float> out, rank_t from) {
    require_peer(message_name(kind), from);
    require_here(message_name(kind));
    return receive(kind, {.host = out}, from, "receive");
  }

  bool exchange(message kind, std::span<const float> out, rank_t to, std::span<float> in,
                rank_t from) {
    if (to != rank_ || from != rank_) {
      send(kind, out, to);
      require_peer(message_name(kind), from);
      return receive(kind, {.host = in}, from, "exchange");
    }
    detail::exchange_with_itself(rank_, kind, out, in);
    return true;
  }

  /// See HasDeviceMessages: where the world was given room on the device, MPI is handed pointers to
  /// the device's memory.
  [[nodiscard]] bool takes_device_memory() const { return room_ != nullptr; }
  void send_device(message kind, device_parts values, rank_t to, device_queue after = {}) {
    require_room();
    const std::size_t count = message_values{.parts = values}.size();
    if (after) room_->follow(after);
    if (reaches(kind, to)) sends_.post(static_cast<int>(kind), values, count, to, data_);
    counters_.sent[kind] += {1, count * sizeof(float)};
  }
  [[nodiscard]] bool receive_device(message kind, device_parts values, rank_t from) {
    require_room();
    require_peer(message_name(kind), from);
    require_here(message_name(kind));
    return receive(kind, {.parts = values}, from, "receive");
  }
  bool exchange_device(message kind, device_parts out, rank_t to, device_parts in, rank_t from) {
    require_room();
    if (to != rank_ || from != rank_) {
      send_device(kind, out, to);
      require_peer(message_name(kind), from);
      return receive(kind, {.parts = in}, from, "exchange");
    }
    const std::size_t count = message_values{.parts = out}.size();
    detail::require_same_length(rank_, kind, count, message_values{.parts = in}.size());
    const std::span<float> copy = incoming_.reserve(count);
    float* at = copy.data();
    for (const std::span<float>& part : out) {
      room_->copy(part, at);
      at += part.size();
    }
    spread(copy, in);
    return true;
  }

  /// Everybody tells everybody: no rank has to be alive for it.
  void barrier() {
    require_here("barrier");
    look_for_failures();
    const int epoch = epoch_++ % most_epochs;
    for (rank_t r = 0; r < size_; ++r)
      if (r != rank_ && alive(r)) post(epoch, {}, r, notices_);
    for (rank_t r = 0; r < size_ && !lost_; ++r) {
      if (r == rank_) continue;
      MPI_Status status;
      const auto is_missing = [&](rank_t q) {
        return alive(q) && (q < r ? false : !arrived(notices_, q, epoch, status));
      };
      wait([&] { return arrived(notices_, r, epoch, status) || !alive(r); },
           {.operation = "barrier",
            .from = rank_position::everybody,
            .what = "rank " + std::to_string(r) + " at a barrier",
            .is_missing = is_missing});
      if (arrived(notices_, r, epoch, status)) take({}, r, epoch, notices_);
    }
    look_for_failures();
  }

  [[nodiscard]] bool alive(rank_t rank) const {
    if (rank < 0 || rank >= size_) detail::throw_no_such_rank(rank_, size_, "alive", rank);
    if (rank == rank_) return !gone_;
    if (peers_[static_cast<std::size_t>(rank)].has_left) return false;
    // One that has failed does not count as one that has left: whoever goes on meets its failure.
    MPI_Status status;
    return !arrived(data_, rank, has_left_tag, status) || count_of(status) > 0;
  }
  /// Whether the next receive from that rank would return at once (comm/requests.hpp).
  [[nodiscard]] bool ready(rank_t from) {
    require_peer("ready", from);
    require_here("ready");
    look_for_failures();
    look_for_losses();
    sends_.reclaim();
    MPI_Status status;
    return lost_ || peer(from).has_left || arrived(data_, from, MPI_ANY_TAG, status);
  }
  void leave() noexcept {
    try {
      say_farewell({});
    } catch (const error& e) {
      patience_->warn(e.what());
    }
  }

  /// For what is said of ranks that are late.
  void enter_iteration(std::uint32_t iteration) {
    iteration_ = iteration + 1;
    if (pulse_ != nullptr) pulse_->enter_iteration(iteration_);
    for (neighbour& n : peers_) n.received = 0;
    late_.enter_iteration();
  }
  void expect_part(const network_part& part) { part_ = part; }
  /// Whether rank 0 has taken this one as lost.
  [[nodiscard]] bool is_lost() const { return lost_; }
  /// The ranks that have been taken as lost, as far as this one knows.
  [[nodiscard]] std::vector<rank_t> lost_ranks() const {
    std::vector<rank_t> all;
    for (rank_t r = 0; r < size_; ++r)
      if (peers_[static_cast<std::size_t>(r)].is_lost) all.push_back(r);
    return all;
  }

  /// Waits until all that was sent is on its way, for so many seconds at most.
  void flush(double limit = std::numeric_limits<double>::infinity()) {
    const double began = seconds_now();
    while (!sends_.empty() && !lost_ && seconds_now() - began < limit) {
      sends_.reclaim();
      std::this_thread::yield();
    }
  }

  /// The last thing on every rank: says that it is gone, with the reason if it failed, and takes
  /// whatever is still under way to it, so that nobody's sends stay open. Waits for nobody where
  /// rank 0 is lost. @throws error if another rank has failed
  void finish(const std::string& failure) {
    if (pulse_ != nullptr) pulse_->stop();
    const std::string own = "rank " + std::to_string(rank_) + " failed: " + failure;
    say_farewell(failure.empty() || !failure_.empty() ? failure_ : own);
    for (rank_t r = 0; r < size_; ++r) {
      while (r != rank_ && !lost_ && !peer(0).is_lost && !peer(r).has_left) {
        MPI_Status status;
        wait([&] { return peer(r).has_left || arrived(data_, r, MPI_ANY_TAG, status); },
             {.operation = "end", .from = r, .what = "the end of rank " + std::to_string(r)});
        if (lost_ || peer(r).has_left) break;
        const int count = count_of(status);
        if (status.MPI_TAG == has_left_tag) {
          note_farewell(r, count);
        } else {
          std::vector<float> unread(static_cast<std::size_t>(count));
          static_cast<void>(take_late(unread, r, status.MPI_TAG));
        }
      }
    }
    flush(peer(0).is_lost ? 1 : std::numeric_limits<double>::infinity());
    drain_notices();
    if (pulse_ != nullptr) pulse_->listen();
    if (failure.empty() && !lost_) look_for_failures();
  }

 private:
  static constexpr int has_left_tag = static_cast<int>(message_kinds);
  static constexpr int most_epochs = 32000;  // every MPI has tags up to 32767
  static constexpr int lost_tag = most_epochs;

  struct neighbour {
    bool has_left{false};
    bool is_lost{false};
    int received{};  // in this iteration
  };
  /// What a rank waits for, for descriptions.
  struct awaited {
    std::string_view operation{};
    rank_t from{};
    std::string what{};
    message kind{message::control};
    std::function<bool(rank_t)> is_missing{};  // empty: `from` alone, and on rank 0 others like it
  };

  void require_peer(std::string_view what, rank_t peer) const {
    detail::require_peer(rank_, size_, what, peer);
  }
  void require_here(std::string_view what) const {
    if (gone_)
      throw usage_error("rank " + std::to_string(rank_) + " expected to take part in " +
                        std::string(what) + " and has left; leave last");
  }
  void require_room() const {
    expects(room_ != nullptr,
            "values on a device need room on it; ask takes_device_memory first, or give MPI room");
  }
  /// Before a send. @returns whether that rank still takes messages
  bool reaches(message kind, rank_t to) {
    require_peer(message_name(kind), to);
    require_here(message_name(kind));
    look_for_failures();
    return !lost_ && alive(to);
  }
  neighbour& peer(rank_t r) { return peers_[static_cast<std::size_t>(r)]; }

  static bool arrived(MPI_Comm where, rank_t from, int tag, MPI_Status& status) {
    const std::lock_guard calls(mpi_calls());
    int is_there = 0;
    check_mpi(MPI_Iprobe(from, tag, where, &is_there, &status), "MPI_Iprobe");
    return is_there != 0;
  }
  static int count_of(const MPI_Status& status) {
    int count = 0;
    check_mpi(MPI_Get_count(&status, MPI_FLOAT, &count), "MPI_Get_count");
    return count;
  }
  void take(std::span<float> out, rank_t from, int tag) { take(out, from, tag, data_); }
  static void take(std::span<float> out, rank_t from, int tag, MPI_Comm where) {
    const std::lock_guard calls(mpi_calls());
    check_mpi(MPI_Recv(out.data(), static_cast<int>(out.size()), MPI_FLOAT, from, tag, where,
                       MPI_STATUS_IGNORE),
              "MPI_Recv");
  }
  /// Takes a message that may be long: its sender can stop in the middle of it. False if it is then
  /// taken as lost.
  bool take_late(const message_values& out, rank_t from, int tag) {
    if (!out.parts.empty()) {
      auto block = std::make_unique<device_block>(std::exchange(incoming_, device_block(room_)));
      const std::span<float> copy = block->reserve(out.size());
      if (!taken(copy, from, tag, block)) return false;
      incoming_ = std::move(*block);
      return spread(copy, out.parts), true;
    }
    return take_late(out.host, from, tag);
  }
  bool take_late(std::span<float> out, rank_t from, int tag) {
    if (patience_->then == when_late::wait) return take_in_place(out, from, tag);
    auto copy = std::make_unique<std::vector<float>>(out.size());
    if (!taken(*copy, from, tag, copy)) return false;
    std::ranges::copy(*copy, out.begin());
    return true;
  }
  /// Takes a message into memory that `owner` has. Unless all of it has come, MPI may still write
  /// there, and the memory is left to it.
  template <class T>
  bool taken(std::span<float> out, rank_t from, int tag, std::unique_ptr<T>& owner) {
    T* const left = owner.release();  // to an exception, too
    if (!take_in_place(out, from, tag)) return false;
    owner.reset(left);
    return true;
  }
  bool take_in_place(std::span<float> out, rank_t from, int tag) {
    MPI_Request request = MPI_REQUEST_NULL;
    {
      const std::lock_guard calls(mpi_calls());
      check_mpi(MPI_Irecv(out.data(), static_cast<int>(out.size()), MPI_FLOAT, from, tag, data_,
                          &request),
                "MPI_Irecv");
    }
    const auto is_done = [&] {
      const std::lock_guard calls(mpi_calls());
      int done = 0;
      check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
      return done != 0;
    };
    for (int turn = 0; turn < 10'000; ++turn)  // it has begun to arrive
      if (is_done()) return true;
    bool done = false;
    wait([&] { return (done = is_done()) || peer(from).has_left; },
         {.operation = "receive",
          .from = from,
          .what = "the rest of " + detail::describe(static_cast<message>(tag), out.size(), part_) +
                  " from rank " + std::to_string(from),
          .kind = static_cast<message>(tag)});
    return done;
  }

  /// Values that have come to one place of the device go to the places where they belong.
  void spread(std::span<const float> values, device_parts parts) {
    for (const std::span<float>& part : parts) {
      room_->copy(values.first(part.size()), part.data());
      values = values.subspan(part.size());
    }
  }

  bool receive(message kind, const message_values& out, rank_t from, std::string_view operation) {
    look_for_failures();
    if (lost_ || peer(from).has_left) return false;
    MPI_Status status;
    wait([&] { return peer(from).has_left || arrived(data_, from, MPI_ANY_TAG, status); },
         {.operation = operation,
          .from = from,
          .what = detail::describe(kind, out.size(), part_) + " from rank " + std::to_string(from),
          .kind = kind});
    if (lost_ || peer(from).has_left) return false;
    const int count = count_of(status);
    if (status.MPI_TAG == has_left_tag) {
      take_farewell(from, count);
      return false;
    }
    const bool fits =
        status.MPI_TAG == static_cast<int>(kind) && static_cast<std::size_t>(count) == out.size();
    std::vector<float> other(fits ? 0 : static_cast<std::size_t>(count));
    if (!take_late(fits ? out : message_values{.host = other}, from, status.MPI_TAG)) return false;
    if (!fits)
      detail::throw_other_message(
          rank_, detail::describe(kind, out.size()), from,
          detail::describe(static_cast<message>(status.MPI_TAG), static_cast<std::size_t>(count)));
    counters_.received[kind] += {1, out.size() * sizeof(float)};
    ++peer(from).received;
    return true;
  }

  void post(int tag, std::span<const float> data, rank_t to) { post(tag, data, to, data_); }
  void post(int tag, std::span<const float> data, rank_t to, MPI_Comm where) {
    sends_.post(tag, data, to, where);
  }
  /// Barriers that nobody came to any more.
  void drain_notices() {
    for (MPI_Status status; arrived(notices_, MPI_ANY_SOURCE, MPI_ANY_TAG, status);) {
      std::vector<float> unread(static_cast<std::size_t>(count_of(status)));
      take(unread, status.MPI_SOURCE, status.MPI_TAG, notices_);
    }
  }

  /// Rank 0: the others are told, and so is the rank itself, should it come back.
  void lose(rank_t lost) {
    patience_->warn(lost_sentence(lost, iteration_));
    const std::array<float, 1> who{static_cast<float>(lost)};
    for (rank_t r = 1; r < size_; ++r)
      if (r == lost || alive(r)) post(lost_tag, who, r, notices_);
    note_lost(lost);
    if (patience_->on_lost) patience_->on_lost(lost);
  }
  /// It counts as one that has left, and what is on its way to it is given up. Should it come back,
  /// it finds that this rank has left, or failed if there is a reason.
  void note_lost(rank_t lost, const std::string& failure = {}) {
    if (lost == rank_) {
      lost_ = true;
      return;
    }
    post(has_left_tag, std::vector<float>(failure.begin(), failure.end()), lost);
    peer(lost).has_left = peer(lost).is_lost = true;
    if (pulse_ != nullptr) pulse_->forget(lost);
    sends_.give_up(lost);
  }
  /// What rank 0 says of others, and others of rank 0.
  void look_for_losses() {
    MPI_Status status;
    while (rank_ != 0 && !peer(0).is_lost && arrived(notices_, MPI_ANY_SOURCE, lost_tag, status)) {
      std::array<float, 1> who{};
      take(who, status.MPI_SOURCE, lost_tag, notices_);
      const auto lost = static_cast<rank_t>(who[0]);
      if (lost != 0)
        note_lost(lost);
      else
        lose_lead("rank " + std::to_string(rank_) + " hears from rank " +
                  std::to_string(status.MPI_SOURCE) + " that rank 0 gives no sign of life");
    }
  }
  /// No worker goes on without rank 0, and each is told why, since MPI's abort does not end the
  /// others under every mpirun. What is left to do must not wait for MPI.
  [[noreturn]] void lose_lead(const std::string& sentence) {
    mpi_environment::end_within(std::chrono::seconds(10),
                                static_cast<int>(exit_code::too_few_workers));
    for (rank_t r = 1; r < size_; ++r)
      if (r != rank_ && alive(r)) post(lost_tag, std::array<float, 1>{0}, r, notices_);
    note_lost(0, "rank " + std::to_string(rank_) + " failed: rank 0 gave no sign of life");
    throw workers_lost(sentence + "; it is taken as lost, go on with --resume latest");
  }

  void say_farewell(const std::string& failure) {
    if (gone_) return;
    gone_ = true;
    const std::vector<float> text(failure.begin(), failure.end());
    for (rank_t r = 0; r < size_; ++r)  // who is lost has been told, and may read nothing more
      if (r != rank_ && !peer(r).is_lost) post(has_left_tag, text, r);
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
    look_for_losses();  // what it has told before
    throw_failure();
  }
  void throw_failure() const {
    if (!failure_.empty()) throw rank_failed(failure_);
  }
  /// A failure is news to all, also to those who do not talk to that rank.
  void look_for_failures() {
    if (lost_) return;
    throw_failure();
    for (rank_t r = 0; r < size_; ++r) {
      MPI_Status status;
      if (r == rank_ || peer(r).has_left || !arrived(data_, r, has_left_tag, status)) continue;
      const int count = count_of(status);
      if (count > 0) take_farewell(r, count);
    }
  }

  /// Polls, without the permit to compute and with pauses that grow to 0.1 ms: the processes share
  /// their cores. Also returns when this rank is taken as lost.
  template <class Done>
  void wait(Done done, const awaited& what) {
    if (done()) return;
    permit_->release();
    if (pulse_ != nullptr) pulse_->wait_for(what.from, what.kind);
    double started = seconds_now(), last_turn = started, next_look = 0;
    struct back_to_work {
      mpi_communicator& comm;
      const double& started;
      ~back_to_work() {
        comm.late_.note(seconds_now() - started);
        if (comm.pulse_ != nullptr) comm.pulse_->work_on();
        comm.permit_->acquire();
      }
    } const again{*this, started};
    for (int turn = 0; !done() && !lost_; ++turn) {
      sends_.reclaim();
      if (turn < 64) {
        std::this_thread::yield();
        continue;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(std::min(turn - 60, 100)));
      look_for_losses();
      if (!gone_) look_for_failures();
      if (gone_ && pulse_ != nullptr) pulse_->listen();  // its thread has ended
      const double now = seconds_now(), turn_took = now - std::exchange(last_turn, now);
      // A process that was itself stopped has not listened to the others.
      if (turn_took > std::max(0.05, patience_->act_after / 4)) started += turn_took;
      const double late = now - started;
      if (patience_->give_up_after > 0 && late > patience_->give_up_after)
        throw error(describe_late(what, late).sentence() +
                    "; it gives up, look at that rank, it is stopped or too slow");
      if (patience_->warn_after <= 0 || late < next_look) continue;
      next_look = late + std::min(0.1, patience_->warn_after / 8);
      judge_late(what, late);
    }
  }
  /// Names who is late, and acts.
  void judge_late(const awaited& what, double late) {
    const bool lead_is_silent = is_lead_silent(late, patience_->silence_after);
    const double limit = lead_is_silent ? patience_->silence_after : patience_->warn_after;
    rank_signs seen;
    const auto signs_of = [&](rank_t r) -> const rank_signs* {
      if (pulse_ == nullptr || (rank_ != 0 && r != 0)) return nullptr;
      seen = pulse_->of(r);
      return &seen;
    };
    if (late_.in_all(late) >= limit && late_.must_name(not_arrived(what), late, limit, signs_of))
      patience_->warn(describe_late(what, late).sentence());
    if (patience_->then != when_late::drop) return;
    if (rank_ == 0) return drop_still_ones(what, late);
    // To lose rank 0 is to lose the run, which is worth more patience.
    if (!is_lead_silent(late, std::max(4 * patience_->act_after, 5.0))) return;
    lose_lead(describe_late(what, late).sentence());
  }
  /// Of a rank that waits: rank 0 has given no sign of life for so long, which it does whatever it
  /// computes.
  bool is_lead_silent(double late, double seconds) {
    return rank_ != 0 && pulse_ != nullptr && late >= seconds && alive(0) &&
           pulse_->of(0).silent_for(seconds_now()) >= seconds;
  }

  /// Whoever is waited for; rank 0, which hears of all, names those behind it too: who has sent no
  /// more in this iteration, and does not itself wait for rank 0.
  std::vector<rank_t> not_arrived(const awaited& what) {
    std::vector<rank_t> missing;
    MPI_Status status;
    for (rank_t r = 0; r < size_; ++r) {
      if (r == rank_ || peer(r).has_left) continue;
      bool is_missing = r == what.from;
      if (what.is_missing)
        is_missing = what.is_missing(r);
      else if (rank_ != 0)
        is_missing = is_missing || (r == 0 && is_lead_silent(1e9, patience_->silence_after));
      else if (rank_ == 0 && !is_missing && pulse_ != nullptr)
        is_missing = !arrived(data_, r, MPI_ANY_TAG, status) &&
                     peer(r).received <= peer(what.from).received &&
                     pulse_->of(r).at().waits_for != rank_;
      if (is_missing) missing.push_back(r);
    }
    return missing;
  }
  late_wait describe_late(const awaited& what, double late) {
    late_wait now{rank_, what.operation, what.what, iteration_, late, {}, late_.in_all(late)};
    const double known = 2 * std::min(patience_->warn_after, patience_->silence_after);
    for (const rank_t r : not_arrived(what)) {
      now.missing += now.missing.empty() ? "" : ", ";
      now.missing += pulse_ == nullptr || (rank_ != 0 && r != 0)
                         ? "rank " + std::to_string(r)
                         : pulse_->of(r).describe(r, std::min(now.in_all, known), seconds_now());
    }
    return now;
  }
  /// Gives up those that have shown no sign of work for as long as this wait has been late.
  void drop_still_ones(const awaited& what, double late) {
    const double enough = patience_->act_after, now = seconds_now();
    for (const rank_t r : not_arrived(what)) {
      if (pulse_ == nullptr || late < enough) return;
      const rank_signs seen = pulse_->of(r);
      const bool is_silent = seen.silent_for(now) >= enough;
      if (is_silent || seen.still_for(now) >= enough) lose(r);
    }
  }

  MPI_Comm data_, notices_;
  compute_permit* permit_;
  const patience* patience_;
  mpi_pulse* pulse_;
  int rank_{}, size_{};
  int epoch_{};
  std::uint32_t iteration_{};  // 1, 2, ...; 0: before the first
  network_part part_;          // of what is received
  bool gone_{false}, lost_{false};
  std::string failure_;
  late_waits late_;
  traffic counters_;
  std::vector<neighbour> peers_;
  mpi_sends sends_;
  std::shared_ptr<device_room> room_;
  device_block incoming_;  // where a message comes whose values belong to several places
};

static_assert(HasBroadcast<mpi_communicator> && HasReduce<mpi_communicator> &&
                  HasGather<mpi_communicator> && HasDeviceMessages<mpi_communicator>,
              "the MPI communicator must have every capability of the contract");

}  // namespace gantry::comm
