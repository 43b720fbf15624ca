// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The transport without a network: every rank is a thread of this process. Same contract, same sums
// and same counters as the others, so a strategy that works here works there.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <list>
#include <memory>
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
#include "gantry/comm/mailboxes.hpp"
#include "gantry/comm/peer_rules.hpp"
#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0::comm {

/// One rank's end; see concepts/communicator.hpp for the contract. If all live ranks wait for each
/// other, each of them throws a gantry::error that says who waits for what.
class in_process_communicator : public ordered_collectives<in_process_communicator> {
 public:
  in_process_communicator(mailboxes& boxes, traffic& counters, compute_permit& permit, rank_t rank,
                          rank_t size)
      : boxes_(&boxes), counters_(&counters), permit_(&permit), rank_(rank), size_(size) {}
  in_process_communicator(const in_process_communicator&) = delete;
  in_process_communicator& operator=(const in_process_communicator&) = delete;

  [[nodiscard]] rank_t rank() const noexcept { return rank_; }
  [[nodiscard]] rank_t size() const noexcept { return size_; }
  [[nodiscard]] const traffic& statistics() const { return *counters_; }

  void send(message kind, std::span<const float> data, rank_t to) {
    require_peer(kind, to);
    boxes_->post(kind, data, rank_, to);
    counters_->sent[kind] += {1, data.size_bytes()};
  }

  /// Without a copy (concepts/communicator.hpp).
  void send_own(message kind, const std::shared_ptr<std::vector<float>>& data, rank_t to) {
    require_peer(kind, to);
    boxes_->lend(kind, data, rank_, to);
    counters_->sent[kind] += {1, data->size() * sizeof(float)};
  }

  [[nodiscard]] bool receive(message kind, std::span<float> out, rank_t from) {
    require_peer(kind, from);
    return receive({.kind = kind, .count = out.size(), .from = from, .part = part_}, out);
  }

  /// f sees the message where it lies; `room` says how long it must be.
  template <class F>
  [[nodiscard]] bool receive_with(message kind, std::span<float> room, rank_t from, F&& f) {
    require_peer(kind, from);
    return show({.kind = kind, .count = room.size(), .from = from, .part = part_}, f);
  }

  bool exchange(message kind, std::span<const float> out, rank_t to, std::span<float> in,
                rank_t from) {
    if (to != rank_ || from != rank_) {
      send(kind, out, to);
      require_peer(kind, from);
      return receive({kind, in.size(), from, "exchange"}, in);
    }
    detail::exchange_with_itself(rank_, kind, out, in);
    return true;
  }

  void barrier() { boxes_->barrier(rank_, *permit_); }

  [[nodiscard]] bool alive(rank_t rank) const {
    if (rank < 0 || rank >= size_) detail::throw_no_such_rank(rank_, size_, "alive", rank);
    return boxes_->alive(rank);
  }
  /// Whether the next receive from that rank would return at once (comm/requests.hpp).
  [[nodiscard]] bool ready(rank_t from) {
    require_peer(message::control, from);
    return boxes_->ready(rank_, from);
  }
  void leave() noexcept { boxes_->leave(rank_); }
  /// For what is said of ranks that are late.
  void enter_iteration(std::uint32_t iteration) { boxes_->enter_iteration(rank_, iteration); }
  void expect_part(const network_part& part) { part_ = part; }

 private:
  bool receive(const mailboxes::wanted& what, std::span<float> out) {
    return show(what, [out](const message_view& m) { std::ranges::copy(m.values, out.begin()); });
  }

  template <class F>
  bool show(const mailboxes::wanted& what, F&& f) {
    const message kind = what.kind;
    const rank_t from = what.from;
    std::list<packet> arrived = boxes_->fetch(what, rank_, *permit_);
    if (arrived.empty()) return false;
    const packet& p = arrived.front();
    const std::span<const float> values = p.values();
    if (p.kind != kind || values.size() != what.count)
      detail::throw_other_message(rank_, detail::describe(kind, what.count), from,
                                  detail::describe(p.kind, values.size()));
    counters_->received[kind] += {1, values.size_bytes()};
    f(message_view{values, p.lent != nullptr});
    boxes_->recycle(std::move(arrived), rank_, from);
    return true;
  }

  void require_peer(message kind, rank_t peer) const {
    detail::require_peer(rank_, size_, message_name(kind), peer);
  }

  mailboxes* boxes_;
  traffic* counters_;
  compute_permit* permit_;
  rank_t rank_, size_;
  network_part part_;  // of what is received
};

static_assert(HasBroadcast<in_process_communicator> && HasReduce<in_process_communicator> &&
                  HasGather<in_process_communicator>,
              "the in-process communicator must have every capability of the contract");

/// `size` ranks in this process. Rank 0 runs on the thread that calls run(), each other rank on a
/// thread of its own. A rank holds a permit of the pool while it computes and none while it waits
/// for a message, so no more ranks and helpers compute at once than the pool has threads.
class in_process_world {
 public:
  using communicator_type = in_process_communicator;

  /// Rank 0 says who is late, and acts, as `health` has it; by default it waits without a word.
  /// @throws usage_error if size < 1 or there is no pool
  in_process_world(int size, std::shared_ptr<thread_pool> pool, patience health = {.warn_after = 0})
      : pool_(std::move(pool)),
        health_(std::move(health)),
        traffic_(static_cast<std::size_t>(std::max(size, 0))) {
    expects(size >= 1, "a world must have at least one rank; give a size of 1 or more");
    expects(pool_ != nullptr, "a world needs a pool of threads; give one, or use comm::in_process");
  }

  [[nodiscard]] rank_t size() const noexcept { return static_cast<rank_t>(traffic_.size()); }
  [[nodiscard]] const std::shared_ptr<thread_pool>& pool() const noexcept { return pool_; }

  /// Runs f(communicator) on every rank, all on the one object f, and returns when all have ended.
  /// That of a rank that is taken as lost must end, too: a thread cannot be ended by others.
  /// Each run starts anew: all ranks alive, no message under way, counters at 0.
  /// @throws what the first failing rank threw, error if the system has no room for the threads
  template <class F>
  void run(F&& f) {
    mailboxes boxes(size(), health_);
    std::ranges::fill(traffic_, traffic{});
    compute_permit permit(*pool_);
    std::vector<std::thread> threads;
    try {
      threads.reserve(traffic_.size() - 1);
      for (rank_t r = 1; r < size(); ++r)
        threads.emplace_back([this, &boxes, &f, r] {
          compute_permit own(*pool_);
          run_rank(f, boxes, own, r);
        });
      run_rank(f, boxes, permit, 0);
    } catch (const std::exception& e) {
      refuse(boxes, threads.size() + 1, e.what());
    }
    permit.release();
    for (std::thread& t : threads) t.join();
    permit.acquire();
    if (const std::exception_ptr failure = boxes.failure()) std::rethrow_exception(failure);
  }

  /// What a rank sent and received in the last run. Not while run() is under way.
  [[nodiscard]] const traffic& of(rank_t rank) const {
    expects(rank >= 0 && rank < size(),
            "the traffic asked for must be that of a rank of the world");
    return traffic_[static_cast<std::size_t>(rank)];
  }
  /// Sum over the ranks.
  [[nodiscard]] traffic total() const {
    traffic sum;
    for (const traffic& t : traffic_) sum += t;
    return sum;
  }

 private:
  /// Never throws: what f throws goes to the mailboxes.
  template <class F>
  void run_rank(F& f, mailboxes& boxes, compute_permit& permit, rank_t rank) {
    in_process_communicator comm(boxes, traffic_[static_cast<std::size_t>(rank)], permit, rank,
                                 size());
    boxes.enter(rank);
    try {
      f(comm);
      comm.leave();
    } catch (const std::exception& e) {
      boxes.fail(rank, e.what(), std::current_exception());
    } catch (...) {
      boxes.fail(rank, "an exception without a message", std::current_exception());
    }
  }

  /// The ranks from `started` on have no thread.
  void refuse(mailboxes& boxes, std::size_t started, const char* reason) const {
    const error failure("expected to start a thread for each of " + std::to_string(size()) +
                        " ranks, found room for " + std::to_string(started) + " (" + reason +
                        "); run fewer ranks in one process");
    boxes.fail(static_cast<rank_t>(started), failure.what(), std::make_exception_ptr(failure));
  }

  std::shared_ptr<thread_pool> pool_;
  patience health_;
  std::vector<traffic> traffic_;
};

static_assert(World<in_process_world>, "the in-process transport must be a World");

/// `size` ranks with a pool of their own; threads = 0 takes as many as there are usable cores.
/// @throws usage_error if size < 1 or threads < 0
inline in_process_world in_process(int size, int threads = 0) {
  return {size, std::make_shared<thread_pool>(threads)};
}

}  // namespace gantry::comm
