// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <list>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/comm/any.hpp"
#include "gantry/comm/in_process.hpp"

#include "distributed/conformance.hpp"

using namespace gantry;
using conformance::contains;
using conformance::sentence_of;
using conformance::values_type;

namespace {

/// As few permits as possible, and more than there are ranks.
template <class Suite>
void with_few_and_many_threads(Suite suite) {
  for (const int threads : {1, 2, 8})
    suite([threads](int size) { return comm::in_process(size, threads); });
}

/// Counts how many threads are inside at once.
struct crowd {
  std::atomic<int> inside{0}, most{0};
  void enter() {
    const int now = inside.fetch_add(1) + 1;
    int before = most.load();
    while (before < now && !most.compare_exchange_weak(before, now)) {}
  }
  void exit() { inside.fetch_sub(1); }
};

/// What the run of a node main throws.
template <class Node>
std::string sentence_of_run(int ranks, Node node) {
  auto world = comm::in_process(ranks, 2);
  return sentence_of([&] { world.run(node); });
}

}  // namespace

TEST_CASE("in_process: ranks and size") {
  with_few_and_many_threads([](auto make) { conformance::ranks_and_size(make); });
}
TEST_CASE("in_process: messages keep their order") {
  with_few_and_many_threads([](auto make) { conformance::messages_keep_their_order(make); });
}
TEST_CASE("in_process: mismatches are named") {
  with_few_and_many_threads([](auto make) { conformance::mismatches_are_named(make); });
}
TEST_CASE("in_process: exchange under any permutation") {
  with_few_and_many_threads([](auto make) { conformance::exchange_any_permutation(make); });
}
TEST_CASE("in_process: barrier") {
  with_few_and_many_threads([](auto make) { conformance::barrier_separates(make); });
}
TEST_CASE("in_process: lost peers") {
  with_few_and_many_threads([](auto make) { conformance::lost_peers(make); });
}
TEST_CASE("in_process: leaving wakes those who wait") {
  with_few_and_many_threads([](auto make) { conformance::leaving_wakes(make); });
}
TEST_CASE("in_process: counters are exact") {
  with_few_and_many_threads([](auto make) { conformance::counters_are_exact(make); });
}
TEST_CASE("in_process: sums are those of a serial loop") {
  with_few_and_many_threads([](auto make) { conformance::sums_are_those_of_a_serial_loop(make); });
}
TEST_CASE("in_process: sums skip lost ranks") {
  with_few_and_many_threads([](auto make) { conformance::sums_skip_lost_ranks(make); });
}
TEST_CASE("in_process: broadcast and gather") {
  with_few_and_many_threads([](auto make) { conformance::broadcast_and_gather(make); });
}
TEST_CASE("in_process: one failure stops all") {
  with_few_and_many_threads([](auto make) { conformance::one_failure_stops_all(make); });
}

TEST_CASE("in_process refuses worlds that cannot be") {
  CHECK_THROWS_AS(comm::in_process(0, 1), usage_error);
  CHECK_THROWS_AS(comm::in_process(-3, 1), usage_error);
  CHECK_THROWS_AS(comm::in_process(2, -1), usage_error);
  CHECK_THROWS_AS(comm::in_process_world(2, nullptr), usage_error);
  CHECK_THROWS_AS(static_cast<void>(comm::in_process(2, 1).of(2)), usage_error);
  CHECK(comm::in_process(2).pool()->threads() == usable_cores());
}

TEST_CASE("in_process: run rethrows the first exception itself") {
  auto world = comm::in_process(5, 2);
  CHECK_THROWS_WITH_AS(world.run([](auto& comm) {
    values_type v(1);
    if (comm.rank() == 3) throw numeric_error("the loss is not finite");
    static_cast<void>(comm.receive(message::control, v, 3));
  }),
                       "the loss is not finite", numeric_error);
  // One that is no std::exception, on the calling thread, while others compute.
  CHECK_THROWS_AS(world.run([](auto& comm) {
    if (comm.rank() == 0) throw 42;
    comm.barrier();
  }),
                  int);
}

TEST_CASE("in_process: a failure after leave() still counts") {
  CHECK(contains(sentence_of_run(2,
                                 [](auto& comm) {
                                   comm.leave();
                                   values_type v(1);
                                   if (comm.rank() == 1) comm.send(message::batch, v, 0);
                                 }),
                 {"rank 1", "leave()"}));
}

TEST_CASE("in_process: ranks that all wait are told so") {
  const std::string ring = sentence_of_run(3, [](auto& comm) {
    values_type v(1);
    static_cast<void>(comm.receive(message::feedback, v, (comm.rank() + 1) % 3));
  });
  CHECK_MESSAGE(contains(ring, {"rank 0 for a feedback message of rank 1", "rank 2 for a feedback",
                                "all wait"}),
                ring);
  const std::string mixed = sentence_of_run(3, [](auto& comm) {
    values_type v(1);
    if (comm.rank() == 0) return;
    if (comm.rank() == 1) comm.barrier();
    if (comm.rank() == 2) static_cast<void>(comm.receive(message::model, v, 1));
  });
  CHECK_MESSAGE(contains(mixed, {"rank 1 at the barrier", "rank 2 for a model message of rank 1"}),
                mixed);
}

TEST_CASE("in_process: every run starts anew") {
  auto world = comm::in_process(3, 2);
  CHECK_THROWS(world.run([](auto& comm) {
    comm.send(message::batch, values_type(5), (comm.rank() + 1) % 3);
    if (comm.rank() == 1) throw std::runtime_error("on purpose");
  }));
  for (int again = 0; again < 3; ++again) {
    world.run([](auto& comm) {
      values_type v{static_cast<float>(comm.rank())}, w(1);
      const rank_t next = (comm.rank() + 1) % 3, before = (comm.rank() + 2) % 3;
      CHECK(comm.exchange(message::model, v, next, w, before));
      CHECK(w == values_type{static_cast<float>(before)});
      if (comm.rank() == 2) comm.leave();
    });
    for (rank_t r = 0; r < 3; ++r) {
      CHECK(world.of(r).sent[message::model] == tally{1, 4});
      CHECK(world.of(r).received.total() == tally{1, 4});
    }
    CHECK(world.total().sent.total() == tally{3, 12});
    CHECK(world.total().sent == world.total().received);
  }
}

TEST_CASE("in_process: rank 0 runs on the calling thread, even inside the pool") {
  const auto pool = std::make_shared<thread_pool>(1);
  comm::in_process_world world(3, pool);
  std::thread::id rank_0;
  const auto node = [&](auto& comm) {
    if (comm.rank() == 0) rank_0 = std::this_thread::get_id();
    values_type one{1};
    comm.all_reduce_sum(message::control, one);
    CHECK(one == values_type{3});
  };
  world.run(node);
  CHECK(rank_0 == std::this_thread::get_id());
  // The caller holds the only permit: the world must be able to do with that one.
  pool->parallel_for(2, [&](int) { world.run(node); });
}

TEST_CASE("in_process: nodes and their helpers never exceed the pool's threads") {
  for (const int threads : {1, 2, 3}) {
    auto world = comm::in_process(7, threads);
    crowd everyone;
    world.run([&](auto& comm) {
      values_type v(64);
      for (int round = 0; round < 20; ++round) {
        world.pool()->parallel_for(9, [&](int chunk) {
          everyone.enter();
          v[static_cast<std::size_t>(chunk)] += static_cast<float>(chunk);
          everyone.exit();
        });
        everyone.enter();
        for (float& x : v) x += 1;
        everyone.exit();
        comm.all_reduce_sum(message::model, v);
        for (float& x : v) x /= 7;
        comm.exchange(message::discriminator, v, (comm.rank() + 1) % 7, v, (comm.rank() + 6) % 7);
      }
      for (std::size_t i = 0; i < v.size(); ++i)
        CHECK(v[i] == doctest::Approx(20.0 * (i < 9 ? static_cast<double>(i) + 1 : 1)));
    });
    CHECK(everyone.most.load() <= threads);
  }
}

TEST_CASE("in_process: stress of a server, workers that stop, and swaps") {
  for (int seed = 0; seed < 10; ++seed) {
    auto world = comm::in_process(6, 1 + seed % 3);
    const auto stops_at = [seed](rank_t worker) { return (worker * 7 + seed * 3) % 40; };
    std::atomic<int> answers{0};
    world.run([&](auto& comm) {
      values_type batch(256), answer(16);
      std::vector<bool> live(6, true);
      for (int round = 0; round < 30; ++round) {
        if (comm.rank() > 0) {
          if (round == stops_at(comm.rank())) return comm.leave();
          if (!comm.receive(message::batch, batch, 0)) return;
          comm.send(message::feedback, answer, 0);
          continue;
        }
        for (rank_t w = 1; w < 6; ++w)
          if (live[static_cast<std::size_t>(w)]) comm.send(message::batch, batch, w);
        for (rank_t w = 1; w < 6; ++w) {
          if (!live[static_cast<std::size_t>(w)]) continue;
          live[static_cast<std::size_t>(w)] = comm.receive(message::feedback, answer, w);
          answers += live[static_cast<std::size_t>(w)] ? 1 : 0;
        }
      }
    });
    int expected = 0;
    for (rank_t w = 1; w < 6; ++w) expected += std::min(30, stops_at(w));
    CHECK(answers.load() == expected);
  }
}

TEST_CASE("in_process: what a sender lends is not copied, not kept, and counted as any message") {
  const auto lent = std::make_shared<values_type>(values_type{1, 2, 3});
  const auto node = [&](auto& c) {
    values_type room(3);
    if (c.rank() == 0) {
      send_own(c, message::batch, lent, 1);
      send_own(c, message::batch, lent, 1);
      c.send(message::batch, *lent, 1);
      CHECK(c.receive(message::control, room, 1));
      CHECK(c.statistics().sent[message::batch] == tally{3, 36});
      CHECK(lent.use_count() == 1);
      return;
    }
    CHECK(c.receive(message::batch, room, 0));
    CHECK(room == *lent);
    for (const bool is_lent : {true, false})
      CHECK(receive_with(c, message::batch, room, 0, [&](const message_view& m) {
        CHECK(m.is_senders_own == is_lent);
        CHECK((m.values.data() == lent->data()) == is_lent);
        CHECK(values_type(m.values.begin(), m.values.end()) == *lent);
      }));
    CHECK(c.statistics().received[message::batch] == tally{3, 36});
    c.send(message::control, room, 0);
  };
  comm::in_process(2, 2).run(node);
  comm::any_world(comm::in_process(2, 2)).run(node);
}

TEST_CASE("in_process: memory that a receiver still holds is not written") {
  auto mine = std::make_shared<values_type>(3);
  const float* const first = writable(mine).data();
  CHECK(writable(mine).data() == first);
  const auto held = mine;
  CHECK(writable(mine).data() != first);
  CHECK(mine->size() == 3);
  CHECK(held->data() == first);
}

TEST_CASE("mailboxes: a steady exchange reuses its buffers") {
  thread_pool pool(1);
  compute_permit permit(pool);
  comm::mailboxes boxes(2);
  const values_type small(3), large(1000);
  std::set<const float*> after_warm_up;
  for (int round = 0; round < 20; ++round) {
    boxes.post(message::control, small, 0, 1);
    boxes.post(message::batch, large, 0, 1);
    boxes.post(message::batch, large, 0, 1);
    for (const std::size_t length : {small.size(), large.size(), large.size()}) {
      std::list<comm::packet> arrived = boxes.fetch({.kind = message::batch}, 1, permit);
      REQUIRE(arrived.size() == 1);
      CHECK(arrived.front().values().size() == length);
      if (round > 0) after_warm_up.insert(arrived.front().values().data());
      boxes.recycle(std::move(arrived), 1, 0);
    }
  }
  CHECK(after_warm_up.size() == 3);
}
