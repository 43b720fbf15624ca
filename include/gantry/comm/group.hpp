// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Some ranks of a world as a world of their own, over any transport: task groups, the ranks of one
// machine, one leader per machine. Groups that share ranks take turns: a rank is in one operation
// at a time.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/comm/collectives.hpp"
#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/rank_view.hpp"

namespace gantry::inline v0::comm {

/// A Communicator over the members of a group. Rank i of it is the i-th member; sums are added in
/// this order. Messages and counters are the world's. `leave` leaves the world.
template <Communicator C>
class group : public ranks_within<C, group<C>>, public ordered_collectives<group<C>> {
 public:
  /// Made by each member, and by nobody else, of the same list. @throws usage_error if this rank is
  /// no member, or a member is no rank of the world or comes twice
  group(C& world, std::vector<rank_t> members)
      : ranks_within<C, group>(world), members_(std::move(members)) {
    for (std::size_t i = 0; i < members_.size(); ++i) {
      const rank_t r = members_[i];
      expects(r >= 0 && r < world.size() && std::ranges::count(members_, r) == 1,
              "the members of a group must be ranks of the world, each of them once");
      if (r == world.rank()) rank_ = static_cast<rank_t>(i);
    }
    expects(rank_ >= 0, "a group is made by its members alone; leave it out on other ranks");
  }

  [[nodiscard]] rank_t rank() const noexcept { return rank_; }
  [[nodiscard]] rank_t size() const noexcept { return static_cast<rank_t>(members_.size()); }
  [[nodiscard]] const std::vector<rank_t>& members() const noexcept { return members_; }
  /// A rank outside of the group is one outside of the world.
  [[nodiscard]] rank_t in_world(rank_t rank) const {
    return rank < 0 || rank >= size() ? this->world().size()
                                      : members_[static_cast<std::size_t>(rank)];
  }

  /// Of the members: an empty control message from each to each.
  void barrier() {
    for (rank_t r = 0; r < size(); ++r)
      if (r != rank_ && this->alive(r)) this->send(message::control, {}, r);
    for (rank_t r = 0; r < size(); ++r)
      if (r != rank_) static_cast<void>(this->receive(message::control, {}, r));
  }

 private:
  std::vector<rank_t> members_;
  rank_t rank_{-1};
};

/// The colours of all live ranks of a world; each rank says its own. All ranks call it. A colour
/// must be exact as a float; those of ranks that have left are empty.
template <Communicator C>
std::vector<std::optional<std::uint32_t>> colours_of(C& world, std::uint32_t own) {
  expects(own < (1u << 24), "the colour of a rank must be below 2^24");
  std::vector<std::optional<std::uint32_t>> all(static_cast<std::size_t>(world.size()));
  std::array<float, 1> colour{static_cast<float>(own)};
  for (rank_t r = 0; r < world.size(); ++r)
    if (r != world.rank()) world.send(message::control, colour, r);
  for (rank_t r = 0; r < world.size(); ++r) {
    if (r == world.rank())
      all[static_cast<std::size_t>(r)] = own;
    else if (world.receive(message::control, colour, r))
      all[static_cast<std::size_t>(r)] = static_cast<std::uint32_t>(colour[0]);
  }
  return all;
}

/// The group of this rank's colour. All ranks of the world call it.
template <Communicator C>
group<C> split(C& world, std::uint32_t colour) {
  const auto all = colours_of(world, colour);
  std::vector<rank_t> members;
  for (std::size_t r = 0; r < all.size(); ++r)
    if (all[r] == colour) members.push_back(static_cast<rank_t>(r));
  return {world, std::move(members)};
}

/// The two levels of a world: the ranks of this machine, the first of which leads it, and for
/// leaders the group of all leaders.
template <Communicator C>
struct two_levels {
  group<C> machine;
  std::optional<group<C>> leaders;

  /// The sum over all ranks, machine by machine: two messages per rank within a machine, and across
  /// machines two per leader. Its order of additions is that of the two levels, the same every
  /// time.
  void all_reduce_sum(message kind, std::span<float> values) {
    machine.reduce_sum(kind, values, 0);
    if (leaders) leaders->all_reduce_sum(kind, values);
    static_cast<void>(machine.broadcast(kind, values, 0));
  }
};

/// `machine` is a number that the ranks of one machine share. All ranks of the world call it.
template <Communicator C>
two_levels<C> node_leaders(C& world, std::uint32_t machine) {
  const auto all = colours_of(world, machine);
  std::vector<rank_t> here, leaders;
  std::vector<std::uint32_t> led;
  for (std::size_t r = 0; r < all.size(); ++r) {
    if (!all[r]) continue;
    if (all[r] == machine) here.push_back(static_cast<rank_t>(r));
    if (std::ranges::find(led, *all[r]) != led.end()) continue;
    led.push_back(*all[r]);
    leaders.push_back(static_cast<rank_t>(r));
  }
  two_levels<C> levels{group<C>(world, std::move(here)), {}};
  if (levels.machine.rank() == 0) levels.leaders.emplace(world, std::move(leaders));
  return levels;
}

}  // namespace gantry::comm
