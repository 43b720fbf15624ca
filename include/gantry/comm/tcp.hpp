// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The transport over sockets: every rank is a process, and no other library is asked for anything.
// Same contract, same sums and same counters as the others.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/thread_pool.hpp"
#include "gantry/comm/collectives.hpp"
#include "gantry/comm/health.hpp"
#include "gantry/comm/launcher.hpp"
#include "gantry/comm/mailboxes.hpp"
#include "gantry/comm/peer_rules.hpp"
#include "gantry/comm/rendezvous.hpp"
#include "gantry/comm/tcp_lines.hpp"
#include "gantry/comm/tcp_socket.hpp"
#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0::comm {

/// One rank's end; see concepts/communicator.hpp for the contract.
class tcp_communicator : public ordered_collectives<tcp_communicator> {
 public:
  /// For tcp_world, which listens to the others.
  tcp_communicator(tcp_lines& lines, mailboxes& boxes, compute_permit& permit, rank_t rank)
      : lines_(&lines), boxes_(&boxes), permit_(&permit), rank_(rank) {}
  tcp_communicator(const tcp_communicator&) = delete;
  tcp_communicator& operator=(const tcp_communicator&) = delete;

  [[nodiscard]] rank_t rank() const noexcept { return rank_; }
  [[nodiscard]] rank_t size() const noexcept { return static_cast<rank_t>(lines_->sockets.size()); }
  [[nodiscard]] const traffic& statistics() const { return counters_; }

  void send(message kind, std::span<const float> data, rank_t to) {
    require_peer(message_name(kind), to);
    static_cast<void>(boxes_->ready(rank_, to));  // throws if another rank has failed
    if (boxes_->alive(to))
      write(to, {.what = static_cast<std::uint32_t>(kind), .count = data.size()}, data.data(),
            data.size_bytes());
    counters_.sent[kind] += {1, data.size_bytes()};
  }
  [[nodiscard]] bool receive(message kind, std::span<float> out, rank_t from) {
    require_peer(message_name(kind), from);
    return receive({.kind = kind, .count = out.size(), .from = from, .part = part_}, out);
  }
  bool exchange(message kind, std::span<const float> out, rank_t to, std::span<float> in,
                rank_t from) {
    if (to != rank_ || from != rank_) {
      send(kind, out, to);
      require_peer(message_name(kind), from);
      return receive({kind, in.size(), from, "exchange"}, in);
    }
    detail::exchange_with_itself(rank_, kind, out, in);
    return true;
  }

  /// Everybody tells everybody: no rank has to be alive for it.
  void barrier() {
    static_cast<void>(boxes_->ready(rank_, rank_));
    ++barriers_;
    tell_all({.what = detail::frame::barrier});
    is_at_barrier_ = true;
    permit_->release();
    {
      std::unique_lock lock(lines_->mutex);
      lines_->changed.wait(lock, [&] { return all_have_come() || boxes_->failure(); });
    }
    permit_->acquire();
    is_at_barrier_ = false;
    static_cast<void>(boxes_->ready(rank_, rank_));
  }
  /// Whether its rank waits at one; any thread may ask.
  [[nodiscard]] bool is_at_barrier() const { return is_at_barrier_; }

  [[nodiscard]] bool alive(rank_t rank) const {
    if (rank < 0 || rank >= size()) detail::throw_no_such_rank(rank_, size(), "alive", rank);
    return boxes_->alive(rank);
  }
  /// Whether the next receive from that rank would return at once (comm/requests.hpp).
  [[nodiscard]] bool ready(rank_t from) {
    require_peer("ready", from);
    return boxes_->ready(rank_, from);
  }
  void leave() noexcept { say_farewell({}); }
  /// For what is said of ranks that are late.
  void enter_iteration(std::uint32_t iteration) {
    boxes_->enter_iteration(rank_, iteration);
    tell_all({.what = detail::frame::iteration, .number = iteration});
  }
  void expect_part(const network_part& part) { part_ = part; }

  /// The last words, once; with the reason if this rank has failed.
  void say_farewell(const std::string& failure) noexcept {
    if (std::exchange(gone_, true)) return;
    for (rank_t r = 0; r < size(); ++r)
      if (r != rank_)
        write(r, {.what = detail::frame::farewell, .count = failure.size()}, failure.data(),
              failure.size());
    boxes_->leave(rank_);
  }

 private:
  void require_peer(std::string_view what, rank_t peer) const {
    detail::require_peer(rank_, size(), what, peer);
  }

  bool receive(const mailboxes::wanted& what, std::span<float> out) {
    std::list<packet> arrived = boxes_->fetch(what, rank_, *permit_);
    if (arrived.empty()) return false;
    const packet& p = arrived.front();
    if (p.kind != what.kind || p.values().size() != out.size())
      detail::throw_other_message(rank_, detail::describe(what.kind, out.size()), what.from,
                                  detail::describe(p.kind, p.values().size()));
    std::ranges::copy(p.values(), out.begin());
    counters_.received[what.kind] += {1, out.size_bytes()};
    boxes_->recycle(std::move(arrived), rank_, what.from);
    return true;
  }
  [[nodiscard]] bool all_have_come() const {
    for (rank_t r = 0; r < size(); ++r)
      if (r != rank_ && boxes_->alive(r) &&
          lines_->at_barrier[static_cast<std::size_t>(r)] < barriers_)
        return false;
    return true;
  }
  void write(rank_t to, const detail::frame& head, const void* values, std::size_t bytes) noexcept {
    lines_->write(to, head, values, bytes);
  }
  void tell_all(const detail::frame& head) {
    for (rank_t r = 0; r < size(); ++r)
      if (r != rank_ && boxes_->alive(r)) write(r, head, nullptr, 0);
  }

  tcp_lines* lines_;
  mailboxes* boxes_;
  compute_permit* permit_;
  rank_t rank_;
  std::uint64_t barriers_{};
  bool gone_{false};
  std::atomic<bool> is_at_barrier_{false};
  network_part part_;  // of what is received
  traffic counters_;
};

static_assert(HasBroadcast<tcp_communicator> && HasReduce<tcp_communicator> &&
                  HasGather<tcp_communicator>,
              "the TCP communicator must have every capability of the contract");

/// The processes of a job that have met. run() calls f on the calling thread, once per process; a
/// thread for each other rank takes in what it sends, so that nobody's sends wait for long.
class tcp_world {
 public:
  using communicator_type = tcp_communicator;

  /// @throws usage_error without a pool
  tcp_world(std::shared_ptr<tcp_lines> lines, std::shared_ptr<thread_pool> pool,
            patience health = {})
      : lines_(std::move(lines)),
        rank_(lines_->rank),
        pool_(std::move(pool)),
        patience_(std::move(health)) {
    expects(pool_ != nullptr, "a world needs a pool of threads; give one");
  }
  /// Of processes that meet for this world alone. @throws usage_error without a pool; as meet()
  tcp_world(const launch& self, const meeting_place& place, std::shared_ptr<thread_pool> pool,
            patience health = {})
      : tcp_world(std::make_shared<tcp_lines>(self, place), std::move(pool), std::move(health)) {}

  [[nodiscard]] rank_t size() const noexcept { return static_cast<rank_t>(lines_->sockets.size()); }
  [[nodiscard]] const std::shared_ptr<thread_pool>& pool() const noexcept { return pool_; }

  /// Runs f(communicator) on this process's rank and returns when all ranks have ended.
  /// @throws what f threw here, or rank_failed with what another rank said
  template <class F>
  void run(F&& f) {
    tcp_losses losses;
    patience health = patience_;
    health.on_lost = [&](rank_t r) {
      losses.add(r);
      if (patience_.on_lost) patience_.on_lost(r);
    };
    mailboxes boxes(size(), health);
    std::ranges::fill(lines_->at_barrier, 0);
    compute_permit permit(*pool_);
    std::vector<std::thread> listeners;
    for (rank_t r = 0; r < size(); ++r)
      if (r != rank_) listeners.emplace_back([this, &boxes, r] { listen(boxes, r); });
    boxes.enter(rank_);
    tcp_communicator comm(*lines_, boxes, permit, rank_);
    const detail::rank_end own = detail::end_of([&] {
      const tcp_pulse pulse(*lines_, boxes, losses, patience_.signs_every,
                            [&] { return comm.is_at_barrier(); });
      f(comm);
    });
    const std::exception_ptr of_another = boxes.failure();
    comm.say_farewell(of_another ? heard(of_another) : own.reason);
    permit.release();
    for (std::thread& t : listeners) t.join();
    permit.acquire();
    if (of_another) std::rethrow_exception(of_another);
    if (own.failure) std::rethrow_exception(own.failure);
    if (const std::exception_ptr late = boxes.failure()) std::rethrow_exception(late);
  }

 private:
  /// The failure of another rank, for those who hear of this one's end before they hear of that.
  static std::string heard(const std::exception_ptr& failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const rank_failed& e) {
      return e.what();
    } catch (...) {
      return {};
    }
  }
  /// Takes in what a rank sends, until it says farewell or its line ends.
  void listen(mailboxes& boxes, rank_t from) {
    const tcp_socket& line = lines_->sockets[static_cast<std::size_t>(from)];
    std::vector<float> values;
    for (;;) {
      detail::frame head;
      if (!line.read(&head, sizeof head)) return lose(boxes, from);
      if (head.what == detail::frame::farewell) return hear_farewell(boxes, from, head.count);
      if (head.what == detail::frame::iteration) {
        boxes.enter_iteration(from, head.number);
      } else if (head.what == detail::frame::sign) {
        boxes.note_sign(from, detail::position_in(head));
      } else if (head.what == detail::frame::lost &&
                 head.number < static_cast<std::uint32_t>(size())) {
        note_lost(boxes, static_cast<rank_t>(head.number));
      } else if (head.what == detail::frame::barrier) {
        const std::lock_guard lock(lines_->mutex);
        ++lines_->at_barrier[static_cast<std::size_t>(from)];
        lines_->changed.notify_all();
      } else if (head.what < message_kinds && head.count <= most_values) {
        if (!read_values(line, head.count, values, [&] { boxes.note_values(from); }))
          return lose(boxes, from);
        try {
          boxes.post(static_cast<message>(head.what), values, from, rank_);
        } catch (const error&) {  // the run has failed, and what still comes is not wanted
        }
      } else {
        return fail(boxes, from, "it has sent what is no message; start all ranks from one build");
      }
    }
  }
  /// Room is taken for what has come, not for what is announced. Calls on_part() for each 64 KiB.
  template <class F>
  static bool read_values(const tcp_socket& line, std::uint64_t count, std::vector<float>& values,
                          F&& on_part) {
    values.clear();
    while (values.size() < count) {
      const std::size_t done = values.size(),
                        more = std::min<std::size_t>(count - done, std::size_t{1} << 14);
      values.resize(done + more);
      if (!line.read(values.data() + done, more * sizeof(float))) return false;
      on_part();
    }
    return true;
  }
  void hear_farewell(mailboxes& boxes, rank_t from, std::uint64_t letters) {
    std::string reason(std::min<std::uint64_t>(letters, 1 << 16), ' ');
    const bool is_whole =
        lines_->sockets[static_cast<std::size_t>(from)].read(reason.data(), reason.size());
    if (!is_whole) return lose(boxes, from);
    if (!reason.empty()) return fail(boxes, from, reason);
    boxes.leave(from);
    wake();
  }
  /// A line that ends without a farewell: the process has been killed, or is cut off.
  void lose(mailboxes& boxes, rank_t from) {
    if (boxes.is_lost(rank_) || !boxes.alive(from)) {
      boxes.leave(from);
      return wake();
    }
    if (patience_.then != when_late::drop || from == 0)
      return end(boxes, from, lost_line,
                 std::make_exception_ptr(workers_lost("expected rank " + std::to_string(from) +
                                                      " to go on, found that " + lost_line +
                                                      "; go on from the last checkpoint")));
    boxes.leave(from);
    wake();
    if (rank_ != 0) return;
    patience_.warn("rank " + std::to_string(from) +
                   " is taken as lost, for its line has ended, and the others go on without it");
    if (patience_.on_lost) patience_.on_lost(from);
  }
  /// Rank 0 has given a rank up, for want of signs of work.
  void note_lost(mailboxes& boxes, rank_t lost) {
    boxes.lose(lost);
    if (lost != rank_) lines_->sockets[static_cast<std::size_t>(lost)].shut_down();
    wake();
  }
  void fail(mailboxes& boxes, rank_t from, const std::string& reason) {
    end(boxes, from, reason,
        std::make_exception_ptr(
            rank_failed("rank " + std::to_string(from) + " failed: " + reason)));
  }
  void end(mailboxes& boxes, rank_t from, const std::string& reason, std::exception_ptr failure) {
    boxes.fail(from, reason, failure);
    wake();
  }
  void wake() {
    const std::lock_guard lock(lines_->mutex);
    lines_->changed.notify_all();
  }

  static constexpr const char* lost_line =
      "its line has ended: it was killed, or cut off from this machine";
  static constexpr std::uint64_t most_values = std::uint64_t{1} << 36;

  std::shared_ptr<tcp_lines> lines_;
  rank_t rank_;
  std::shared_ptr<thread_pool> pool_;
  patience patience_;
};

static_assert(World<tcp_world>, "the TCP transport must be a World");

}  // namespace gantry::comm
