// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// One suite for every transport: the contract of concepts/communicator.hpp as templates over
// `make`, where make(n) returns a World of n ranks. Checks are made inside the nodes, each on what
// its own rank sees, so that the same text runs over threads and over processes.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/base/error.hpp"
#include "gantry/base/rng.hpp"
#include "gantry/concepts/communicator.hpp"

namespace gantry::conformance {

using values_type = std::vector<float>;

inline values_type filled(std::size_t n, float value) { return values_type(n, value); }

inline bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

/// Values of a rank whose sum depends on the order of addition.
inline values_type values_of(rank_t rank, std::size_t n) {
  values_type values(n);
  fill_normal(std::span<float>(values), {.seed = 5, .worker = static_cast<std::uint32_t>(rank)});
  for (std::size_t i = 0; i < n; ++i) values[i] *= i % 3 == 0 ? 1e4f : 1e-3f;
  return values;
}

/// Sum over `ranks`, added in the order given.
inline values_type serial_sum(const std::vector<rank_t>& ranks, std::size_t n) {
  values_type sum = values_of(ranks.front(), n);
  for (std::size_t r = 1; r < ranks.size(); ++r) {
    const values_type part = values_of(ranks[r], n);
    for (std::size_t i = 0; i < n; ++i) sum[i] += part[i];
  }
  return sum;
}

inline std::vector<rank_t> ranks_below(rank_t n) {
  std::vector<rank_t> ranks(static_cast<std::size_t>(n));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

/// What an expected error says, or "nothing thrown".
template <class F>
std::string sentence_of(F&& f) {
  try {
    f();
  } catch (const error& e) {
    return e.what();
  }
  return "nothing thrown";
}

inline bool contains(const std::string& text, std::initializer_list<const char*> parts) {
  return std::ranges::all_of(parts,
                             [&](const char* p) { return text.find(p) != std::string::npos; });
}

template <class Make>
void ranks_and_size(Make make) {
  for (const int n : {1, 2, 3, 5}) {
    auto world = make(n);
    CHECK(world.size() == n);
    world.run([&](auto& comm) {
      CHECK(comm.size() == n);
      CHECK(comm.rank() >= 0);
      CHECK(comm.rank() < n);
      CHECK(comm.alive(comm.rank()));
      CHECK(comm.statistics() == traffic{});
      comm.barrier();
    });
  }
}

template <class Make>
void messages_keep_their_order(Make make) {
  for (const int size : {2, 3, 5}) {
    auto world = make(size);
    world.run([](auto& comm) {
      constexpr int count = 200;
      const auto length = [](int i) { return static_cast<std::size_t>(i * 37 % 101); };
      if (comm.rank() != 0) {
        for (int i = 0; i < count; ++i) {
          values_type v = filled(length(i), static_cast<float>(1000 * comm.rank() + i));
          comm.send(i % 2 ? message::feedback : message::control, v, 0);
          std::ranges::fill(v, -1.0f);  // the data may be reused at once
        }
        return;
      }
      for (int i = 0; i < count; ++i)
        for (rank_t from = comm.size() - 1; from > 0; --from) {
          values_type v(length(i));
          CHECK(comm.receive(i % 2 ? message::feedback : message::control, v, from));
          CHECK(v == filled(length(i), static_cast<float>(1000 * from + i)));
        }
    });
  }
}

template <class Make>
void mismatches_are_named(Make make) {
  auto world = make(2);
  world.run([](auto& comm) {
    if (comm.rank() == 0) {
      comm.send(message::batch, filled(7, 1), 1);
      comm.send(message::batch, filled(7, 1), 1);
      comm.send(message::control, filled(3, 1), 1);
    } else {
      values_type five(5), seven(7);
      const std::string length =
          sentence_of([&] { static_cast<void>(comm.receive(message::batch, five, 0)); });
      CHECK_MESSAGE(contains(length, {"rank 1", "rank 0", "batch", "5 values", "7 values"}),
                    length);
      const std::string kind =
          sentence_of([&] { static_cast<void>(comm.receive(message::feedback, seven, 0)); });
      CHECK_MESSAGE(contains(kind, {"rank 1", "rank 0", "feedback", "batch", "7 values"}), kind);
    }
    for (const rank_t wrong : {comm.rank(), comm.size(), rank_t{-1}}) {
      values_type v(1);
      CHECK_THROWS_AS(comm.send(message::batch, v, wrong), usage_error);
      CHECK_THROWS_AS(static_cast<void>(comm.receive(message::batch, v, wrong)), usage_error);
    }
    CHECK_THROWS_AS(static_cast<void>(comm.alive(comm.size())), usage_error);
  });
}

/// All permutations of the ranks, those with fixed points among them.
template <class Make>
void exchange_any_permutation(Make make) {
  for (const int size : {2, 3, 5}) {
    auto world = make(size);
    world.run([](auto& comm) {
      std::vector<rank_t> to(static_cast<std::size_t>(comm.size()));
      std::iota(to.begin(), to.end(), 0);
      const rank_t me = comm.rank();
      std::uint64_t moved = 0;
      float round = 0;
      do {
        const auto from = static_cast<rank_t>(std::ranges::find(to, me) - to.begin());
        const rank_t target = to[static_cast<std::size_t>(me)];
        const values_type mine = filled(1000, 10 * round + static_cast<float>(me));
        const values_type theirs = filled(1000, 10 * round + static_cast<float>(from));
        values_type in(1000, -1.0f);
        CHECK(comm.exchange(message::discriminator, mine, target, in, from));
        CHECK(in == theirs);
        values_type both = mine;
        CHECK(comm.exchange(message::discriminator, both, target, both, from));
        CHECK(both == theirs);
        moved += target == me ? 0 : 2;
        ++round;
      } while (std::ranges::next_permutation(to).found);
      CHECK(comm.statistics().sent[message::discriminator] == tally{moved, 4000 * moved});
      CHECK(comm.statistics().received == comm.statistics().sent);
    });
  }
}

template <class Make>
void barrier_separates(Make make) {
  for (const int size : {2, 3, 5}) {
    auto world = make(size);
    world.run([](auto& comm) {
      // Everybody sends before a barrier and stops; then nothing can be missing after it.
      for (int round = 0; round < 50; ++round) {
        const values_type mine{static_cast<float>(round)};
        for (rank_t r = 0; r < comm.size(); ++r)
          if (r != comm.rank()) comm.send(message::control, mine, r);
        comm.barrier();
        for (rank_t r = 0; r < comm.size(); ++r) {
          values_type theirs(1);
          if (r == comm.rank()) continue;
          CHECK(comm.receive(message::control, theirs, r));
          CHECK(theirs == mine);
        }
      }
    });
  }
}

/// What was sent before a rank stopped still arrives; then receive is false and sends are dropped.
template <class Make>
void lost_peers(Make make) {
  auto world = make(3);
  world.run([](auto& comm) {
    if (comm.rank() == 1) {
      comm.send(message::feedback, filled(4, 1), 0);
      comm.send(message::model, filled(2, 2), 0);
      comm.leave();
      comm.leave();
      CHECK_FALSE(comm.alive(1));
      CHECK_THROWS_AS(comm.barrier(), usage_error);
      return;
    }
    if (comm.rank() == 0) {
      values_type four(4), two(2);
      CHECK(comm.receive(message::feedback, four, 1));
      CHECK(comm.receive(message::model, two, 1));
      CHECK(two == filled(2, 2));
      CHECK_FALSE(comm.receive(message::model, two, 1));
      CHECK_FALSE(comm.alive(1));
      CHECK(two == filled(2, 2));
      comm.send(message::batch, four, 1);
      CHECK_FALSE(comm.exchange(message::model, two, 1, two, 1));
      CHECK(comm.statistics().sent.total() == tally{2, 24});
      CHECK(comm.statistics().received.total() == tally{2, 24});
    }
    comm.barrier();
    // The two that are left go on without it.
    CHECK(comm.alive(2 - comm.rank()));
    values_type v{static_cast<float>(comm.rank())}, w(1);
    const rank_t other = 2 - comm.rank();
    CHECK(comm.exchange(message::control, v, other, w, other));
    CHECK(w == filled(1, static_cast<float>(other)));
  });
}

/// A rank that leaves ends the wait of those who wait for it, at the barrier too.
template <class Make>
void leaving_wakes(Make make) {
  for (const int size : {2, 3, 5}) {
    auto world = make(size);
    world.run([](auto& comm) {
      const rank_t last = comm.size() - 1, waits = last - 1;
      values_type v(1);
      if (comm.rank() == last) {
        for (rank_t r = 0; r < last; ++r) comm.send(message::control, v, r);
        return;  // a main function that returns has left
      }
      CHECK(comm.receive(message::control, v, last));
      if (comm.rank() == waits)
        CHECK_FALSE(comm.receive(message::control, v, last));
      else
        comm.barrier();
      if (comm.rank() == waits) comm.barrier();
    });
  }
}

template <class Make>
void counters_are_exact(Make make) {
  auto world = make(3);
  world.run([](auto& comm) {
    // A server's round: 2 batches of 10 to each worker, a feedback of 5 and 2 scalars back.
    constexpr std::uint64_t rounds = 3;
    for (std::uint64_t i = 0; i < rounds; ++i) {
      values_type ten(10), five(5), two(2);
      for (rank_t r = 1; r < 3 && comm.rank() == 0; ++r) {
        comm.send(message::batch, ten, r);
        comm.send(message::batch, ten, r);
        CHECK(comm.receive(message::feedback, five, r));
        CHECK(comm.receive(message::control, two, r));
      }
      if (comm.rank() == 0) continue;
      CHECK(comm.receive(message::batch, ten, 0));
      CHECK(comm.receive(message::batch, ten, 0));
      comm.send(message::feedback, five, 0);
      comm.send(message::control, two, 0);
    }
    traffic worker;
    worker.received[message::batch] = {2 * rounds, 80 * rounds};
    worker.sent[message::feedback] = {rounds, 20 * rounds};
    worker.sent[message::control] = {rounds, 8 * rounds};
    if (comm.rank() == 0) {
      CHECK(comm.statistics().sent[message::batch] == tally{4 * rounds, 160 * rounds});
      CHECK(comm.statistics().received.total() == tally{4 * rounds, 56 * rounds});
      CHECK(comm.statistics().sent[message::model] == tally{});
    } else {
      CHECK(comm.statistics() == worker);
    }
  });
}

template <class Make>
void sums_are_those_of_a_serial_loop(Make make) {
  CHECK_FALSE(same_bits(serial_sum({0, 1, 2, 3}, 1000), serial_sum({3, 2, 1, 0}, 1000)));
  for (const int size : {1, 2, 3, 4, 5}) {
    auto world = make(size);
    world.run([&](auto& comm) {
      for (const std::size_t n :
           {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{1000}}) {
        const values_type expected = serial_sum(ranks_below(size), n);
        const values_type mine = values_of(comm.rank(), n);
        for (rank_t root = 0; root < size; ++root) {
          values_type values = mine;
          comm.reduce_sum(message::model, values, root);
          CHECK(same_bits(values, comm.rank() == root ? expected : mine));
        }
        values_type values = mine;
        comm.all_reduce_sum(message::model, values);
        CHECK(same_bits(values, expected));
      }
    });
  }
}

template <class Make>
void sums_skip_lost_ranks(Make make) {
  auto world = make(5);
  world.run([](auto& comm) {
    constexpr std::size_t n = 1000;
    const values_type mine = values_of(comm.rank(), n);
    if (comm.rank() == 2) comm.send(message::model, mine, 3);  // its part of the first reduction
    if (comm.rank() == 0 || comm.rank() == 2) return comm.leave();
    values_type values = mine;
    comm.reduce_sum(message::model, values, 3);
    CHECK(same_bits(values, comm.rank() == 3 ? serial_sum({1, 2, 3, 4}, n) : mine));
    for (int again = 0; again < 3; ++again) {
      values = mine;
      comm.all_reduce_sum(message::model, values);
      CHECK(same_bits(values, serial_sum({1, 3, 4}, n)));
    }
    values = mine;
    CHECK_FALSE(comm.broadcast(message::model, values, 0));
    CHECK(values == mine);
  });
}

template <class Make>
void broadcast_and_gather(Make make) {
  for (const int size : {1, 2, 3, 5}) {
    auto world = make(size);
    world.run([&](auto& comm) {
      const auto others = static_cast<std::uint64_t>(size - 1);
      for (rank_t root = 0; root < size; ++root) {
        const traffic before = comm.statistics();
        values_type values = values_of(comm.rank(), 33);
        CHECK(comm.broadcast(message::model, values, root));
        CHECK(same_bits(values, values_of(root, 33)));
        values_type all(comm.rank() == root ? static_cast<std::size_t>(size) * 33 : 0);
        comm.gather(message::control, values_of(comm.rank(), 33), all, root);
        traffic expected = before;
        (comm.rank() == root ? expected.sent : expected.received)[message::model] +=
            comm.rank() == root ? tally{others, others * 132} : tally{1, 132};
        (comm.rank() == root ? expected.received : expected.sent)[message::control] +=
            comm.rank() == root ? tally{others, others * 132} : tally{1, 132};
        CHECK(comm.statistics() == expected);
        for (rank_t r = 0; r < size && comm.rank() == root; ++r)
          CHECK(same_bits(std::span(all).subspan(static_cast<std::size_t>(r) * 33, 33),
                          values_of(r, 33)));
      }
      if (comm.rank() != 0) return;
      values_type part(3), too_short(static_cast<std::size_t>(3 * size - 1));
      CHECK_THROWS_AS(comm.gather(message::control, part, too_short, 0), usage_error);
    });
  }
}

/// A rank that throws ends the waits of all others with an error that names it.
template <class Make>
void one_failure_stops_all(Make make) {
  auto world = make(4);
  CHECK_THROWS(world.run([](auto& comm) {
    values_type v(3);
    std::string sentence;
    if (comm.rank() == 2) throw std::runtime_error("disk full");
    if (comm.rank() == 0)
      sentence = sentence_of([&] { static_cast<void>(comm.receive(message::batch, v, 1)); });
    else if (comm.rank() == 1)
      sentence = sentence_of([&] { comm.barrier(); });
    else
      sentence = sentence_of([&] { comm.exchange(message::model, v, 0, v, 0); });
    CHECK_MESSAGE(contains(sentence, {"rank 2", "disk full"}), sentence);
    CHECK(contains(sentence_of([&] { comm.barrier(); }), {"rank 2"}));  // and later ones
    CHECK(contains(sentence_of([&] { comm.send(message::batch, v, (comm.rank() + 1) % 4); }),
                   {"rank 2"}));
  }));
}

}  // namespace gantry::conformance
