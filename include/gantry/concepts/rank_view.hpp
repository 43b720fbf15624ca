// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0 {

/// A few ranks of a world as a world of their own: rank 0 is the world's, ranks 1 .. count are the
/// world's first, first + 1, ... Messages and counters are the world's, and so is the barrier: it
/// waits for all of the world.
template <Communicator C>
class rank_view {
 public:
  rank_view(C& whole, rank_t first, rank_t count)
      : whole_(&whole), first_(first), size_(count + 1) {}

  [[nodiscard]] rank_t rank() const noexcept {
    return whole_->rank() == 0 ? 0 : whole_->rank() - first_ + 1;
  }
  [[nodiscard]] rank_t size() const noexcept { return size_; }
  void send(message kind, std::span<const float> data, rank_t to) {
    whole_->send(kind, data, in_world(to));
  }
  [[nodiscard]] bool receive(message kind, std::span<float> out, rank_t from) {
    return whole_->receive(kind, out, in_world(from));
  }
  bool exchange(message kind, std::span<const float> out, rank_t to, std::span<float> in,
                rank_t from) {
    return whole_->exchange(kind, out, in_world(to), in, in_world(from));
  }
  void barrier() { whole_->barrier(); }
  [[nodiscard]] bool alive(rank_t peer) const { return whole_->alive(in_world(peer)); }
  [[nodiscard]] const traffic& statistics() const { return whole_->statistics(); }
  void leave() noexcept { whole_->leave(); }
  void charge(double flops) { gantry::charge(*whole_, flops); }

 private:
  /// A rank outside of the view is one outside of the world.
  [[nodiscard]] rank_t in_world(rank_t rank) const {
    if (rank < 0 || rank >= size_) return whole_->size();
    return rank == 0 ? 0 : first_ + rank - 1;
  }

  C* whole_;
  rank_t first_, size_;
};

}  // namespace gantry
