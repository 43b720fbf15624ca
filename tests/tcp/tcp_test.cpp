// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The transport contract over sockets, between processes that meet in a folder or at a port.
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <map>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/comm/any.hpp"

#include "distributed/conformance.hpp"
#include "distributed/conformance_groups.hpp"
#include "tcp/ranks.hpp"

using namespace gantry;
using conformance::contains;
using conformance::sentence_of;
using conformance::values_type;

namespace {

const auto make = [](int size) { return test::tcp_world(size); };

comm::environment with(std::map<std::string, std::string> values) {
  return [values](const char* name) -> std::optional<std::string> {
    const auto it = values.find(name);
    return it == values.end() ? std::nullopt : std::optional(it->second);
  };
}

/// Three processes of which `victim` gets a signal in the middle of the run, and is killed in the
/// end; what rank 0 has to say.
template <class Node>
std::string run_with_a_lost_rank(const char* name, rank_t victim, int signal, comm::patience health,
                                 Node node) {
  std::vector<pid_t> children;
  rank_t own = 0;
  for (rank_t r = 1; r < 3 && own == 0; ++r) {
    const pid_t child = ::fork();
    if (child == 0)
      own = r;
    else
      children.push_back(child);
  }
  const std::string sentence = sentence_of([&] {
    comm::tcp_world world({own, 3, own, "test"},
                          {.folder = test::meeting_folder / name, .own_host = "127.0.0.1"},
                          std::make_shared<thread_pool>(1), health);
    world.run([&](auto& comm) {
      comm.barrier();
      if (own == victim) {  // not before its first signs of life
        std::this_thread::sleep_for(std::chrono::milliseconds(600));
        ::raise(signal);
      }
      node(comm);
    });
  });
  if (own != 0) ::_exit(0);
  ::kill(children[static_cast<std::size_t>(victim - 1)], SIGKILL);
  for (const pid_t child : children) ::waitpid(child, nullptr, 0);
  return sentence;
}

}  // namespace

TEST_CASE("tcp: ranks and size") { conformance::ranks_and_size(make); }
TEST_CASE("tcp: messages keep their order") { conformance::messages_keep_their_order(make); }
TEST_CASE("tcp: mismatches are named") { conformance::mismatches_are_named(make); }
TEST_CASE("tcp: exchange under any permutation") { conformance::exchange_any_permutation(make); }
TEST_CASE("tcp: barrier") { conformance::barrier_separates(make); }
TEST_CASE("tcp: lost peers") { conformance::lost_peers(make); }
TEST_CASE("tcp: leaving wakes those who wait") { conformance::leaving_wakes(make); }
TEST_CASE("tcp: counters are exact") { conformance::counters_are_exact(make); }
TEST_CASE("tcp: sums are those of a serial loop") {
  conformance::sums_are_those_of_a_serial_loop(make);
}
TEST_CASE("tcp: sums skip lost ranks") { conformance::sums_skip_lost_ranks(make); }
TEST_CASE("tcp: broadcast and gather") { conformance::broadcast_and_gather(make); }
TEST_CASE("tcp: one failure stops all") {
  if (test::rank < 4)
    conformance::one_failure_stops_all(make);
  else
    static_cast<void>(make(4));  // worlds are counted by all processes alike
}

TEST_CASE("tcp: large messages cross in both directions, in one run after the other") {
  auto world = make(5);
  for (int run = 0; run < 2; ++run)
    world.run([](auto& comm) {
      const auto next = static_cast<rank_t>((comm.rank() + 1) % comm.size());
      const auto before = static_cast<rank_t>((comm.rank() + comm.size() - 1) % comm.size());
      const values_type mine = conformance::filled(3'000'000, static_cast<float>(comm.rank()));
      values_type in(mine.size());
      CHECK(comm.exchange(message::model, mine, next, in, before));
      CHECK(in == conformance::filled(mine.size(), static_cast<float>(before)));
      if (comm.rank() == 0) comm.send(message::batch, mine, 1);  // never received
    });
}

TEST_CASE("tcp: ranks meet at the address and port of torchrun's variables") {
  const std::uint16_t port = test::master_port;
  const comm::meeting_place place = comm::find_meeting_place(
      with({{"MASTER_ADDR", "localhost"}, {"MASTER_PORT", std::to_string(port)}}));
  CHECK(place.master.text() == "localhost:" + std::to_string(port));
  comm::tcp_world world({test::rank, test::processes, test::rank, "torchrun"}, place,
                        std::make_shared<thread_pool>(1));
  world.run([](auto& comm) {
    values_type v{static_cast<float>(comm.rank())};
    comm.all_reduce_sum(message::control, v);
    CHECK(v[0] == 10);
  });
}

TEST_CASE("tcp: who does nothing is dropped") {
  conformance::who_does_nothing_is_dropped(
      [](int size, comm::patience health) { return test::tcp_world(size, std::move(health)); }, 1,
      [] { std::this_thread::sleep_for(std::chrono::milliseconds(4000)); },
      [] {
        const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(2500);
        for (std::atomic<int> i{0}; std::chrono::steady_clock::now() < end; ++i) continue;
      });
}

TEST_CASE("tcp: where to meet is read from the environment") {
  CHECK(contains(sentence_of([] { static_cast<void>(comm::find_meeting_place(with({}))); }),
                 {"MASTER_ADDR", "GANTRY_RENDEZVOUS"}));
  CHECK(contains(sentence_of([] {
                   static_cast<void>(comm::find_meeting_place(
                       with({{"MASTER_ADDR", "a"}, {"MASTER_PORT", "70000"}})));
                 }),
                 {"MASTER_PORT"}));
  CHECK(comm::find_meeting_place(with({{"MASTER_ADDR", "a"},
                                       {"MASTER_PORT", "29500"},
                                       {"TORCHELASTIC_USE_AGENT_STORE", "True"}}))
            .master.port == 29501);
  const comm::meeting_place shared =
      comm::find_meeting_place(with({{"GANTRY_RENDEZVOUS", "/shared/job"}, {"GANTRY_HOST", "n7"}}));
  CHECK(shared.folder == "/shared/job");
  CHECK(shared.own_host == "n7");
}

TEST_CASE("tcp: who does not come is named") {
  if (test::rank != 0) return;
  for (const bool in_folder : {true, false}) {
    comm::meeting_place place{.within = 0.3};
    if (in_folder)
      place.folder = test::meeting_folder / "alone";
    else
      place.master = {"127.0.0.1", comm::tcp_listener(0).port()};
    for (const rank_t own : {0, 1}) {
      const std::string sentence = sentence_of([&] {
        static_cast<void>(comm::meet({own, 3, own, "test"}, place));
      });
      CHECK_MESSAGE(contains(sentence, {"rank ", "expected all of 3 ranks", "within 0 s",
                                        own == 0 ? "found no rank 1, 2" : "found no rank 0, 2"}),
                    sentence);
    }
  }
}

TEST_CASE("tcp: strangers are sent away, and a rank of another job is refused") {
  if (test::rank != 0) return;
  const std::uint16_t port = comm::tcp_listener(0).port();
  const pid_t child = ::fork();
  if (child == 0) {
    const comm::tcp_socket stranger =
        comm::connect_until({"127.0.0.1", port}, comm::seconds_now() + 10);
    static_cast<void>(stranger.write("GET / HTTP/1.1\r\nHost: nobody\r\n\r\n", 32));
    static_cast<void>(sentence_of([&] {
      static_cast<void>(
          comm::meet({1, 7, 1, "test"}, {.master = {"127.0.0.1", port}, .within = 2}));
    }));
    ::_exit(0);
  }
  const std::string sentence = sentence_of([&] {
    static_cast<void>(comm::meet({0, 2, 0, "test"}, {.master = {"127.0.0.1", port}, .within = 20}));
  });
  CHECK_MESSAGE(contains(sentence, {"one each of 2 ranks", "found rank 1 of 7"}), sentence);
  ::waitpid(child, nullptr, 0);
}

TEST_CASE("tcp: a killed rank is named at once, or dropped") {
  if (test::rank != 0) return;
  const auto waits_for_both = [](auto& comm) {
    values_type v(3);
    if (comm.rank() != 0) {
      comm.send(message::feedback, v, 0);
      return comm.barrier();
    }
    const bool first = comm.receive(message::feedback, v, 1);
    const bool second = comm.receive(message::feedback, v, 2);
    comm.barrier();
    CHECK(first);
    CHECK_FALSE(second);
  };
  const std::string ended = run_with_a_lost_rank("killed", 2, SIGKILL, {}, waits_for_both);
  CHECK_MESSAGE(contains(ended, {"rank 2", "its line has ended"}), ended);
  std::vector<std::string> warnings;
  std::vector<rank_t> lost;
  const std::string dropped =
      run_with_a_lost_rank("dropped", 2, SIGKILL,
                           {.then = comm::when_late::drop,
                            .warn = [&](const std::string& s) { warnings.push_back(s); },
                            .on_lost = [&](rank_t r) { lost.push_back(r); }},
                           waits_for_both);
  CHECK(dropped == "nothing thrown");
  CHECK(lost == std::vector<rank_t>{2});
  REQUIRE(warnings.size() == 1);
  CHECK(contains(warnings[0], {"rank 2 is taken as lost"}));
}

TEST_CASE("tcp: who cannot send to a stopped rank is not taken as lost with it") {
  if (test::rank != 0) return;
  std::vector<rank_t> lost;
  const std::string said = run_with_a_lost_rank(
      "stopped", 2, SIGSTOP,
      {.warn_after = 0.5,
       .act_after = 1,
       .then = comm::when_late::drop,
       .warn = [](const std::string&) {},
       .on_lost = [&](rank_t r) { lost.push_back(r); }},
      [](auto& comm) {
        values_type v(3);
        if (comm.rank() == 0) {
          CHECK(comm.receive(message::feedback, v, 1));
          CHECK_FALSE(comm.receive(message::feedback, v, 2));
        } else {
          comm.send(message::discriminator, values_type(std::size_t{1} << 23), 2);  // 32 MiB
          comm.send(message::feedback, v, 0);
        }
      });
  CHECK(said == "nothing thrown");
  CHECK(lost == std::vector<rank_t>{2});
}
