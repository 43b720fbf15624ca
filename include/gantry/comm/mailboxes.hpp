// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Where the threads of the in-process transport meet: a mailbox per pair of ranks, a barrier, and
// the knowledge of who is alive, who waits for whom and who failed.
#pragma once

#if defined(__linux__)
#include <pthread.h>

#include <time.h>
#endif

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/thread_pool.hpp"
#include "gantry/comm/health.hpp"
#include "gantry/comm/peer_rules.hpp"
#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0::comm {

/// A message on its way: a copy, or what its sender lends.
struct packet {
  message kind{};
  std::vector<float> copy;
  std::shared_ptr<const std::vector<float>> lent;
  [[nodiscard]] std::span<const float> values() const { return lent ? *lent : copy; }
};

/// Mailboxes of `size` ranks. One mutex guards all of it but is never held while values are copied;
/// each rank sleeps on a condition variable of its own. Buffers go back to their pair of ranks, so
/// that a steady exchange allocates nothing.
///
/// Rank 0 looks at the clock while it waits, as `health` says: a thread works if the processor's
/// clock says that it has, or if it waits for a message or for a permit to compute. One that is
/// taken as lost finds, when it comes back, that nobody talks to it any more.
class mailboxes {
 public:
  explicit mailboxes(rank_t size, patience health = {.warn_after = 0})
      : size_(size),
        health_(std::move(health)),
        nodes_(static_cast<std::size_t>(size)),
        pairs_(nodes_.size() * nodes_.size()) {}

  /// The calling thread is this rank's.
  void enter(rank_t rank);
  void enter_iteration(rank_t rank, std::uint32_t iteration);

  /// Of a rank that is another process: a sign of life, which says where it is. Without any, nobody
  /// can say that it does nothing.
  void note_sign(rank_t rank, const rank_position& where) {
    const std::lock_guard lock(mutex_);
    node& n = at(rank);
    if (!n.gives_signs) n.signs = rank_signs();
    n.gives_signs = true;
    n.signs.note({n.iteration, where.waits_for, where.kind, where.cpu_seconds, where.sends},
                 seconds_now());
  }
  /// A part of a message of such a rank has come.
  void note_values(rank_t rank) {
    const std::lock_guard lock(mutex_);
    if (node& n = at(rank); n.gives_signs) n.signs.note_values(seconds_now());
  }
  /// Another process has decided that a rank is not alive. That of this process then finds that all
  /// others have left.
  void lose(rank_t rank) {
    const std::lock_guard lock(mutex_);
    at(rank).is_lost = true;
    end_membership(rank);
    end_wait(at(rank));
  }
  [[nodiscard]] bool is_lost(rank_t rank) {
    const std::lock_guard lock(mutex_);
    return at(rank).is_lost;
  }
  /// Where a rank of this process is, but for its processor time.
  [[nodiscard]] rank_position position(rank_t rank) {
    const std::lock_guard lock(mutex_);
    return where(at(rank));
  }

  /// Puts a copy of `values` behind what `from` has sent to `to`; drops it if `to` has left.
  /// @throws error if another rank failed
  void post(message kind, std::span<const float> values, rank_t from, rank_t to) {
    put(values.size(), from, to, [&](packet& p) {
      p.kind = kind;
      p.copy.assign(values.begin(), values.end());
    });
  }
  /// The same without a copy; nobody may write the values before the packet has been recycled.
  void lend(message kind, std::shared_ptr<const std::vector<float>> values, rank_t from,
            rank_t to) {
    put(0, from, to, [&](packet& p) {
      p.kind = kind;
      p.lent = std::move(values);
    });
  }

  /// What a rank wants to receive; kind, count, operation and part are only for descriptions.
  struct wanted {
    message kind{};
    std::size_t count{};
    rank_t from{};
    std::string_view operation{"receive"};
    network_part part{};
  };
  /// Waits for the next message of `from` to `self`, without the permit while it sleeps. An empty
  /// list says that `from` has left and nothing of it remains; else it holds one packet, to be
  /// given back by `recycle`. @throws error if another rank failed or all ranks wait
  std::list<packet> fetch(const wanted& what, rank_t self, compute_permit& permit);
  void recycle(std::list<packet>&& used, rank_t self, rank_t from);

  /// Whether fetch would return at once. @throws error if another rank failed
  [[nodiscard]] bool ready(rank_t self, rank_t from) {
    const std::lock_guard lock(mutex_);
    return !is_member(self) || !between(from, self).queue.empty() || !at(from).is_alive;
  }

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
#if defined(__linux__)
  using clock = clockid_t;
#else
  using clock = int;
#endif

  struct node {
    std::condition_variable wake;
    waits_for waiting{waits_for::nothing};  // cleared by who ends the wait, so it is never stale
    rank_t from{};                          // for waits_for::message
    message kind{};
    bool is_alive{true};
    bool is_lost{false};          // another one has decided that it is not alive
    bool wants_permit{false};     // it would compute if it could
    bool gives_signs{false};      // from another process
    std::uint32_t iteration{};    // 1, 2, ...
    std::optional<clock> used{};  // processor time of its thread
    rank_signs signs;
  };
  struct pair {
    std::list<packet> queue, spare;
    int received{};  // of the receiver's iteration
  };

  node& at(rank_t r) { return nodes_[static_cast<std::size_t>(r)]; }
  pair& between(rank_t from, rank_t to) {
    return pairs_[static_cast<std::size_t>(from) * nodes_.size() + static_cast<std::size_t>(to)];
  }
  static rank_position where(const node& n) {
    rank_position at{.iteration = n.iteration};
    if (n.waiting == waits_for::barrier) at.waits_for = rank_position::everybody;
    if (n.waiting == waits_for::message) at.waits_for = n.from, at.kind = n.kind;
    return at;
  }
  static void end_wait(node& n) {
    n.waiting = waits_for::nothing;
    n.wake.notify_one();
  }

  template <class Fill>
  void put(std::size_t length, rank_t from, rank_t to, Fill fill);
  bool is_member(rank_t self);
  void end_membership(rank_t rank);
  std::list<packet> take_spare(pair& p, std::size_t length);
  void sleep(std::unique_lock<std::mutex>& lock, rank_t self, compute_permit& permit,
             const wanted& what);
  void watch_others(std::unique_lock<std::mutex>& lock, const wanted& what);
  void look_at_clocks(double now);
  [[nodiscard]] std::vector<rank_t> not_arrived(const wanted& what);
  [[nodiscard]] late_wait describe_late(const wanted& what, double started, double now);
  void drop_still_ones(const wanted& what, double started, double now);
  void open_barrier_if_complete();
  void stop_if_all_wait();
  void take_down(const std::string& verdict);
  [[nodiscard]] std::string describe_waits();

  rank_t size_;
  patience health_;
  std::mutex mutex_;
  std::vector<node> nodes_;
  std::vector<pair> pairs_;  // [from][to]
  std::string verdict_;      // why nobody can go on; empty while all is well
  std::exception_ptr failure_;
  late_waits late_;  // of rank 0
};

template <class Fill>
void mailboxes::put(std::size_t length, rank_t from, rank_t to, Fill fill) {
  std::list<packet> one;
  {
    const std::lock_guard lock(mutex_);
    if (!is_member(from) || !at(to).is_alive) return;
    one = take_spare(between(from, to), length);
  }
  if (one.empty()) one.emplace_back();
  fill(one.front());

  const std::lock_guard lock(mutex_);
  node& receiver = at(to);
  if (!receiver.is_alive) return;
  std::list<packet>& queue = between(from, to).queue;
  queue.splice(queue.end(), one);
  if (receiver.waiting == waits_for::message && receiver.from == from) end_wait(receiver);
}

/// The smallest buffer that fits, else the largest: capacities grow to what the exchange needs and
/// then stay. What is lent needs none, and takes the smallest.
inline std::list<packet> mailboxes::take_spare(pair& p, std::size_t length) {
  const auto better = [length](const packet& a, const packet& b) {
    const std::size_t x = a.copy.capacity(), y = b.copy.capacity();
    return x >= length && y >= length ? x < y : x > y;
  };
  std::list<packet> one;
  if (const auto best = std::ranges::min_element(p.spare, better); best != p.spare.end())
    one.splice(one.begin(), p.spare, best);
  return one;
}

inline std::list<packet> mailboxes::fetch(const wanted& what, rank_t self, compute_permit& permit) {
  std::unique_lock lock(mutex_);
  if (!is_member(self)) return {};
  pair& way = between(what.from, self);
  if (way.queue.empty() && at(what.from).is_alive) {
    node& me = at(self);
    me.waiting = waits_for::message;
    me.from = what.from;
    me.kind = what.kind;
    sleep(lock, self, permit, what);
  }
  std::list<packet> one;
  if (!way.queue.empty()) one.splice(one.begin(), way.queue, way.queue.begin());
  way.received += !one.empty();
  return one;
}

inline void mailboxes::recycle(std::list<packet>&& used, rank_t self, rank_t from) {
  for (packet& p : used) p.lent.reset();
  const std::lock_guard lock(mutex_);
  std::list<packet>& spare = between(from, self).spare;
  spare.splice(spare.begin(), used);
}

inline void mailboxes::barrier(rank_t self, compute_permit& permit) {
  std::unique_lock lock(mutex_);
  if (!is_member(self)) return;
  at(self).waiting = waits_for::barrier;
  open_barrier_if_complete();
  const wanted all{.from = rank_position::everybody, .operation = "barrier"};
  if (at(self).waiting != waits_for::nothing) sleep(lock, self, permit, all);
}

inline bool mailboxes::alive(rank_t rank) {
  const std::lock_guard lock(mutex_);
  return at(rank).is_alive;
}

inline void mailboxes::leave(rank_t rank) noexcept {
  const std::lock_guard lock(mutex_);
  if (!at(rank).is_alive) return;
  end_membership(rank);
  stop_if_all_wait();
}

inline void mailboxes::end_membership(rank_t rank) {
  at(rank).is_alive = false;
  for (node& n : nodes_)
    if (n.waiting == waits_for::message && n.from == rank) end_wait(n);
  for (rank_t r = 0; r < size_; ++r) between(r, rank).queue.clear();
  open_barrier_if_complete();
}

inline void mailboxes::enter(rank_t rank) {
  const std::lock_guard lock(mutex_);
  node& me = at(rank);
  me.signs = rank_signs();
#if defined(__linux__)
  if (clock mine{}; pthread_getcpuclockid(pthread_self(), &mine) == 0) me.used = mine;
#endif
}

inline void mailboxes::enter_iteration(rank_t rank, std::uint32_t iteration) {
  const std::lock_guard lock(mutex_);
  at(rank).iteration = iteration + 1;
  if (rank == 0) late_.enter_iteration();
  for (rank_t r = 0; r < size_; ++r) between(r, rank).received = 0;
}

inline void mailboxes::fail(rank_t rank, const std::string& what,
                            const std::exception_ptr& failure) {
  const std::lock_guard lock(mutex_);
  if (at(rank).is_lost) return;  // nobody waits for what it did
  if (!failure_) failure_ = failure;
  at(rank).is_alive = false;
  take_down("expected rank " + std::to_string(rank) +
            " to go on, found that it stopped with an error; see the error of rank " +
            std::to_string(rank) + ": " + what);
}

/// False for a rank that is taken as lost. @throws usage_error for one that has left
inline bool mailboxes::is_member(rank_t self) {
  if (at(self).is_lost) return false;
  if (!verdict_.empty()) throw error(verdict_);
  if (!at(self).is_alive)
    throw usage_error("expected no message to or from rank " + std::to_string(self) +
                      " after its leave(), found one; end the rank's main function there");
  return true;
}

/// Sleeps until somebody ends the wait that the caller has entered in its node.
inline void mailboxes::sleep(std::unique_lock<std::mutex>& lock, rank_t self,
                             compute_permit& permit, const wanted& what) {
  node& me = at(self);
  stop_if_all_wait();
  permit.release();
  if (self == 0 && health_.warn_after > 0) watch_others(lock, what);
  me.wake.wait(lock, [&] { return me.waiting == waits_for::nothing; });
  me.wants_permit = true;
  // Whoever holds the last permit may need the mutex to come to its release.
  lock.unlock();
  permit.acquire();
  lock.lock();
  me.wants_permit = false;
  if (!verdict_.empty()) throw error(verdict_);
}

/// Returns when the wait of rank 0 has ended, or must end.
inline void mailboxes::watch_others(std::unique_lock<std::mutex>& lock, const wanted& what) {
  node& me = at(0);
  const double started = seconds_now();
  const std::chrono::duration<double> look(std::min(health_.warn_after / 8, 1.0));
  const auto signs_of = [&](rank_t r) { return &at(r).signs; };
  while (!me.wake.wait_for(lock, look, [&] { return me.waiting == waits_for::nothing; })) {
    const double now = seconds_now();
    look_at_clocks(now);
    if (late_.must_name(not_arrived(what), now - started, health_.warn_after, signs_of))
      health_.warn(describe_late(what, started, now).sentence());
    if (health_.then == when_late::drop) drop_still_ones(what, started, now);
    if (health_.give_up_after > 0 && now - started > health_.give_up_after) {
      take_down(describe_late(what, started, now).sentence() + "; rank 0 gives up");
      break;
    }
  }
  late_.note(seconds_now() - started);
}

inline void mailboxes::look_at_clocks(double now) {
  for (node& n : nodes_) {
    if (!n.is_alive || n.gives_signs) continue;
    rank_position here = where(n);
    here.cpu_seconds = n.signs.at().cpu_seconds;
    // Without a clock, or a permit, nobody can say that it does nothing.
    const bool may_work = n.wants_permit || !n.used;
#if defined(__linux__)
    if (timespec t{}; n.used && clock_gettime(*n.used, &t) == 0)
      here.cpu_seconds = static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
#endif
    if (may_work) n.signs = rank_signs(now);
    n.signs.note(here, now);
  }
}

/// Of those that rank 0 waits for, also behind `what`: who has sent no more in this iteration than
/// the one that is waited for, and does not itself wait for rank 0.
inline std::vector<rank_t> mailboxes::not_arrived(const wanted& what) {
  std::vector<rank_t> missing;
  for (rank_t r = 1; r < size_; ++r) {
    const node& n = at(r);
    if (!n.is_alive) continue;
    const rank_t other = n.gives_signs ? n.signs.at().waits_for : where(n).waits_for;
    bool is_missing = other != rank_position::everybody;
    if (what.from >= 0)
      is_missing = r == what.from ||
                   (between(r, 0).queue.empty() &&
                    between(r, 0).received <= between(what.from, 0).received && other != 0);
    if (is_missing) missing.push_back(r);
  }
  return missing;
}

inline late_wait mailboxes::describe_late(const wanted& what, double started, double now) {
  late_wait late{.operation = what.operation, .iteration = at(0).iteration};
  late.seconds = now - started;
  late.in_all = late_.in_all(late.seconds);
  late.what = what.from < 0 ? "the others"
                            : detail::describe(what.kind, what.count, what.part) + " from rank " +
                                  std::to_string(what.from);
  for (const rank_t r : not_arrived(what))
    late.missing += (late.missing.empty() ? "" : ", ") +
                    at(r).signs.describe(r, std::min(late.in_all, 2 * health_.warn_after), now);
  return late;
}

inline void mailboxes::drop_still_ones(const wanted& what, double started, double now) {
  for (const rank_t r : not_arrived(what)) {
    node& n = at(r);
    const double still = std::min(n.signs.still_for(now), now - started);
    if (n.waiting != waits_for::nothing || still < health_.act_after) continue;
    n.is_lost = true;
    end_membership(r);
    health_.warn(lost_sentence(r, at(0).iteration));
    if (health_.on_lost) health_.on_lost(r);
  }
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
