// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The transport contract over MPI; needs five ranks.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/comm/any.hpp"
#include "gantry/comm/mpi_device.hpp"
#include "gantry/concepts/device_room.hpp"

#include "distributed/conformance.hpp"
#include "distributed/conformance_device.hpp"
#include "mpi/ranks.hpp"

using namespace gantry;
using conformance::contains;
using conformance::sentence_of;
using conformance::values_type;

namespace {

const auto make = [](int size) { return test::mpi_world(size); };
/// A device whose memory is the host's.
struct host_room final : device_room {
  std::size_t taken = 0, copied = 0;
  void enter() const override {}
  void follow(device_queue) override {}
  float* take(std::size_t count) override {
    taken += count;
    return new float[count];
  }
  void give(float* memory, std::size_t count) noexcept override {
    taken -= count;
    delete[] memory;
  }
  void copy(std::span<const float> from, float* to) override {
    std::ranges::copy(from, to);
    copied += from.size();
  }
};

const auto make_erased = [](int size) { return comm::any_world(test::mpi_world(size)); };

}  // namespace

TEST_CASE("mpi: ranks and size") { conformance::ranks_and_size(make); }
TEST_CASE("mpi: messages keep their order") { conformance::messages_keep_their_order(make); }
TEST_CASE("mpi: mismatches are named") { conformance::mismatches_are_named(make); }
TEST_CASE("mpi: exchange under any permutation") { conformance::exchange_any_permutation(make); }
TEST_CASE("mpi: barrier") { conformance::barrier_separates(make); }
TEST_CASE("mpi: lost peers") { conformance::lost_peers(make); }
TEST_CASE("mpi: leaving wakes those who wait") { conformance::leaving_wakes(make); }
TEST_CASE("mpi: counters are exact") { conformance::counters_are_exact(make); }
TEST_CASE("mpi: sums are those of a serial loop") {
  conformance::sums_are_those_of_a_serial_loop(make);
}
TEST_CASE("mpi: sums skip lost ranks") { conformance::sums_skip_lost_ranks(make); }
TEST_CASE("mpi: broadcast and gather") { conformance::broadcast_and_gather(make); }
TEST_CASE("mpi: one failure stops all") {
  if (test::mpi->rank() < 4)
    conformance::one_failure_stops_all(make);
  else
    static_cast<void>(make(4));  // worlds are made by all processes together
}
TEST_CASE("mpi: the erased world keeps the contract") {
  conformance::lost_peers(make_erased);
  conformance::counters_are_exact(make_erased);
  conformance::broadcast_and_gather(make_erased);
}

TEST_CASE("mpi: values on a device go by pointer or staged, and are the same messages") {
  for (const int size : {2, 3}) {
    const auto room = std::make_shared<host_room>();
    const auto by_pointer = [&](int n) { return test::mpi_world(n, {}, room); };
    const auto and_drops = [&](int n) {
      return test::mpi_world(n, {.then = comm::when_late::drop}, room);
    };
    conformance::device_messages(by_pointer, size);
    conformance::device_messages(and_drops, size);
    conformance::discriminators_change_places(by_pointer, size, true);
    conformance::discriminators_change_places(make, size, false);
    CHECK((room->copied > 0) == (test::mpi->rank() < size));
    CHECK(room->taken == 0);
  }
}
TEST_CASE("mpi: what the library says decides, unless the user does") {
  using enum comm::mpi_device_wish;
  using comm::mpi_device_support;
  for (const auto found :
       {mpi_device_support::yes, mpi_device_support::no, mpi_device_support::unknown}) {
    const auto chosen = [&](comm::mpi_device_wish wish) {
      return comm::choose_mpi_device_path(wish, [&] { return found; }).by_pointer;
    };
    CHECK(chosen(automatic) == (found == mpi_device_support::yes));
    CHECK(chosen(pointers));
    CHECK_FALSE(chosen(staged));
  }
  const auto own = comm::choose_mpi_device_path(automatic);
  CHECK(own.by_pointer == (comm::query_mpi_device_support() == mpi_device_support::yes));
  CHECK(contains(own.reason, {"the MPI library"}));
}

TEST_CASE("mpi: large messages cross in both directions") {
  auto world = make(5);
  world.run([](auto& comm) {
    const auto next = static_cast<rank_t>((comm.rank() + 1) % comm.size());
    const auto before = static_cast<rank_t>((comm.rank() + comm.size() - 1) % comm.size());
    for (int round = 0; round < 3; ++round) {
      const values_type mine = conformance::filled(300'000, static_cast<float>(comm.rank()));
      values_type in(mine.size());
      CHECK(comm.exchange(message::model, mine, next, in, before));
      CHECK(in == conformance::filled(mine.size(), static_cast<float>(before)));
    }
  });
}

TEST_CASE("mpi: what is never received does not keep a run from its end") {
  for (int again = 0; again < 3; ++again) {
    auto world = make(3);
    world.run([](auto& comm) {
      if (comm.rank() == 0) comm.send(message::batch, conformance::filled(200'000, 1), 2);
    });
  }
}

TEST_CASE("mpi: a late rank is named, and the wait can end") {
  std::vector<std::string> warnings;
  auto world = test::mpi_world(2, {.warn_after = 0.1,
                                   .give_up_after = 0.3,
                                   .warn = [&](const std::string& s) { warnings.push_back(s); }});
  if (!world.is_member()) return;
  static_cast<void>(sentence_of([&] {
    world.run([&](auto& comm) {
      if (comm.rank() == 1) return std::this_thread::sleep_for(std::chrono::milliseconds(800));
      values_type v(7);
      const std::string sentence =
          sentence_of([&] { static_cast<void>(comm.receive(message::feedback, v, 1)); });
      CHECK_MESSAGE(
          contains(sentence, {"rank 0 has waited", "feedback", "7 values", "rank 1", "gives up"}),
          sentence);
      REQUIRE(warnings.size() == 1);
      CHECK(contains(warnings[0], {"rank 0 has waited", "feedback message", "from rank 1"}));
    });
  }));
}

TEST_CASE("mpi: a call that does not return is noticed") {
  comm::mpi_looks looks;
  const auto looks_until_stuck = [&](auto calls_at) {
    for (int n = 0; n < 3 * comm::mpi_looks::enough; ++n)
      if (looks.is_stuck(calls_at(n))) return n;
    return -1;
  };
  CHECK(looks_until_stuck([](int) { return 8u; }) == -1);                  // none is under way
  CHECK(looks_until_stuck([](int n) { return 2u * (n / 9) + 1; }) == -1);  // another one each time
  CHECK(looks_until_stuck([](int) { return 5u; }) == comm::mpi_looks::enough);

  std::promise<void> noticed;
  const comm::mpi_watch watch(std::chrono::milliseconds(40), [&] { noticed.set_value(); });
  const std::lock_guard stuck(comm::mpi_calls());
  noticed.get_future().wait();
}

TEST_CASE("mpi: worlds that cannot be") {
  CHECK(contains(sentence_of([] { make(test::mpi->size() + 1); }), {"as many as mpirun started"}));
  CHECK(contains(sentence_of([] { make(-1); }), {"found -1"}));
}
