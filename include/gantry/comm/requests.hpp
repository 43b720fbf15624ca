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
#include <utility>
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
/// ends in any order. Memory that is received into belongs to its operation until it has ended.
///
/// Collectives send the messages of comm/collectives.hpp and add in the same order, so that their
/// sums have the same bits; all live ranks begin them in the same order. What was begun behind a
/// sum for all ends behind it, sends too, for its result must come before them.
template <HasReady C>
class requests {
 public:
  /// Names an operation; it may be tested and waited for any number of times.
  struct handle {
    std::size_t number{};
  };

  explicit requests(C& comm) : comm_(&comm) {}

  /// Sends are buffered: it has ended when it has begun, but behind a sum for all.
  handle send(message kind, std::span<const float> data, rank_t to) {
    const bool waits = sums_for_all();
    if (!waits) comm_->send(kind, data, to);
    outcomes_.push_back(waits ? std::optional<bool>() : true);
    if (waits)
      open_.push_back({.number = outcomes_.size() - 1,
                       .kind = kind,
                       .what = form::departure,
                       .from = to,
                       .own = {data.begin(), data.end()}});
    return {outcomes_.size() - 1};
  }
  handle receive(message kind, std::span<float> out, rank_t from) {
    outcomes_.emplace_back();
    open_.push_back({.number = outcomes_.size() - 1, .kind = kind, .out = out, .from = from});
    return {outcomes_.size() - 1};
  }
  /// One of a permutation, as Communicator::exchange, between others: `out` and `in` must differ.
  /// @throws usage_error for a rank that exchanges with itself
  handle exchange(message kind, std::span<const float> out, rank_t to, std::span<float> in,
                  rank_t from) {
    expects(to != comm_->rank() && from != comm_->rank(),
            "an exchange with a handle is one with other ranks; copy what stays");
    send(kind, out, to);
    return receive(kind, in, from);
  }

  /// See HasBroadcast; ends as a receive, and on the root as a send.
  handle broadcast(message kind, std::span<float> values, rank_t root) {
    if (comm_->rank() != root) return receive(kind, values, root);
    outcomes_.emplace_back(true);
    handle last{outcomes_.size() - 1};
    for (rank_t r = 0; r < comm_->size(); ++r)
      if (r != root && comm_->alive(r)) last = send(kind, values, r);
    return last;
  }
  /// See HasReduce. On all but the root it is a send.
  handle reduce_sum(message kind, std::span<float> values, rank_t root) {
    if (comm_->rank() != root) return send(kind, values, root);
    return begin({.kind = kind, .what = form::sum, .out = values});
  }
  /// See HasReduce. As there, the lowest live rank adds.
  handle all_reduce_sum(message kind, std::span<float> values) {
    return begin({.kind = kind, .what = form::sum_for_all, .out = values});
  }
  /// See HasGather. On all but the root it is a send. @throws usage_error on root
  /// if `all` is not size() times as long as `part`
  handle gather(message kind, std::span<const float> part, std::span<float> all, rank_t root) {
    if (comm_->rank() != root) return send(kind, part, root);
    expects(all.size() == index(comm_->size()) * part.size(),
            "the root of a gather must have room for the part of each rank; give it size() blocks");
    std::ranges::copy(part, all.subspan(index(root) * part.size(), part.size()).begin());
    return begin({.kind = kind, .what = form::blocks, .out = all});
  }

  /// Ends what can end now, without waiting: for the gaps in a computation. Who has nothing to
  /// compute waits, for a thread that asks in a loop keeps its permit. @throws as receive
  void progress() {
    std::vector<bool> claimed(index(comm_->size()));
    for (auto o = open_.begin(); o != open_.end();) {
      bool has_ended = false;
      while (!has_ended && can_step(*o, claimed)) has_ended = step(*o);
      if (has_ended) {
        o = open_.erase(o);
        continue;
      }
      if (o->what == form::sum_for_all) return;
      for (rank_t r = 0; r < comm_->size(); ++r)
        if (takes(*o, r)) claimed[index(r)] = true;
      ++o;
    }
  }
  /// Whether it has ended; makes progress. @throws as receive, usage_error for another's handle
  [[nodiscard]] bool test(handle h) {
    progress();
    return outcome(h).has_value();
  }
  /// Waits for it, and for what was begun before it and has to end first. @returns as receive does;
  /// true for sums and gathers
  bool wait(handle h) {
    while (!outcome(h)) {
      const auto o = first_before(h);
      if (step(*o)) open_.erase(o);
    }
    return *outcome(h);
  }
  /// Waits for all that has begun; their handles stay valid.
  void wait_all() {
    for (; !open_.empty(); open_.pop_front())
      while (!step(open_.front())) continue;
  }

 private:
  enum class form { arrival, departure, sum, sum_for_all, blocks };
  struct open {
    std::size_t number{};
    message kind{};
    form what{};
    std::span<float> out{};
    rank_t from{};             // of the next message that it needs; a departure: to whom
    bool is_begun{true};       // else it is a sum for all behind another
    bool adds{true};           // of a sum for all: this rank is the one that adds
    bool has_part{false};      // `out` holds a part of the sum
    std::vector<float> own{};  // this rank's part of a sum; what departs
  };

  static std::size_t index(rank_t r) { return static_cast<std::size_t>(r); }
  [[nodiscard]] std::optional<bool>& outcome(handle h) {
    expects(h.number < outcomes_.size(), "a handle must be one that this object has given");
    return outcomes_[h.number];
  }

  [[nodiscard]] bool sums_for_all() const {
    return std::ranges::find(open_, form::sum_for_all, &open::what) != open_.end();
  }

  /// A sum or a gather of this rank as its root, or a sum for all.
  handle begin(open o) {
    const handle made{outcomes_.size()};
    o.number = made.number;
    if (o.what != form::blocks) o.own.assign(o.out.begin(), o.out.end());
    o.is_begun = o.what != form::sum_for_all;
    const bool waits = sums_for_all();
    outcomes_.emplace_back();
    open_.push_back(std::move(o));
    open& begun = open_.back();
    const bool has_ended =
        begun.is_begun ? take_own_part(begun) : !waits && begin_sum_for_all(begun);
    if (has_ended) open_.pop_back();
    return made;
  }
  bool begin_sum_for_all(open& o) {
    o.is_begun = true;
    look_for_root(o);
    return o.adds && take_own_part(o);
  }
  /// Whether it needs a message from that rank.
  static bool takes(const open& o, rank_t r) {
    if (o.what == form::departure || !o.is_begun) return false;
    return o.what == form::arrival || !o.adds ? r == o.from : r >= o.from;
  }
  bool can_step(const open& o, const std::vector<bool>& claimed) {
    return o.what == form::departure || !o.is_begun ||
           (!claimed[index(o.from)] && comm_->ready(o.from));
  }
  /// The first of what must end so that this one ends: what takes messages of the same ranks before
  /// it, and sums for all.
  auto first_before(handle h) {
    std::vector<bool> needed(index(comm_->size()));
    auto first = open_.end();
    for (auto o = open_.end(); o != open_.begin();) {
      --o;
      bool is_needed = o->number == h.number;
      if (first != open_.end())
        is_needed = o->what == form::sum_for_all || o->what == form::departure;
      for (rank_t r = 0; r < comm_->size(); ++r)
        is_needed = is_needed || (needed[index(r)] && takes(*o, r));
      if (!is_needed) continue;
      first = o;
      for (rank_t r = 0; r < comm_->size(); ++r)
        if (takes(*o, r)) needed[index(r)] = true;
    }
    return first;
  }

  /// Takes the next message of an operation, and waits for it if it has to. @returns whether the
  /// operation has ended
  bool step(open& o) {
    if (o.what == form::arrival) {
      outcomes_[o.number] = comm_->receive(o.kind, o.out, o.from);
      return true;
    }
    if (o.what == form::departure) {
      comm_->send(o.kind, o.own, o.from);
      return end(o);
    }
    if (!o.is_begun) return begin_sum_for_all(o);
    if (!o.adds) {
      if (comm_->receive(o.kind, o.out, o.from)) return end(o);
      ++o.from;  // who should have added has left
      look_for_root(o);
      return o.adds && take_own_part(o);
    }
    if (o.what == form::blocks) {
      const std::size_t length = o.out.size() / index(comm_->size());
      static_cast<void>(
          comm_->receive(o.kind, o.out.subspan(index(o.from) * length, length), o.from));
    } else {
      incoming_.resize(o.out.size());
      if (comm_->receive(o.kind, incoming_, o.from)) add(o, incoming_);
    }
    ++o.from;
    return take_own_part(o);
  }
  /// Ranks may learn at different times that a lower one has left, yet all settle on the same one:
  /// see ordered_collectives::all_reduce_sum.
  void look_for_root(open& o) {
    while (o.from < comm_->rank() && !comm_->alive(o.from)) ++o.from;
    o.adds = o.from == comm_->rank();
    if (o.adds)
      o.from = 0;
    else
      comm_->send(o.kind, o.own, o.from);
  }
  /// Goes past this rank's own place. @returns whether the operation has ended with it
  bool take_own_part(open& o) {
    if (o.from == comm_->rank()) {
      if (o.what != form::blocks) add(o, o.own);
      ++o.from;
    }
    if (o.from < comm_->size()) return false;
    for (rank_t r = 0; r < comm_->size() && o.what == form::sum_for_all; ++r)
      if (r != comm_->rank() && comm_->alive(r)) comm_->send(o.kind, o.out, r);
    return end(o);
  }
  bool end(const open& o) {
    outcomes_[o.number] = true;
    return true;
  }
  /// The first part takes the place of the values, as in a serial loop.
  static void add(open& o, std::span<const float> part) {
    if (!std::exchange(o.has_part, true))
      std::ranges::copy(part, o.out.begin());
    else
      for (std::size_t i = 0; i < part.size(); ++i) o.out[i] += part[i];
  }

  C* comm_;
  std::deque<open> open_;
  std::vector<std::optional<bool>> outcomes_;  // by number: what receive returned
  std::vector<float> incoming_;                // a part that is added
};

}  // namespace gantry::comm
