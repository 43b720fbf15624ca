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
#include <limits>
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

/// What a message takes: alpha + bytes / beta seconds, in which nothing else leaves its sender.
struct link_cost {
  double alpha{}, beta{std::numeric_limits<double>::infinity()};
  [[nodiscard]] double seconds(std::size_t bytes) const {
    return alpha + static_cast<double>(bytes) / beta;
  }
};
struct level_costs {
  link_cost within, across;  ///< ranks of one machine, of two
};

/// How one rank's values come to all: it sends them to each, or to the leaders of machines, which
/// send them on.
enum class broadcast_way { direct, by_leaders };

/// The two levels of a world: the ranks of this machine, the first of which leads it, and for
/// leaders the group of all leaders.
template <Communicator C>
struct two_levels {
  C* world;
  group<C> machine;
  std::optional<group<C>> leaders;
  std::vector<std::size_t> sizes;  ///< ranks of each machine, in the order of their leaders
  rank_t first;                    ///< the first leader, in the world

  /// The sum over all ranks, machine by machine: two messages per rank within a machine, and across
  /// machines two per leader. Its order of additions is that of the two levels, the same every
  /// time.
  void all_reduce_sum(message kind, std::span<float> values) {
    machine.reduce_sum(kind, values, 0);
    if (leaders) leaders->all_reduce_sum(kind, values);
    static_cast<void>(machine.broadcast(kind, values, 0));
  }

  /// Seconds until the values of the first leader have come to all.
  [[nodiscard]] double broadcast_seconds(broadcast_way way, std::size_t bytes,
                                         const level_costs& costs) const {
    std::size_t ranks = 0;
    for (const std::size_t n : sizes) ranks += n;
    const auto times = [](std::size_t n, double seconds) {
      return static_cast<double>(n) * seconds;
    };
    const double across = costs.across.seconds(bytes);
    if (way == broadcast_way::direct)
      return times(sizes[0] - 1, costs.within.seconds(bytes)) + times(ranks - sizes[0], across);
    const double within = costs.within.seconds(bytes + sizeof(float));
    double last = times(sizes.size() - 1, across) + times(sizes[0] - 1, within);
    for (std::size_t i = 1; i < sizes.size(); ++i)
      last = std::max(last, times(i, across) + times(sizes[i] - 1, within));
    return last;
  }
  /// The faster one, the same on all ranks; direct if both take as long.
  [[nodiscard]] broadcast_way faster_broadcast(std::size_t bytes, const level_costs& costs) const {
    using enum broadcast_way;
    return broadcast_seconds(by_leaders, bytes, costs) < broadcast_seconds(direct, bytes, costs)
               ? by_leaders
               : direct;
  }
  /// The values of the first leader go to all, the same bits either way. All ranks call it. By
  /// leaders the messages within a machine have one float more, which says whether there are any.
  /// @returns false, with `values` unchanged, if the first leader has stopped; by leaders also if
  /// that of the own machine has
  bool broadcast(message kind, std::span<float> values, broadcast_way way) {
    if (way == broadcast_way::direct) return world->broadcast(kind, values, first);
    std::vector<float> sent(values.begin(), values.end());
    sent.push_back(0);
    if (leaders)
      sent.back() = leaders->broadcast(kind, std::span(sent).first(values.size()), 0) ? 1 : 0;
    if (!machine.broadcast(kind, sent, 0) || sent.back() == 0) return false;
    std::copy_n(sent.begin(), values.size(), values.begin());
    return true;
  }
};

/// `machine` is a number that the ranks of one machine share. All ranks of the world call it.
template <Communicator C>
two_levels<C> node_leaders(C& world, std::uint32_t machine) {
  const auto all = colours_of(world, machine);
  std::vector<rank_t> here, leaders;
  std::vector<std::uint32_t> led;
  std::vector<std::size_t> sizes;
  for (std::size_t r = 0; r < all.size(); ++r) {
    if (!all[r]) continue;
    if (all[r] == machine) here.push_back(static_cast<rank_t>(r));
    const auto own = static_cast<std::size_t>(std::ranges::find(led, *all[r]) - led.begin());
    if (own < led.size()) {
      ++sizes[own];
      continue;
    }
    led.push_back(*all[r]);
    leaders.push_back(static_cast<rank_t>(r));
    sizes.push_back(1);
  }
  two_levels<C> levels{&world, group<C>(world, std::move(here)), {}, std::move(sizes), leaders[0]};
  if (levels.machine.rank() == 0) levels.leaders.emplace(world, std::move(leaders));
  return levels;
}

}  // namespace gantry::comm
