// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The invariants of MD-GAN, bit for bit where that is what holds.
#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/backend/reference/reference.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/dist/md_gan.hpp"
#include "gantry/dist/standalone.hpp"

#include "support/toy_gan.hpp"

namespace {

using namespace gantry;
using dist::md_gan;
using cpu = backend::cpu;
using backend::reference;

constexpr int batch = 6;
constexpr std::size_t image_size = 6 * 6 * 2;

template <class T>
std::vector<float> values(std::span<const T> s) {
  return {s.begin(), s.end()};
}

/// What is left of a run: parameters, running statistics and averages of the generator, parameters
/// per worker.
struct outcome {
  std::vector<float> generator, buffers, average;
  std::map<int, std::vector<float>> discriminators, moments, statistics;
  std::vector<round_report> reports;
  traffic total;
  std::size_t server_peak{};  ///< bytes
  bool operator==(const outcome& o) const {
    return generator == o.generator && buffers == o.buffers && average == o.average &&
           discriminators == o.discriminators;
  }
};

struct run_settings {
  int workers{1};
  int rounds{5};
  int threads{2};
  std::int64_t shard{60};
  std::map<int, int> stops{};  ///< worker -> round
};

template <class G>
void collect(outcome& out, G& generator) {
  const auto v = generator.state().values();
  out.generator = values<float>(v.params);
  out.buffers = values<float>(v.buffers);
  out.average = values<float>(generator.state().averaged_values().params);
}

template <class T, class B = cpu>
outcome run_md_gan(const md_gan::config& config, const run_settings& s) {
  outcome out;
  std::mutex guard;
  const common_config<T> common{.seed = 3, .batch = batch};
  comm::in_process_world world(s.workers + 1, std::make_shared<thread_pool>(s.threads));
  const auto sources = toy::noise_sources(s.workers, s.shard);
  world.run([&](auto& comm) {
    B b;
    if (comm.rank() == 0) {
      typename md_gan::server<T, B> server(b, common, config, s.workers);
      server.begin(comm);
      for (int i = 0; i < s.rounds; ++i)
        out.reports.push_back(server.round(comm, static_cast<std::uint32_t>(i)));
      server.command(comm, order::stop);
      const std::lock_guard lock(guard);
      collect(out, server.generator());
      if constexpr (requires { b.meter(); }) out.server_peak = b.meter().peak();
      return;
    }
    const auto index = static_cast<std::uint32_t>(comm.rank() - 1);
    using worker_type = typename md_gan::worker<T, B, toy::noise_source>;
    worker_type::begin(comm, sources[index]);
    worker_type worker(b, common, config, sources[index], index);
    const auto stop = s.stops.find(comm.rank());
    for (std::uint32_t i = 0;; ++i) {
      if (stop != s.stops.end() && static_cast<int>(i) == stop->second) return comm.leave();
      if (worker.round(comm, i) == order::stop) break;
    }
    const std::lock_guard lock(guard);
    auto& state = worker.discriminator().state();
    out.discriminators[comm.rank()] = values<float>(state.values().params);
    out.statistics[comm.rank()] = values<float>(state.values().buffers);
    out.moments[comm.rank()] = values<float>(state.optimizer_state());
  });
  out.total = world.total();
  return out;
}

template <class T, class B = cpu>
outcome run_standalone(const dist::standalone::config& config, int rounds) {
  outcome out;
  B b;
  const common_config<T> common{.seed = 3, .batch = batch};
  dist::standalone::node<T, B, toy::noise_source> node(b, common, config, toy::noise_source(60, 0));
  int no_communicator = 0;
  for (int i = 0; i < rounds; ++i) {
    (void)no_communicator;
    comm::in_process_world world(1, std::make_shared<thread_pool>(1));
    world.run([&](auto& comm) {
      out.reports.push_back(node.round(comm, static_cast<std::uint32_t>(i)));
    });
  }
  collect(out, node.generator());
  out.discriminators[1] = values<float>(node.discriminator().state().values().params);
  return out;
}

}  // namespace

TEST_CASE_TEMPLATE("md_gan with one worker is the standalone GAN, bit for bit", T, toy::adam_gan,
                   toy::sgd_gan) {
  for (const int k : {1, 2}) {
    for (const int local_steps : {1, 3}) {
      CAPTURE(k);
      CAPTURE(local_steps);
      const outcome distributed =
          run_md_gan<T>({.k = k, .local_steps = local_steps}, {.workers = 1});
      const outcome alone = run_standalone<T>({.fakes = k, .local_steps = local_steps}, 5);
      CHECK(distributed == alone);
      CHECK(distributed.reports.back().generator_loss ==
            doctest::Approx(alone.reports.back().generator_loss).epsilon(1e-6));
      CHECK(std::ranges::all_of(distributed.generator, [](float x) { return std::isfinite(x); }));
    }
  }
}

TEST_CASE("md_gan is a pure function of its seed and settings, for any number of threads") {
  const md_gan::config config{.k = 2, .swap_every = dist::iterations(2)};
  const outcome once = run_md_gan<toy::adam_gan>(config, {.workers = 4, .threads = 1});
  CHECK(once == run_md_gan<toy::adam_gan>(config, {.workers = 4, .threads = 2}));
  CHECK(once == run_md_gan<toy::adam_gan>(config, {.workers = 4, .threads = 5}));
}

TEST_CASE(
    "the generator's gradient from feedbacks is end-to-end back-propagation through every "
    "discriminator") {
  using T = toy::sgd_gan;
  using B = reference<double>;
  for (const int workers : {1, 2, 4}) {
    for (const int k : {1, 2, workers}) {
      CAPTURE(workers);
      CAPTURE(k);
      B b;
      const common_config<T> common{.seed = 9, .batch = batch};
      dist::generator_player<T, B> generator(b, common, k);
      std::vector<std::unique_ptr<dist::discriminator_player<T, B>>> players;
      for (int n = 0; n < workers; ++n)
        players.push_back(std::make_unique<dist::discriminator_player<T, B>>(
            b, common, static_cast<std::uint32_t>(n)));
      for (int j = 0; j < k; ++j) generator.generate(9, 0, static_cast<std::uint32_t>(j));

      // N backward passes, one per worker, each scaled by 1 / N.
      generator.begin_update();
      std::vector<std::vector<double>> sums(static_cast<std::size_t>(k),
                                            std::vector<double>(batch * image_size));
      for (int n = 1; n <= workers; ++n) {
        const auto j = static_cast<std::size_t>(md_gan::assign(n, k).for_feedback);
        auto seed = generator.image_gradient(j);
        players[static_cast<std::size_t>(n - 1)]->feedback(generator.images(j), generator.images(j),
                                                           seed, 0);
        for (std::size_t i = 0; i < sums[j].size(); ++i) sums[j][i] += seed.data[i] /= workers;
        generator.learn(j);
      }
      const std::vector<double> per_worker(generator.state().gradients().begin(),
                                           generator.state().gradients().end());

      // One backward per distinct batch on the summed feedback.
      generator.begin_update();
      for (int n = 1; n <= std::min(k, workers); ++n) {
        const auto j = static_cast<std::size_t>(md_gan::assign(n, k).for_feedback);
        std::ranges::copy(sums[j], generator.image_gradient(j).data);
        generator.learn(j);
      }
      const auto merged = generator.state().gradients();
      double worst = 0, largest = 0;
      for (std::size_t i = 0; i < per_worker.size(); ++i) {
        worst = std::max(worst, std::abs(per_worker[i] - merged[i]));
        largest = std::max(largest, std::abs(per_worker[i]));
      }
      CHECK(largest > 1e-6);
      CHECK(worst <= 1e-12 * largest);
    }
  }
}

TEST_CASE("byte counters equal the formulas of the paper") {
  using T = toy::adam_gan;
  const std::size_t b_d = batch * image_size * sizeof(float);
  const std::size_t theta = T::discriminator_type::param_count * sizeof(float);
  const std::size_t statistics = T::discriminator_type::buffer_count * sizeof(float);
  for (const int workers : {1, 2, 4, 5}) {
    for (const bool moments_travel : {false, true}) {
      for (const bool statistics_travel : {false, true}) {
        const int rounds = 6, every = 2;
        const outcome out = run_md_gan<T>({.k = 2,
                                           .swap_every = dist::iterations(every),
                                           .moments_travel = moments_travel,
                                           .statistics_travel = statistics_travel},
                                          {.workers = workers, .rounds = rounds});
        const auto n = static_cast<std::size_t>(workers), r = static_cast<std::size_t>(rounds);
        const std::size_t packet =
            theta * (moments_travel ? 3 : 1) + (statistics_travel ? statistics : 0);
        const std::size_t swaps = workers > 1 ? r / every : 0;
        CHECK(out.total.sent[message::batch].bytes == 2 * b_d * n * r);
        CHECK(out.total.sent[message::feedback].bytes == b_d * n * r);
        CHECK(out.total.sent[message::discriminator].bytes == packet * n * swaps);
        CHECK(out.total.sent == out.total.received);
        CHECK(out.total.sent[message::model].bytes == 0);
        std::uint64_t down = 0, up = 0, swapped = 0;
        for (const round_report& report : out.reports) {
          down += report.bytes_down;
          up += report.bytes_up;
          swapped += report.bytes_swap;
        }
        CHECK(down == 2 * b_d * n * r);
        CHECK(up == b_d * n * r);
        CHECK(swapped == packet * n * swaps);
      }
    }
  }
}

TEST_CASE("the swap interval follows the paper: m E / b iterations") {
  CHECK(dist::epochs(1).iterations(5000, 10) == 500);
  CHECK(dist::epochs(0.5).iterations(100, 10) == 5);
  CHECK(dist::epochs(1).iterations(3, 10) == 1);
  CHECK(dist::iterations(7).iterations(5000, 10) == 7);
  CHECK(dist::never.iterations(5000, 10) == 0);
  // 60 samples, batch 6: every 10 rounds, so 25 rounds swap twice.
  const outcome out =
      run_md_gan<toy::adam_gan>({.swap_every = dist::epochs(1)}, {.workers = 3, .rounds = 25});
  CHECK(out.total.sent[message::discriminator].messages == 2 * 3);
}

TEST_CASE(
    "swap rules are permutations; a derangement leaves nobody its own; N ring shifts are the "
    "identity") {
  for (std::uint32_t n = 2; n <= 9; ++n) {
    std::set<std::vector<std::uint32_t>> seen;
    for (std::uint32_t step = 0; step < 200; ++step) {
      const stream_id id{.seed = 4, .step = step, .use = purpose::swap};
      for (const auto rule :
           {dist::swap_rule::derangement, dist::swap_rule::pairs, dist::swap_rule::ring}) {
        const auto target = dist::swap_targets(rule, n, id);
        auto sorted = target;
        std::ranges::sort(sorted);
        for (std::uint32_t i = 0; i < n; ++i) REQUIRE(sorted[i] == i);
        int kept = 0;
        for (std::uint32_t i = 0; i < n; ++i) kept += target[i] == i;
        CHECK(kept == (rule == dist::swap_rule::pairs ? static_cast<int>(n % 2) : 0));
        if (rule == dist::swap_rule::pairs)
          for (std::uint32_t i = 0; i < n; ++i) CHECK(target[target[i]] == i);
        if (rule == dist::swap_rule::derangement) seen.insert(target);
      }
    }
    CHECK(seen.size() == (n == 2 ? 1u : n == 3 ? 2u : n == 4 ? 9u : seen.size()));
    auto holder = dist::swap_targets(dist::swap_rule::ring, n, {});
    std::vector<std::uint32_t> position(n);
    std::iota(position.begin(), position.end(), 0u);
    for (std::uint32_t shift = 0; shift < n; ++shift)
      for (auto& p : position) {
        if (shift > 0) continue;
        for (std::uint32_t times = 0; times < n; ++times) p = holder[p];
      }
    for (std::uint32_t i = 0; i < n; ++i) CHECK(position[i] == i);
  }
  CHECK(dist::swap_targets(dist::swap_rule::derangement, 1, {}) == std::vector<std::uint32_t>{0});
}

TEST_CASE(
    "a swap moves discriminators without changing them, and only what should travel travels") {
  using T = toy::adam_gan;
  for (const bool moments_travel : {false, true}) {
    for (const bool statistics_travel : {false, true}) {
      const md_gan::config still{.swap_every = dist::never};
      const md_gan::config swapping{.swap_every = dist::iterations(3),
                                    .swap = dist::swap_rule::ring,
                                    .moments_travel = moments_travel,
                                    .statistics_travel = statistics_travel};
      // Three rounds: the swap is the very last thing that happens.
      const outcome before = run_md_gan<T>(still, {.workers = 4, .rounds = 3});
      const outcome after = run_md_gan<T>(swapping, {.workers = 4, .rounds = 3});
      CHECK(before.generator == after.generator);
      for (int n = 1; n <= 4; ++n) {
        const int next = n % 4 + 1;
        CHECK(after.discriminators.at(next) == before.discriminators.at(n));
        CHECK(after.moments.at(next) == before.moments.at(moments_travel ? n : next));
        CHECK(after.statistics.at(next) == before.statistics.at(statistics_travel ? n : next));
      }
    }
  }
}

TEST_CASE("a worker that stops leaves the others training") {
  using T = toy::adam_gan;
  const md_gan::config config{.k = 2, .swap_every = dist::iterations(2)};
  const outcome out = run_md_gan<T>(config, {.workers = 3, .rounds = 8, .stops = {{2, 3}}});
  REQUIRE(out.reports.size() == 8);
  CHECK(out.reports[2].workers == 3);
  for (std::size_t i = 3; i < 8; ++i) CHECK(out.reports[i].workers == 2);
  CHECK(out.discriminators.size() == 2);
  CHECK(out.discriminators.count(2) == 0);
  CHECK(std::ranges::all_of(out.generator, [](float x) { return std::isfinite(x); }));
  CHECK(out == run_md_gan<T>(config, {.workers = 3, .rounds = 8, .threads = 1, .stops = {{2, 3}}}));
}

TEST_CASE("when all workers have stopped the server says so") {
  const run_settings settings{.workers = 2, .rounds = 8, .stops = {{1, 2}, {2, 3}}};
  CHECK_THROWS_AS(run_md_gan<toy::adam_gan>({}, settings), workers_lost);
}

TEST_CASE("planned memory is what a server and a worker allocate") {
  using T = toy::adam_gan;
  const common_config<T> common{.batch = batch};
  for (const int k : {1, 3}) {
    const md_gan::config config{.k = k, .moments_travel = true};
    cpu b;
    const md_gan::server<T, cpu> server(b, common, config, 4);
    CHECK(b.meter().bytes() == md_gan::server<T, cpu>::bytes(batch, config));
  }
  cpu b;
  const md_gan::worker<T, cpu, toy::noise_source> worker(b, common, {}, toy::noise_source(60, 0),
                                                         0);
  CHECK(b.meter().bytes() == md_gan::worker<T, cpu, toy::noise_source>::bytes(batch));
  cpu alone;
  dist::standalone::node<T, cpu, toy::noise_source> node(alone, common, {.fakes = 2},
                                                         toy::noise_source(60, 0));
  CHECK(alone.meter().bytes() ==
        dist::standalone::node<T, cpu, toy::noise_source>::bytes(batch, {.fakes = 2}));
}

TEST_CASE("the server needs no more memory for more workers that share its batches") {
  using T = toy::sgd_gan;
  for (const int k : {1, 2}) {
    const md_gan::config config{.k = k};
    std::set<std::size_t> planned, measured;
    for (const int workers : {2, 8, 32}) {
      const common_config<T> common{.batch = batch};
      planned.insert(md_gan::plan<T, cpu, toy::noise_source>(common, config, workers).lead_bytes);
      measured.insert(run_md_gan<T>(config, {.workers = workers, .rounds = 2}).server_peak);
    }
    CHECK(planned.size() == 1);
    CHECK(measured == std::set{md_gan::server<T, cpu>::bytes(batch, config)});
  }
}

TEST_CASE("a training step allocates nothing from its backend") {
  using T = toy::adam_gan;
  cpu b;
  dist::standalone::node<T, cpu, toy::noise_source> node(b, {.batch = batch}, {},
                                                         toy::noise_source(60, 0));
  const auto before = b.meter().allocations();
  comm::in_process_world world(1, std::make_shared<thread_pool>(1));
  world.run([&](auto& comm) {
    for (std::uint32_t i = 0; i < 3; ++i) node.round(comm, i);
  });
  CHECK(b.meter().allocations() == before);
}

TEST_CASE("settings that cannot work are refused in a sentence") {
  cpu b;
  const common_config<toy::adam_gan> common{.batch = batch};
  using server = md_gan::server<toy::adam_gan, cpu>;
  CHECK_THROWS_WITH_AS(server(b, common, {.k = 0}, 2),
                       doctest::Contains("k, the number of generated batches"), usage_error);
  CHECK_THROWS_AS(server(b, common, {.local_steps = 0}, 2), usage_error);
  CHECK_THROWS_AS(server(b, {.batch = 0}, {}, 2), usage_error);
}
