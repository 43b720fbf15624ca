// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Non-blocking forms with handles, over any transport that can say whether a message is there.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0::comm {

/// ready(from): whether the next receive from that rank would return at once.
template <class C>
concept HasReady = Communicator<C> && requires(C& c, rank_t from) {
  { c.ready(from) } -> std::same_as<bool>;
};

/// What one rank has begun and not yet ended. Messages of one peer end in the order in which they
/// were begun, as they arrive in the order in which they were sent; what comes from different peers
/// ends in any order. Memory of a receive belongs to it until it has ended.
template <HasReady C>
class requests {
 public:
  /// Names an operation; it may be tested and waited for any number of times.
  struct handle {
    std::size_t number{};
  };

  explicit requests(C& comm) : comm_(&comm) {}

  /// Sends are buffered: it has ended when it has begun.
  handle send(message kind, std::span<const float> data, rank_t to) {
    comm_->send(kind, data, to);
    outcomes_.emplace_back(true);
    return {outcomes_.size() - 1};
  }
  handle receive(message kind, std::span<float> out, rank_t from) {
    outcomes_.emplace_back();
    open_.push_back({outcomes_.size() - 1, kind, out, from});
    return {outcomes_.size() - 1};
  }
  /// One of a permutation, as Communicator::exchange, between others: `out` and `in` must differ.
  /// @throws usage_error for a rank that exchanges with itself
  handle exchange(message kind, std::span<const float> out, rank_t to, std::span<float> in,
                  rank_t from) {
    expects(to != comm_->rank() && from != comm_->rank(),
            "an exchange with a handle is one with other ranks; copy what stays");
    comm_->send(kind, out, to);
    return receive(kind, in, from);
  }

  /// Ends what can end now, without waiting: for the gaps in a computation. Who has nothing to
  /// compute waits, for a thread that asks in a loop keeps its permit. @throws as receive
  void progress() {
    std::vector<rank_t> blocked;
    for (auto o = open_.begin(); o != open_.end();) {
      const bool waits = std::ranges::find(blocked, o->from) != blocked.end();
      if (waits || !comm_->ready(o->from)) {
        blocked.push_back(o->from);
        ++o;
      } else {
        end(*o);
        o = open_.erase(o);
      }
    }
  }
  /// Whether it has ended; makes progress. @throws as receive, usage_error for another's handle
  [[nodiscard]] bool test(handle h) {
    progress();
    return outcome(h).has_value();
  }
  /// Waits for it, and for what was begun with its peer before it. @returns as receive does
  bool wait(handle h) {
    if (!outcome(h)) {
      rank_t peer = -1;
      for (const open& o : open_)
        if (o.number == h.number) peer = o.from;
      for (auto o = open_.begin(); o != open_.end() && !outcome(h);) {
        if (o->from != peer) {
          ++o;
          continue;
        }
        end(*o);
        o = open_.erase(o);
      }
    }
    return *outcome(h);
  }
  /// Waits for all that has begun; their handles stay valid.
  void wait_all() {
    for (; !open_.empty(); open_.pop_front()) end(open_.front());
  }

 private:
  struct open {
    std::size_t number;
    message kind;
    std::span<float> out;
    rank_t from;
  };

  void end(const open& o) { outcomes_[o.number] = comm_->receive(o.kind, o.out, o.from); }
  [[nodiscard]] std::optional<bool>& outcome(handle h) {
    expects(h.number < outcomes_.size(), "a handle must be one that this object has given");
    return outcomes_[h.number];
  }

  C* comm_;
  std::deque<open> open_;
  std::vector<std::optional<bool>> outcomes_;  // by number: what receive returned
};

}  // namespace gantry::comm
