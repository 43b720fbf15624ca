// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Several GANs at once are the same GANs one after the other.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/dist/task_groups.hpp"

#include "support/toy_gan.hpp"

namespace {

using namespace gantry;
using dist::layerwise_overlap;
using dist::overlap_mode;
using cpu = backend::cpu;

using images = toy::adam_gan;
using vectors =
    gan<sequential<latent<3>, linear<8>, tanh_, linear<4>>,
        sequential<image<1, 1, 4>, linear<6>, leaky_relu, linear<1>>, loss::hinge, optim::sgd>;

std::vector<float> values(std::span<const float> s) { return {s.begin(), s.end()}; }

template <class T>
dist::task<T, toy::noise_source> make_task(const char* name, int workers, overlap_mode mode) {
  return {name,
          {.seed = 8, .batch = 4},
          {.overlap = mode, .steps = {dist::fixed_steps{.discriminator = 2}}},
          toy::noise_sources(workers, 20)};
}

/// Generators after `rounds` rounds, task by task, and the bytes that went down and up.
struct outcome {
  std::vector<std::vector<float>> generators;
  std::vector<std::uint64_t> bytes;
  traffic total;
};
template <class... Tasks>
outcome run(std::uint32_t rounds, const Tasks&... tasks) {
  outcome out;
  out.bytes.resize(sizeof...(Tasks));
  comm::in_process_world world(1 + (tasks.workers() + ...), std::make_shared<thread_pool>(2));
  dist::run_tasks<cpu>(
      world, rounds,
      [&](std::uint32_t done, auto& server, const auto& reports) {
        for (std::size_t i = 0; i < reports.size(); ++i)
          out.bytes[i] += reports[i].bytes_down + reports[i].bytes_up;
        if (done < rounds) return;
        server.visit_networks([&](const std::string&, auto& state) {
          out.generators.push_back(values(state.values().params));
        });
      },
      tasks...);
  out.total = world.total();
  return out;
}

}  // namespace

TEST_CASE("two types of GAN in one world are the two runs done separately, bit for bit") {
  const auto first = make_task<images>("images", 2, overlap_mode::ready);
  const auto second = make_task<vectors>("vectors", 3, overlap_mode::input_first);
  const outcome together = run(5, first, second);
  const outcome one = run(5, first), two = run(5, second);
  REQUIRE(together.generators.size() == 2);
  CHECK(together.generators[0] == one.generators[0]);
  CHECK(together.generators[1] == two.generators[0]);
  CHECK(together.bytes[0] == one.bytes[0]);
  CHECK(together.bytes[1] == two.bytes[0]);
  CHECK(together.total.sent[message::model].bytes ==
        one.total.sent[message::model].bytes + two.total.sent[message::model].bytes);
  CHECK(std::ranges::all_of(together.generators[1], [](float x) { return std::isfinite(x); }));
}

TEST_CASE("a task's networks have its name, and a world of the wrong size is refused") {
  const auto only = make_task<vectors>("vectors", 1, overlap_mode::blocking);
  cpu b;
  dist::task_group_server<cpu, decltype(make_task<vectors>("", 1, overlap_mode::ready))> server(
      b, only);
  std::vector<std::string> names;
  server.visit_networks([&](const std::string& name, auto&) { names.push_back(name); });
  CHECK(names == std::vector<std::string>{"vectors-generator"});
  auto world = comm::in_process(3, 1);
  CHECK_THROWS_AS(dist::run_tasks<cpu>(
                      world, 1, [](auto&&...) {}, only),
                  usage_error);
}

TEST_CASE("a view of ranks is a world of its own") {
  comm::in_process_world world(4, std::make_shared<thread_pool>(2));
  world.run([&](auto& comm) {
    using view = rank_view<std::remove_reference_t<decltype(comm)>>;
    static_assert(Communicator<view>);
    const auto own = std::array{static_cast<float>(comm.rank())};
    std::array<float, 1> got{};
    if (comm.rank() == 0) {
      view group(comm, 2, 2);
      CHECK(group.size() == 3);
      CHECK(group.receive(message::control, got, 2));
      CHECK(got[0] == 3);
      CHECK_THROWS_AS(group.send(message::control, own, 3), usage_error);
      CHECK_THROWS_AS(static_cast<void>(group.alive(-1)), usage_error);
    } else if (comm.rank() == 3) {
      view group(comm, 2, 2);
      CHECK(group.rank() == 2);
      group.send(message::control, own, 0);
    }
  });
}
