// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What conformance.hpp is for worlds, for groups of their ranks and operations with handles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/comm/group.hpp"
#include "gantry/comm/health.hpp"
#include "gantry/comm/requests.hpp"

#include "distributed/conformance.hpp"

namespace gantry::conformance {

/// Sums, broadcasts and barriers of two groups at once, each in the order of its own members.
template <class Make>
void groups_are_worlds(Make make) {
  auto world = make(5);
  world.run([](auto& comm) {
    const bool is_odd = comm.rank() % 2 == 1;
    auto mine = comm::split(comm, is_odd ? 7u : 3u);
    const std::vector<rank_t> members =
        is_odd ? std::vector<rank_t>{1, 3} : std::vector<rank_t>{0, 2, 4};
    CHECK(mine.members() == members);
    CHECK(mine.rank() == comm.rank() / 2);
    for (int again = 0; again < 3; ++again) {
      values_type values = values_of(comm.rank(), 100);
      mine.all_reduce_sum(message::model, values);
      CHECK(same_bits(values, serial_sum(members, 100)));
      mine.barrier();
      values = values_of(comm.rank(), 33);
      CHECK(mine.broadcast(message::model, values, 1));
      CHECK(same_bits(values, values_of(members[1], 33)));
    }
    // The same ranks in another order add in that order.
    if (!is_odd) {
      comm::group<std::remove_reference_t<decltype(comm)>> turned(comm, {4, 0, 2});
      values_type values = values_of(comm.rank(), 100);
      turned.reduce_sum(message::model, values, 0);
      if (comm.rank() == 4) CHECK(same_bits(values, serial_sum({4, 0, 2}, 100)));
    }
    const std::vector<std::vector<rank_t>> wrong{
        {comm.rank(), comm.rank()}, {comm.rank(), comm.size()}, {comm.rank() == 0 ? 1 : 0}};
    for (const auto& members_of : wrong)
      CHECK_THROWS_AS((comm::group<std::remove_reference_t<decltype(comm)>>(comm, members_of)),
                      usage_error);
    values_type v(1);
    CHECK_THROWS_AS(mine.send(message::model, v, mine.size()), usage_error);
  });
}

/// Ranks 0, 1 on one machine, 2, 3, 4 on another: two leaders, and the sum of both machines.
template <class Make>
void machines_have_leaders(Make make) {
  auto world = make(5);
  world.run([](auto& comm) {
    auto levels = comm::node_leaders(comm, comm.rank() < 2 ? 11u : 22u);
    CHECK(levels.machine.members() ==
          (comm.rank() < 2 ? std::vector<rank_t>{0, 1} : std::vector<rank_t>{2, 3, 4}));
    CHECK(levels.leaders.has_value() == (comm.rank() == 0 || comm.rank() == 2));
    if (levels.leaders) CHECK(levels.leaders->members() == std::vector<rank_t>{0, 2});
    values_type values = values_of(comm.rank(), 100), sum = serial_sum({0, 1}, 100);
    levels.all_reduce_sum(message::model, values);
    const values_type other = serial_sum({2, 3, 4}, 100);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += other[i];
    CHECK(same_bits(values, sum));
  });
}

/// The same bits directly and by leaders, with the messages of each way, and what is left where
/// the root has stopped.
template <class Make>
void values_come_by_leaders(Make make) {
  using enum comm::broadcast_way;
  auto world = make(5);
  world.run([](auto& comm) {
    constexpr std::size_t n = 100;
    const rank_t own = comm.rank();
    auto levels = comm::node_leaders(comm, own < 2 ? 11u : 22u);
    const std::vector<std::uint64_t> sent_directly{4, 0, 0, 0, 0}, sent_by_leaders{2, 0, 2, 0, 0};
    for (const auto way : {direct, by_leaders}) {
      const tally before = comm.statistics().sent[message::model];
      values_type values = values_of(own, n);
      CHECK(levels.broadcast(message::model, values, way));
      CHECK(same_bits(values, values_of(0, n)));
      tally expected = before;
      const std::uint64_t messages =
          (way == direct ? sent_directly : sent_by_leaders)[static_cast<std::size_t>(own)];
      const std::uint64_t within = way == direct ? 0 : own == 0 ? 1 : messages;
      expected += {messages, 4 * (n * messages + within)};
      CHECK(comm.statistics().sent[message::model] == expected);
    }
    if (own == 0) return comm.leave();
    for (const auto way : {direct, by_leaders}) {
      values_type values = values_of(own, n);
      CHECK_FALSE(levels.broadcast(message::model, values, way));
      CHECK(same_bits(values, values_of(own, n)));
    }
  });
}

template <class Make>
void handles_end_in_the_order_of_a_peer(Make make) {
  auto world = make(3);
  world.run([](auto& comm) {
    comm::requests pending(comm);
    if (comm.rank() == 0) {
      values_type one(4), two(5), three(6), never(1);
      const auto a = pending.receive(message::feedback, one, 1);
      const auto b = pending.receive(message::model, two, 1);
      const auto c = pending.receive(message::batch, three, 2);
      const auto d = pending.receive(message::batch, never, 2);
      CHECK_FALSE(pending.test(b));  // rank 1 sends when it has heard of rank 0
      CHECK(pending.wait(pending.send(message::control, filled(1, 0), 1)));
      CHECK(pending.wait(b));
      CHECK(pending.test(a));
      CHECK(one == filled(4, 1));
      CHECK(two == filled(5, 2));
      CHECK(pending.wait(c));
      CHECK(three == filled(6, 3));
      CHECK_FALSE(pending.wait(d));  // rank 2 has left
      pending.wait_all();
      CHECK_THROWS_AS(static_cast<void>(pending.test({99})), usage_error);
    } else if (comm.rank() == 1) {
      values_type go(1);
      CHECK(comm.receive(message::control, go, 0));
      pending.send(message::feedback, filled(4, 1), 0);
      pending.send(message::model, filled(5, 2), 0);
    } else {
      pending.send(message::batch, filled(6, 3), 0);
    }
  });
}

/// A ring of swaps that is under way while the ranks compute.
template <class Make>
void swaps_with_handles(Make make) {
  auto world = make(4);
  world.run([](auto& comm) {
    const auto next = static_cast<rank_t>((comm.rank() + 1) % 4),
               before = static_cast<rank_t>((comm.rank() + 3) % 4);
    comm::requests pending(comm);
    values_type own = filled(50'000, static_cast<float>(comm.rank())), other(own.size());
    const auto swap = pending.exchange(message::discriminator, own, next, other, before);
    static_cast<void>(pending.test(swap));  // may have come, or not
    CHECK(pending.wait(swap));
    CHECK(pending.test(swap));
    CHECK(other == filled(own.size(), static_cast<float>(before)));
    CHECK_THROWS_AS(pending.exchange(message::model, own, comm.rank(), other, comm.rank()),
                    usage_error);
  });
}

/// Sums, broadcasts and gathers that are under way at once: the bits of the blocking ones, whatever
/// is waited for first.
template <class Make>
void collectives_with_handles(Make make) {
  for (const int size : {1, 2, 3, 5}) {
    auto world = make(size);
    world.run([&](auto& comm) {
      constexpr std::size_t n = 500;
      const values_type mine = values_of(comm.rank(), n), sum = serial_sum(ranks_below(size), n);
      for (rank_t root = 0; root < size; ++root) {
        const traffic before = comm.statistics();
        const bool is_root = comm.rank() == root;
        comm::requests pending(comm);
        values_type summed = mine, reduced = mine, sent = mine, again = mine;
        values_type all(is_root ? static_cast<std::size_t>(size) * n : 0);
        const auto a = pending.reduce_sum(message::model, reduced, root);
        const auto b = pending.all_reduce_sum(message::model, summed);
        const auto c = pending.broadcast(message::model, sent, root);
        const auto d = pending.gather(message::feedback, mine, all, root);
        const auto e = pending.all_reduce_sum(message::model, again);
        static_cast<void>(pending.test(e));  // may have ended, or not
        if (comm.rank() % 2 == 0) CHECK(pending.wait(c));
        if (comm.rank() % 3 == 1) CHECK(pending.wait(d));
        CHECK(pending.wait(b));
        pending.wait_all();
        for (const auto h : {a, b, c, d, e}) CHECK(pending.test(h));
        CHECK(same_bits(summed, sum));
        CHECK(same_bits(again, sum));
        CHECK(same_bits(reduced, is_root ? sum : mine));
        CHECK(same_bits(sent, values_of(root, n)));
        for (rank_t r = 0; r < size && is_root; ++r)
          CHECK(same_bits(std::span(all).subspan(static_cast<std::size_t>(r) * n, n),
                          values_of(r, n)));
        // They are the messages of the blocking ones.
        const tally_by_kind now = comm.statistics().sent;
        const auto others = static_cast<std::uint64_t>(size - 1);
        const std::uint64_t to_sum = comm.rank() == 0 ? others : 1;
        CHECK(now[message::model].messages - before.sent[message::model].messages ==
              (size == 1 ? 0 : 2 * to_sum + (is_root ? others : 1)));
        CHECK(now[message::feedback].messages - before.sent[message::feedback].messages ==
              (is_root ? 0 : 1));
        comm.barrier();
      }
      comm::requests pending(comm);
      values_type part(3), too_short(static_cast<std::size_t>(3 * size - 1));
      CHECK_THROWS_AS(pending.gather(message::control, part, too_short, comm.rank()), usage_error);
    });
  }
}

/// A sum for all ends for those that are left, under the one that then is the lowest; its
/// broadcasts do not come.
template <class Make>
void collectives_with_handles_skip_lost_ranks(Make make) {
  auto world = make(5);
  world.run([](auto& comm) {
    constexpr std::size_t n = 300;
    const values_type mine = values_of(comm.rank(), n);
    values_type go(1);
    if (comm.rank() == 2) static_cast<void>(comm.receive(message::control, go, 4));
    if (comm.rank() == 0 || comm.rank() == 2) return comm.leave();
    if (comm.rank() == 4) comm.send(message::control, go, 2);
    comm::requests pending(comm);
    values_type values = mine, sent = mine;
    const auto sum = pending.all_reduce_sum(message::model, values);
    const auto never = pending.broadcast(message::model, sent, 2);
    const auto swap = comm.rank() == 1 ? pending.receive(message::control, go, 4) : sum;
    if (comm.rank() == 4) CHECK(pending.wait(pending.send(message::control, go, 1)));
    CHECK(pending.wait(swap));
    CHECK_FALSE(pending.wait(never));
    CHECK(pending.wait(sum));
    CHECK(same_bits(values, serial_sum({1, 3, 4}, n)));
    CHECK(same_bits(sent, mine));
  });
}

/// Rank 2 does nothing for a while, rank 1 waits for it, rank 3 computes: rank 0 gives up rank 2
/// alone, and nobody hangs, not even rank 2 when it comes back. make(n, patience), `pause()` lasts
/// several times the patience in seconds, `compute()` more than it.
template <class Make, class Pause, class Compute>
void who_does_nothing_is_dropped(Make make, double patience, Pause pause, Compute compute) {
  std::vector<std::string> said;
  std::vector<rank_t> lost;
  auto world = make(4, comm::patience{.warn_after = patience,
                                      .act_after = patience,
                                      .silence_after = patience,
                                      .signs_every = patience / 10,
                                      .then = comm::when_late::drop,
                                      .warn = [&](const std::string& s) { said.push_back(s); },
                                      .on_lost = [&](rank_t r) { lost.push_back(r); }});
  world.run([&](auto& comm) {
    values_type v(7);
    enter_iteration(comm, 11);
    if (comm.rank() == 0) expect_part(comm, {"generator", 5});
    if (comm.rank() == 2) {
      pause();
      CHECK_FALSE(comm.receive(message::control, v, 0));
      comm.send(message::feedback, v, 0);
      return;
    }
    if (comm.rank() == 3) compute();
    if (comm.rank() == 1) CHECK_FALSE(comm.exchange(message::discriminator, v, 2, v, 2));
    if (comm.rank() != 0) {
      comm.send(message::feedback, v, 0);
      return comm.barrier();
    }
    for (rank_t r = 1; r < 4; ++r) CHECK(comm.receive(message::feedback, v, r) == (r != 2));
    comm.barrier();
    CHECK_FALSE(comm.alive(2));
    CHECK(lost == std::vector<rank_t>{2});
    REQUIRE(said.size() >= 2);
    CHECK_MESSAGE(
        contains(said[0], {"rank 0 has waited",
                           "a feedback message of 7 values (the generator from layer 5 on)",
                           "from rank 1 (receive in iteration 12)",
                           "not arrived:", "rank 1 (waits for a discriminator message from rank 2)",
                           "rank 2 (does nothing", "rank 3 (computes"}),
        said[0]);
    CHECK_MESSAGE(contains(said[1], {"rank 2 is taken as lost in iteration 12"}), said[1]);
  });
}

}  // namespace gantry::conformance
