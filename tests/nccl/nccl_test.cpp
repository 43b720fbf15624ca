// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The transport's contract over NCCL, whose part tests/nccl/emulated plays.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <future>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/comm/any.hpp"
#include "gantry/comm/nccl.hpp"

#include "distributed/conformance.hpp"
#include "distributed/conformance_device.hpp"
#include "nccl/worlds.hpp"

using namespace gantry;
using conformance::contains;
using conformance::filled;
using conformance::sentence_of;
using conformance::values_type;

namespace {

const auto make = [](int size) { return test::nccl_world(size); };
const auto make_on_one_core = [](int size) { return test::nccl_world(size, 1); };
const auto make_mixed = [](int size) { return test::nccl_world(size, 2, 6); };

/// What went wrong is put right when a test ends, and nothing of NCCL is left.
struct with_faults {
  emulated::fault_switches& all = emulated::faults();
  with_faults() { all.aborts = all.revokes = all.shrinks = all.moved = 0; }
  ~with_faults() {
    all.init_hangs = all.values_are_lost = false;
    all.async_error = ncclSuccess;
    CHECK(all.groups == 0);
    CHECK(all.registrations >= 0);
  }
};

}  // namespace

TEST_CASE("nccl: ranks and size") { conformance::ranks_and_size(make); }
TEST_CASE("nccl: messages keep their order") {
  const with_faults none;
  conformance::messages_keep_their_order(make);
  // In worlds of 2, 3 and 5: all that have values, and the first of each pair each way.
  CHECK(none.all.moved == 198 * (1 + 2 + 4) + (2 + 6 + 20));
  conformance::messages_keep_their_order(make_mixed);
  conformance::messages_keep_their_order(make_on_one_core);
}
TEST_CASE("nccl: mismatches are named") {
  conformance::mismatches_are_named([](int size) { return test::nccl_world(size, 2, 100); });
}
TEST_CASE("nccl: exchange under any permutation") {
  conformance::exchange_any_permutation(make);
  conformance::exchange_any_permutation(make_on_one_core);
}
TEST_CASE("nccl: barrier") { conformance::barrier_separates(make); }
TEST_CASE("nccl: lost peers") {
  conformance::lost_peers(make);
  conformance::lost_peers(make_mixed);
}
TEST_CASE("nccl: leaving wakes those who wait") { conformance::leaving_wakes(make); }
TEST_CASE("nccl: counters are exact") {
  conformance::counters_are_exact(make);
  conformance::counters_are_exact(make_mixed);
}
TEST_CASE("nccl: sums are those of a serial loop") {
  conformance::sums_are_those_of_a_serial_loop(make);
}
TEST_CASE("nccl: sums skip lost ranks") { conformance::sums_skip_lost_ranks(make); }
TEST_CASE("nccl: broadcast and gather") { conformance::broadcast_and_gather(make); }
TEST_CASE("nccl: one failure stops all") {
  const with_faults none;
  conformance::one_failure_stops_all(make);
}
TEST_CASE("nccl: the erased world keeps the contract") {
  conformance::lost_peers([](int size) { return comm::any_world(test::nccl_world(size)); });
}

TEST_CASE("nccl: a length that differs is named, and what follows still arrives") {
  auto world = make(2);
  world.run([](auto& comm) {
    if (comm.rank() == 0) {
      comm.send(message::batch, filled(7, 1), 1);
      comm.send(message::batch, filled(5, 2), 1);
      return;
    }
    values_type five(5);
    const std::string sentence =
        sentence_of([&] { static_cast<void>(comm.receive(message::batch, five, 0)); });
    CHECK_MESSAGE(contains(sentence, {"rank 1", "rank 0", "batch", "5 values", "7 values"}),
                  sentence);
    CHECK(comm.receive(message::batch, five, 0));
    CHECK(five == filled(5, 2));
  });
}

TEST_CASE("nccl: what is never received does not keep a run from its end") {
  const with_faults none;
  for (int again = 0; again < 3; ++again)
    make(3).run([](auto& comm) {
      if (comm.rank() == 0) comm.send(message::batch, filled(200'000, 1), 2);
    });
  CHECK(none.all.aborts > 0);
}

TEST_CASE("nccl: values on the device are messages like others") {
  conformance::device_messages(make, 3);
  conformance::device_messages([](int size) { return test::nccl_world(size, 2, 8); }, 3);
}

TEST_CASE("nccl: a send comes behind the work of a queue, which its host does not wait for") {
  auto world = make(2);
  world.run([](auto& comm) {
    values_type values(5, 1.0f);
    const std::array<std::span<float>, 1> parts{values};
    if (comm.rank() == 1) {
      CHECK(comm.receive_device(message::model, parts, 0));
      CHECK(values == filled(5, 2));
      return;
    }
    CUstream_st work;
    std::promise<void> begin;
    work.enqueue([&, begun = begin.get_future().share()] {
      begun.wait();
      values.assign(5, 2.0f);
    });
    comm.send_device(message::model, parts, 1, {&work});
    work.enqueue([&] { values.assign(5, 3.0f); });  // waits until they are copied
    begin.set_value();
    comm.barrier();
  });
}

TEST_CASE("nccl: what is expected is taken in before it is asked for, while there is room") {
  const with_faults none;
  auto world = test::nccl_threads(comm::in_process(2, 2),
                                  {.least_values = 4, .values_ahead = 15, .start_within = 5});
  const std::array<std::size_t, 5> counts{5, 3, 10, 200, 7};  // of which 3 do not go by NCCL
  world.run([&](auto& comm) {
    if (comm.rank() == 0) {
      for (const std::size_t n : counts)
        comm.send(message::model, filled(n, static_cast<float>(n)), 1);
      return comm.send(message::model, filled(8, 8), 1);
    }
    const int before = none.all.moved;
    comm.expect_device(counts, 0);
    using clock = std::chrono::steady_clock;
    for (const auto end = clock::now() + std::chrono::seconds(60);
         none.all.moved < before + 2 && clock::now() < end;)
      std::this_thread::yield();
    CHECK(none.all.moved >= before + 2);  // 5 and 10
    values_type values(200);
    for (const std::size_t n : {5, 3, 10, 200, 7, 8}) {
      std::ranges::fill(values, 0.0f);
      const std::array<std::span<float>, 1> parts{std::span(values).first(n)};
      CHECK(comm.receive_device(message::model, parts, 0));
      CHECK(std::ranges::count(values, static_cast<float>(n)) == static_cast<std::ptrdiff_t>(n));
    }
  });
  CHECK(none.all.aborts == 2);  // the groups of all ranks: each pair was idle at its end
}

TEST_CASE("nccl: another message than the one expected is named") {
  const with_faults none;
  const std::array<std::size_t, 1> counts{6};
  auto world = make(2);
  const std::string sentence = sentence_of([&] {
    world.run([&](auto& comm) {
      values_type v(5);
      if (comm.rank() == 0) return comm.send(message::model, v, 1);
      comm.expect_device(counts, 0);
      static_cast<void>(comm.receive(message::model, v, 0));
    });
  });
  CHECK_MESSAGE(contains(sentence, {"rank 1 expected a message of 6 values", "one of 5"}),
                sentence);
}

TEST_CASE("nccl: sums in NCCL's order go on without a rank that has left") {
  const with_faults none;
  auto world = make(4);
  world.run([](auto& comm) {
    values_type values(500, static_cast<float>(comm.rank() + 1));
    comm.sum_device(message::model, values);
    CHECK(values == filled(500, 10));
    if (comm.rank() == 2) return comm.leave();
    for (int again = 0; again < 2; ++again) {
      values = filled(500, static_cast<float>(comm.rank() + 1));
      comm.sum_device(message::model, values);
      CHECK(values == filled(500, 7));
    }
    CHECK(comm.statistics().sent.total() == tally{6, 12000});
  });
  CHECK(none.all.shrinks == 3);
}

TEST_CASE("nccl: a group that never stands is an error that names the ranks") {
  with_faults faults;
  faults.all.init_hangs = true;
  auto world = test::nccl_threads(comm::in_process(3, 2), {.start_within = 0.2});
  const std::string sentence = sentence_of([&] { world.run([](auto&) {}); });
  CHECK_MESSAGE(contains(sentence, {"expected ncclCommInitRankConfig to end within 0 s",
                                    "under way with rank "}),
                sentence);
  CHECK(faults.all.aborts > 0);
}

TEST_CASE("nccl: what a group reports later ends the run") {
  with_faults faults;
  auto world = make(2);
  const std::string sentence = sentence_of([&] {
    world.run([&](auto& comm) {
      comm.barrier();
      faults.all.async_error = ncclRemoteError;
      values_type v(5);
      comm.exchange(message::model, v, 1 - comm.rank(), v, 1 - comm.rank());
    });
  });
  CHECK_MESSAGE(contains(sentence, {"ncclSend", "remote process exited"}), sentence);
}

TEST_CASE("nccl: values that do not come are named, and given up with their sender") {
  with_faults faults;
  std::vector<std::string> warnings;
  auto world = test::nccl_world(
      3, 3, 0, {.warn_after = 0.05, .warn = [&](const std::string& s) { warnings.push_back(s); }});
  world.run([&](auto& comm) {
    comm.enter_iteration(6);
    values_type v(5, 1.0f);
    comm.barrier();
    if (comm.rank() == 1) {
      faults.all.values_are_lost = true;
      comm.send(message::feedback, v, 0);
      return comm.leave();
    }
    if (comm.rank() == 0) {
      CHECK_FALSE(comm.receive(message::feedback, v, 1));
      faults.all.values_are_lost = false;
    }
    comm.barrier();
    const rank_t other = 2 - comm.rank();  // the two that are left go on
    CHECK(comm.exchange(message::model, v, other, v, other));
  });
  REQUIRE(warnings.size() == 1);
  CHECK_MESSAGE(contains(warnings[0], {"rank 0 has waited", "feedback message of 5 values by NCCL",
                                       "iteration 7", "rank 1 (has stopped)"}),
                warnings[0]);
}

TEST_CASE("nccl: a wait ends when its patience does, or when another rank fails") {
  for (const bool fails : {false, true}) {
    with_faults faults;
    auto world = test::nccl_world(2, 2, 0, {.warn_after = 0, .give_up_after = fails ? 0 : 0.1});
    const std::string sentence = sentence_of([&] {
      world.run([&](auto& comm) {
        faults.all.values_are_lost = true;
        values_type v(5, 1.0f);
        if (comm.rank() == 1) comm.send(message::feedback, v, 0);
        if (comm.rank() == 1 && fails) throw error("disk full");
        if (comm.rank() == 0) static_cast<void>(comm.receive(message::feedback, v, 1));
      });
    });
    CHECK_MESSAGE(contains(sentence, {fails ? "disk full" : "it gives up"}), sentence);
  }
}
