// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Where the threads of the in-process transport meet: a mailbox per pair of ranks, a barrier, and
// the knowledge of who is alive, who waits for whom and who failed.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <list>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/thread_pool.hpp"
#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0::comm {

/// A message on its way.
struct packet {
  message kind{};
  std::vector<float> values;
};

/// Mailboxes of `size` ranks. One mutex guards all of it but is never held while values are copied;
/// each rank sleeps on a condition variable of its own. Buffers go back to their pair of ranks, so
/// that a steady exchange allocates nothing.
class mailboxes {
 public:
  explicit mailboxes(rank_t size)
      : size_(size),
        nodes_(static_cast<std::size_t>(size)),
        pairs_(nodes_.size() * nodes_.size()) {}

  /// Puts a copy of `values` behind what `from` has sent to `to`; drops it if `to` has left.
  /// @throws error if another rank failed
  void post(message kind, std::span<const float> values, rank_t from, rank_t to);

  /// Waits for the next message of `from` to `self`, without the permit while it sleeps. An empty
  /// list says that `from` has left and nothing of it remains; else it holds one packet, to be
  /// given back by `recycle`. `kind` is only for a deadlock's description.
  /// @throws error if another rank failed or all ranks wait
  std::list<packet> fetch(message kind, rank_t self, rank_t from, compute_permit& permit);
  void recycle(std::list<packet>&& used, rank_t self, rank_t from);

  /// Waits until every live rank has come here. @throws as fetch
  void barrier(rank_t self, compute_permit& permit);

  [[nodiscard]] bool alive(rank_t rank);

  /// Nothing more comes from this rank; wakes those who waited for it.
  void leave(rank_t rank) noexcept;

  /// The rank has thrown `what`: all others throw an error that says so. Only the first counts.
  void fail(rank_t rank, const std::string& what, const std::exception_ptr& failure);

  /// What the first failing rank threw, or null.
  [[nodiscard]] std::exception_ptr failure() {
    const std::lock_guard lock(mutex_);
    return failure_;
  }

 private:
  enum class waits_for { nothing, message, barrier };

  struct node {
    std::condition_variable wake;
    waits_for waiting{waits_for::nothing};  // cleared by who ends the wait, so it is never stale
    rank_t from{};                          // for waits_for::message
    message kind{};
    bool is_alive{true};
  };
  struct pair {
    std::list<packet> queue, spare;
  };

  node& at(rank_t r) { return nodes_[static_cast<std::size_t>(r)]; }
  pair& between(rank_t from, rank_t to) {
    return pairs_[static_cast<std::size_t>(from) * nodes_.size() + static_cast<std::size_t>(to)];
  }
  static void end_wait(node& n) {
    n.waiting = waits_for::nothing;
    n.wake.notify_one();
  }

  void require_member(rank_t self);
  std::list<packet> take_spare(pair& p, std::size_t length);
  void sleep(std::unique_lock<std::mutex>& lock, rank_t self, compute_permit& permit);
  void open_barrier_if_complete();
  void stop_if_all_wait();
  void take_down(const std::string& verdict);
  [[nodiscard]] std::string describe_waits();

  rank_t size_;
  std::mutex mutex_;
  std::vector<node> nodes_;
  std::vector<pair> pairs_;  // [from][to]
  std::string verdict_;      // why nobody can go on; empty while all is well
  std::exception_ptr failure_;
};

inline void mailboxes::post(message kind, std::span<const float> values, rank_t from, rank_t to) {
  std::list<packet> one;
  {
    const std::lock_guard lock(mutex_);
    require_member(from);
    if (!at(to).is_alive) return;
    one = take_spare(between(from, to), values.size());
  }
  if (one.empty()) one.emplace_back();
  one.front().kind = kind;
  one.front().values.assign(values.begin(), values.end());

  const std::lock_guard lock(mutex_);
  node& receiver = at(to);
  if (!receiver.is_alive) return;
  std::list<packet>& queue = between(from, to).queue;
  queue.splice(queue.end(), one);
  if (receiver.waiting == waits_for::message && receiver.from == from) end_wait(receiver);
}

/// The smallest buffer that fits, else the largest: capacities grow to what the exchange needs and
/// then stay.
inline std::list<packet> mailboxes::take_spare(pair& p, std::size_t length) {
  const auto better = [length](const packet& a, const packet& b) {
    const std::size_t x = a.values.capacity(), y = b.values.capacity();
    return x >= length && y >= length ? x < y : x > y;
  };
  std::list<packet> one;
  if (const auto best = std::ranges::min_element(p.spare, better); best != p.spare.end())
    one.splice(one.begin(), p.spare, best);
  return one;
}

inline std::list<packet> mailboxes::fetch(message kind, rank_t self, rank_t from,
                                          compute_permit& permit) {
  std::unique_lock lock(mutex_);
  require_member(self);
  std::list<packet>& queue = between(from, self).queue;
  if (queue.empty() && at(from).is_alive) {
    node& me = at(self);
    me.waiting = waits_for::message;
    me.from = from;
    me.kind = kind;
    sleep(lock, self, permit);
  }
  std::list<packet> one;
  if (!queue.empty()) one.splice(one.begin(), queue, queue.begin());
  return one;
}

inline void mailboxes::recycle(std::list<packet>&& used, rank_t self, rank_t from) {
  const std::lock_guard lock(mutex_);
  std::list<packet>& spare = between(from, self).spare;
  spare.splice(spare.begin(), used);
}

inline void mailboxes::barrier(rank_t self, compute_permit& permit) {
  std::unique_lock lock(mutex_);
  require_member(self);
  at(self).waiting = waits_for::barrier;
  open_barrier_if_complete();
  if (at(self).waiting != waits_for::nothing) sleep(lock, self, permit);
}

inline bool mailboxes::alive(rank_t rank) {
  const std::lock_guard lock(mutex_);
  return at(rank).is_alive;
}

inline void mailboxes::leave(rank_t rank) noexcept {
  const std::lock_guard lock(mutex_);
  node& leaving = at(rank);
  if (!leaving.is_alive) return;
  leaving.is_alive = false;
  for (node& n : nodes_)
    if (n.waiting == waits_for::message && n.from == rank) end_wait(n);
  for (rank_t r = 0; r < size_; ++r) between(r, rank).queue.clear();
  open_barrier_if_complete();
  stop_if_all_wait();
}

inline void mailboxes::fail(rank_t rank, const std::string& what,
                            const std::exception_ptr& failure) {
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = failure;
  at(rank).is_alive = false;
  take_down("expected rank " + std::to_string(rank) +
            " to go on, found that it stopped with an error; see the error of rank " +
            std::to_string(rank) + ": " + what);
}

inline void mailboxes::require_member(rank_t self) {
  if (!verdict_.empty()) throw error(verdict_);
  if (!at(self).is_alive)
    throw usage_error("expected no message to or from rank " + std::to_string(self) +
                      " after its leave(), found one; end the rank's main function there");
}

/// Sleeps until somebody ends the wait that the caller has entered in its node.
inline void mailboxes::sleep(std::unique_lock<std::mutex>& lock, rank_t self,
                             compute_permit& permit) {
  node& me = at(self);
  stop_if_all_wait();
  permit.release();
  me.wake.wait(lock, [&] { return me.waiting == waits_for::nothing; });
  // Whoever holds the last permit may need the mutex to come to its release.
  lock.unlock();
  permit.acquire();
  lock.lock();
  if (!verdict_.empty()) throw error(verdict_);
}

inline void mailboxes::open_barrier_if_complete() {
  for (const node& n : nodes_)
    if (n.is_alive && n.waiting != waits_for::barrier) return;
  for (node& n : nodes_)
    if (n.is_alive) end_wait(n);
}

/// With all live ranks waiting nothing can ever happen again: better an error than a hang.
inline void mailboxes::stop_if_all_wait() {
  const auto goes_on = [](const node& n) { return n.is_alive && n.waiting == waits_for::nothing; };
  const auto waits = [](const node& n) { return n.is_alive && n.waiting != waits_for::nothing; };
  if (std::ranges::any_of(nodes_, goes_on) || std::ranges::none_of(nodes_, waits)) return;
  take_down("expected a rank that goes on, found that all wait (" + describe_waits() +
            "); make every receive match a send, and let all ranks come to a barrier");
}

inline void mailboxes::take_down(const std::string& verdict) {
  if (verdict_.empty()) verdict_ = verdict;
  for (node& n : nodes_) end_wait(n);
}

inline std::string mailboxes::describe_waits() {
  std::string all;
  for (rank_t r = 0; r < size_; ++r) {
    const node& n = at(r);
    if (!n.is_alive) continue;
    all += (all.empty() ? "rank " : ", rank ") + std::to_string(r);
    if (n.waiting == waits_for::barrier)
      all += " at the barrier";
    else
      all += " for a " + std::string(message_name(n.kind)) + " message of rank " +
             std::to_string(n.from);
  }
  return all;
}

}  // namespace gantry::comm
