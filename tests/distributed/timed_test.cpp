// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Modelled seconds against schedules worked out by hand, and links that are slow in real time.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <functional>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/base/rng.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/comm/modelled.hpp"
#include "gantry/comm/throttled.hpp"
#include "gantry/metrics/link_model.hpp"

using namespace gantry;
using comm::node_time;
using metrics::link_model;
using metrics::node_rates;
using values_type = std::vector<float>;

namespace {

const values_type hundred_bytes(25);

/// Every rank does 10 operations per second, sends 100 bytes per second and is 0.25 s away.
std::vector<node_rates> nodes(std::size_t n) {
  return std::vector<node_rates>(
      n, {.flops_per_second = 10, .upload = 100, .download = 1000, .latency = 0.25});
}

std::vector<node_rates> rates_of(const node_rates& node) { return {node}; }

using modelled_comm = comm::modelled_world<comm::in_process_world, link_model>::communicator_type;
using node_main = std::function<void(modelled_comm&)>;

/// Times of all ranks after each has run `main`.
std::vector<node_time> times_of(const std::vector<node_rates>& rates, const node_main& main,
                                int threads = 2, std::uint64_t seed = 0) {
  auto world = comm::modelled(comm::in_process(static_cast<int>(rates.size()), threads),
                              link_model(rates, seed));
  world.run(main);
  std::vector<node_time> all;
  for (rank_t r = 0; r < world.size(); ++r) all.push_back(world.time_of(r));
  CHECK(world.seconds() == std::ranges::max(all, {}, &node_time::seconds).seconds);
  return all;
}

void take(modelled_comm& comm, rank_t from) {
  values_type v(25);
  CHECK(comm.receive(message::batch, v, from));
}
void give(modelled_comm& comm, rank_t to) { comm.send(message::batch, hundred_bytes, to); }

/// Runs one of its two ranks, as a process of two would.
struct half_a_world {
  using communicator_type = comm::in_process_communicator;
  comm::in_process_world inner = comm::in_process(1, 1);
  [[nodiscard]] rank_t size() const noexcept { return 2; }
  void run(const auto& f) { inner.run(f); }
};

}  // namespace

TEST_CASE("modelled: a link transmits one message at a time, and receiving overlaps computing") {
  const auto times = times_of(nodes(2), [](modelled_comm& comm) {
    if (comm.rank() == 0) {
      give(comm, 1);  // 0 .. 1, there at 1.5
      give(comm, 1);  // 1 .. 2, there at 2.5
      comm.charge(30);
      give(comm, 1);  // 3 .. 4, there at 4.5
      return;
    }
    take(comm, 0);
    CHECK(comm.time().seconds == 1.5);
    comm.charge(20);  // until 3.5; the second message is there by then
    take(comm, 0);
    CHECK(comm.time().seconds == 3.5);
    take(comm, 0);
  });
  CHECK(times[0] == node_time{3, 0, 30});
  CHECK(times[1] == node_time{4.5, 2.5, 20});
  CHECK(times[1].busy() == 2);
}

TEST_CASE("modelled: links to different ranks overlap unless they share the uplink") {
  for (const bool shared : {false, true}) {
    auto rates = nodes(3);
    rates[0].shares_uplink = shared;
    rates[2].download = 50;  // slower than the sender: 2 seconds
    const auto times = times_of(rates, [](modelled_comm& comm) {
      if (comm.rank() != 0) return take(comm, 0);
      give(comm, 1);
      give(comm, 2);
    });
    CHECK(times[1].seconds == 1.5);
    CHECK(times[2].seconds == (shared ? 3.5 : 2.5));
  }
}

TEST_CASE("modelled: barrier, exchange, a rank that leaves, a message to oneself") {
  const auto times = times_of(nodes(3), [](modelled_comm& comm) {
    values_type v(25);
    if (comm.rank() == 2) {
      comm.charge(70);
      return comm.leave();  // at 7
    }
    comm.charge(comm.rank() == 0 ? 10 : 40);
    comm.exchange(message::model, v, 1 - comm.rank(), v, 1 - comm.rank());
    // Rank 0 sends at 1 and 1 at 4: rank 0 has its message at 5.5, rank 1 goes on at 4.
    CHECK(comm.time().seconds == (comm.rank() == 0 ? 5.5 : 4));
    comm.exchange(message::model, v, comm.rank(), v, comm.rank());
    if (comm.rank() == 0) CHECK_FALSE(comm.receive(message::batch, v, 2));
    CHECK(comm.time().seconds == (comm.rank() == 0 ? 7.5 : 4));
    comm.barrier();
  });
  CHECK(times[0] == node_time{7.5, 6.5, 10});
  CHECK(times[1] == node_time{7.5, 3.5, 40});
  CHECK(times[2] == node_time{7, 0, 70});
}

TEST_CASE("modelled: the round times of a serial and a parallel schedule") {
  // One round of arXiv 2107.08681 with two devices: t_down = 1.5, t_D = 2 and 6 (a straggler),
  // t_up = 1.5, t_G = 5.
  for (const bool parallel : {false, true}) {
    auto rates = nodes(3);
    rates[2].slow_down = 3;
    const auto times = times_of(rates, [&](modelled_comm& comm) {
      if (comm.rank() > 0) {
        take(comm, 0);
        comm.charge(20);
        return give(comm, 0);
      }
      for (const rank_t r : {1, 2}) give(comm, r);
      if (parallel) comm.charge(50);
      for (const rank_t r : {1, 2}) take(comm, r);
      if (!parallel) comm.charge(50);
    });
    const double devices = std::max(2.0 + 1.5, 6.0 + 1.5);
    CHECK(times[0].seconds == (parallel ? std::max(1.5 + devices, 5.0) : 1.5 + devices + 5.0));
    CHECK(times[0].busy() == 5);
  }
}

TEST_CASE("modelled: the same seconds for any number of threads and any schedule") {
  auto rates = nodes(5);
  for (std::size_t r = 0; r < rates.size(); ++r) {
    rates[r].upload = 37.0 * static_cast<double>(r + 1);
    rates[r].stall_probability = 0.3;
    rates[r].stall_factor = 7;
  }
  rates[0].shares_uplink = true;
  const auto run = [&](int threads, std::uint32_t schedule) {
    return times_of(
        rates,
        [&](modelled_comm& comm) {
          random_sequence draw(
              {.seed = schedule, .worker = static_cast<std::uint32_t>(comm.rank())});
          const auto dawdle = [&] {
            std::this_thread::sleep_for(std::chrono::microseconds(draw.below(200)));
          };
          values_type v(25);
          for (int round = 0; round < 12; ++round) {
            dawdle();
            if (comm.rank() == 0) {
              for (rank_t r = 1; r < 5; ++r) give(comm, r);
              comm.charge(3);
              for (rank_t r = 1; r < 5; ++r) take(comm, r);
            } else {
              take(comm, 0);
              comm.charge(11);
              dawdle();
              give(comm, 0);
              comm.exchange(message::model, v, comm.rank() % 4 + 1, v, (comm.rank() + 2) % 4 + 1);
            }
            comm.all_reduce_sum(message::model, v);
            if (round % 5 == 0) comm.barrier();
          }
        },
        threads, 6);
  };
  const auto once = run(1, 0);
  CHECK(once[0].seconds > 10);
  for (const int threads : {1, 2, 8})
    for (const std::uint32_t schedule : {1u, 2u, 3u}) CHECK(run(threads, schedule) == once);
}

TEST_CASE("modelled: a world with ranks in other processes is refused") {
  auto world = comm::modelled(half_a_world{}, link_model(nodes(2)));
  CHECK_THROWS_WITH_AS(world.run([](auto&) {}), doctest::Contains("in one process"), usage_error);
}

TEST_CASE("link_model: stragglers, stalls and drop-outs follow from the seed") {
  auto rates = nodes(11);
  rates[3].drop_out = 0.25;
  rates[4].drop_out = 1;
  rates[5].stall_probability = 0.5;
  rates[5].stall_factor = 3;
  link_model model(rates, 8);
  int dropped = 0, stalled = 0;
  for (std::uint32_t round = 0; round < 4000; ++round) {
    dropped += model.drops_out(3, round);
    stalled += model.compute_seconds(5, 10, round) == 3;
    CHECK_FALSE(model.drops_out(2, round));
    CHECK(model.drops_out(4, round));
    CHECK(model.drops_out(3, round) == link_model(rates, 8).drops_out(3, round));
  }
  CHECK(dropped / 4000.0 == doctest::Approx(0.25).epsilon(0.1));
  CHECK(stalled / 4000.0 == doctest::Approx(0.5).epsilon(0.1));
  CHECK(model.first_drop_out(4, 9) == 0u);
  CHECK_FALSE(model.first_drop_out(2, 100).has_value());
  const auto first = model.first_drop_out(3, 1000);
  REQUIRE(first.has_value());
  CHECK(model.drops_out(3, *first));
  model.add_stragglers(0.3, 10);
  int slow = 0;
  for (rank_t r = 1; r < 11; ++r) slow += model.of(r).slow_down == 10;
  CHECK(slow == 3);
  CHECK(model.of(0).slow_down == 1);
  // 1 MHz at a signal-to-noise ratio of 15: 4 bits per Hz.
  CHECK(metrics::wireless_rate(1e6, 5, 6, 2) == doctest::Approx(5e5));
  CHECK_THROWS_AS(static_cast<void>(model.of(11)), usage_error);
  CHECK_THROWS_AS(link_model(rates_of({.upload = 0})), usage_error);
  CHECK_THROWS_AS(link_model(rates_of({.latency = std::nan("")})), usage_error);
  CHECK_THROWS_AS(link_model(rates_of({.drop_out = 1.5})), usage_error);
  CHECK_THROWS_AS(model.add_stragglers(2, 1), usage_error);
}

TEST_CASE("throttled: messages come in order and never before their time") {
  auto rates = nodes(3);
  for (node_rates& r : rates) r = {.upload = 1e4, .latency = 0.005};  // 100 bytes: 10 ms
  auto world = comm::throttled(comm::in_process(3, 1), link_model(rates));
  world.run([](auto& comm) {
    constexpr int count = 5;
    if (comm.rank() == 0) {
      for (int i = 0; i < count; ++i)
        for (const rank_t r : {1, 2})
          comm.send(message::batch, values_type(25, static_cast<float>(i)), r);
      return;
    }
    for (int i = 0; i < count; ++i) {
      values_type v(25);
      CHECK(comm.receive(message::batch, v, 0));
      CHECK(v == values_type(25, static_cast<float>(i)));
      CHECK(comm.time().seconds >= 0.01 * (i + 1) + 0.01);
    }
    CHECK_FALSE(comm.receive(message::batch, std::span<float>(), 0));
  });
  for (const rank_t r : {1, 2}) {
    CHECK(world.time_of(r).waiting > 0.03);
    CHECK(world.time_of(r).waiting <= world.time_of(r).seconds);
  }
}

TEST_CASE("throttled: who waits gives its permit to a rank that computes") {
  std::vector<node_rates> rates(3);
  rates[0].latency = 0.02;
  auto world = comm::throttled(comm::in_process(3, 1), link_model(rates));
  bool overlapped = false;
  for (int attempt = 0; attempt < 50 && !overlapped; ++attempt) {
    std::atomic<bool> computed = false;
    // There is one permit, so rank 2 comes to its end before rank 1 only while that sleeps.
    world.run([&](auto& comm) {
      values_type v(1);
      if (comm.rank() == 0) comm.send(message::control, v, 1);
      if (comm.rank() == 1) {
        comm.send(message::control, v, 2);
        CHECK(comm.receive(message::control, v, 0));
        overlapped = computed;
      }
      if (comm.rank() == 2) {
        CHECK(comm.receive(message::control, v, 1));
        computed = true;
      }
    });
  }
  CHECK(overlapped);
}
