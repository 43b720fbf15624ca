// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0 {

/// What all views of some ranks of a world have in common: messages and counters are the world's. A
/// Self has in_world(rank), the world's rank of one of its own.
template <Communicator C, class Self>
class ranks_within {
 public:
  void send(message kind, std::span<const float> data, rank_t to) {
    world_->send(kind, data, self().in_world(to));
  }
  [[nodiscard]] bool receive(message kind, std::span<float> out, rank_t from) {
    return world_->receive(kind, out, self().in_world(from));
  }
  bool exchange(message kind, std::span<const float> out, rank_t to, std::span<float> in,
                rank_t from) {
    return world_->exchange(kind, out, self().in_world(to), in, self().in_world(from));
  }
  [[nodiscard]] bool alive(rank_t peer) const { return world_->alive(self().in_world(peer)); }
  /// Whether the next receive from that rank would return at once, where the world can say so.
  [[nodiscard]] bool ready(rank_t from) requires requires(C& world) { world.ready(from); }
  { return world_->ready(self().in_world(from)); }
  [[nodiscard]] const traffic& statistics() const { return world_->statistics(); }
  void leave() noexcept { world_->leave(); }
  void charge(double flops) { gantry::charge(*world_, flops); }
  void expect_part(const network_part& part) { gantry::expect_part(*world_, part); }

 protected:
  explicit ranks_within(C& world) : world_(&world) {}
  [[nodiscard]] C& world() const { return *world_; }

 private:
  [[nodiscard]] const Self& self() const { return static_cast<const Self&>(*this); }

  C* world_;
};

/// A few ranks of a world as a world of their own: rank 0 is the world's, ranks 1 .. count are the
/// world's first, first + 1, ... So is the barrier the world's: it waits for all of the world.
template <Communicator C>
class rank_view : public ranks_within<C, rank_view<C>> {
 public:
  rank_view(C& whole, rank_t first, rank_t count)
      : ranks_within<C, rank_view>(whole), first_(first), size_(count + 1) {}

  [[nodiscard]] rank_t rank() const noexcept {
    const rank_t own = this->world().rank();
    return own == 0 ? 0 : own - first_ + 1;
  }
  [[nodiscard]] rank_t size() const noexcept { return size_; }
  /// A rank outside of the view is one outside of the world.
  [[nodiscard]] rank_t in_world(rank_t rank) const {
    if (rank < 0 || rank >= size_) return this->world().size();
    return rank == 0 ? 0 : first_ + rank - 1;
  }
  void barrier() { this->world().barrier(); }

 private:
  rank_t first_, size_;
};

}  // namespace gantry
