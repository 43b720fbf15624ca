// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Collectives out of point-to-point messages, the same for every transport that has nothing better.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0::comm {

/// Adds broadcast, reductions and gather to a Communicator that derives from it. The root talks to
/// each rank in turn and adds in ascending order of ranks: sums are bitwise those of a serial loop.
/// A rank takes part or has stopped before; it cannot stop halfway, since leave() is no part of
/// these.
template <class Derived>
class ordered_collectives {
 public:
  /// See HasBroadcast. Root sends size() - 1 messages.
  bool broadcast(message kind, std::span<float> values, rank_t root) {
    if (self().rank() != root) return self().receive(kind, values, root);
    send_to_others(kind, values);
    return true;
  }

  /// See HasReduce. Each rank but root sends one message.
  void reduce_sum(message kind, std::span<float> values, rank_t root) {
    if (self().rank() != root) return self().send(kind, values, root);
    own_.assign(values.begin(), values.end());
    incoming_.resize(values.size());
    bool first = true;
    for (rank_t r = 0; r < self().size(); ++r) {
      if (r != root && !self().receive(kind, incoming_, r)) continue;
      const std::vector<float>& part = r == root ? own_ : incoming_;
      if (first)
        std::ranges::copy(part, values.begin());
      else
        for (std::size_t i = 0; i < values.size(); ++i) values[i] += part[i];
      first = false;
    }
  }

  /// See HasReduce. The lowest live rank adds and broadcasts: 2 (size() - 1) messages in all.
  void all_reduce_sum(message kind, std::span<float> values) {
    // Ranks may learn at different times that a lower one has left, yet all settle on the same
    // root: one that has left before this call answers nobody.
    for (rank_t root = 0; root < self().rank(); ++root) {
      if (!self().alive(root)) continue;
      self().send(kind, values, root);
      if (self().receive(kind, values, root)) return;
    }
    reduce_sum(kind, values, self().rank());
    send_to_others(kind, values);
  }

  /// See HasGather. Each rank but root sends one message. @throws usage_error on root if `all` is
  /// not size() times as long as `part`
  void gather(message kind, std::span<const float> part, std::span<float> all, rank_t root) {
    if (self().rank() != root) return self().send(kind, part, root);
    const auto ranks = static_cast<std::size_t>(self().size());
    if (all.size() != ranks * part.size())
      throw usage_error("gather expected room for " + std::to_string(ranks * part.size()) +
                        " values on rank " + std::to_string(root) + ", found " +
                        std::to_string(all.size()) + "; give a block to each rank");
    for (rank_t r = 0; r < self().size(); ++r) {
      const auto block = all.subspan(static_cast<std::size_t>(r) * part.size(), part.size());
      if (r == root)
        std::ranges::copy(part, block.begin());
      else
        static_cast<void>(self().receive(kind, block, r));
    }
  }

 private:
  friend Derived;
  ordered_collectives() = default;
  Derived& self() { return static_cast<Derived&>(*this); }

  void send_to_others(message kind, std::span<const float> values) {
    for (rank_t r = 0; r < self().size(); ++r)
      if (r != self().rank() && self().alive(r)) self().send(kind, values, r);
  }

  std::vector<float> own_, incoming_;  // kept, so that only the first reduction allocates
};

}  // namespace gantry::comm
