// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <type_traits>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/reference/reference.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/dist/averaged_discriminator.hpp"
#include "gantry/dist/standalone.hpp"
#include "gantry/train/trainer.hpp"

#include "support/toy_gan.hpp"

namespace {

using namespace gantry;
using ren = dist::averaged_discriminator;
using dist::scheduling_policy;
using backend_type = backend::reference<float>;
using T = toy::adam_gan;
namespace fs = std::filesystem;

constexpr int batch = 4;
constexpr ren::schedule serial = ren::schedule::serial, parallel = ren::schedule::parallel;

struct outcome {
  std::vector<std::vector<float>> generators, discriminators;  // of the server, after each round
  std::map<int, std::vector<float>> locals;
  std::vector<round_report> reports;
  traffic total;
  bool operator==(const outcome& o) const {
    return generators == o.generators && discriminators == o.discriminators && locals == o.locals;
  }
};

struct run_settings {
  int workers{2}, rounds{4}, threads{2};
  std::uint32_t data{0};  ///< another number: other samples on every worker
  std::map<int, int> stops{};
};

template <class State>
std::vector<float> params(const State& s) {
  return {s.values().params.begin(), s.values().params.end()};
}

outcome run_ren(const ren::config& config, const run_settings& s) {
  outcome out;
  std::mutex guard;
  const common_config<T> common{.seed = 3, .batch = batch};
  comm::in_process_world world(s.workers + 1, std::make_shared<thread_pool>(s.threads));
  world.run([&](auto& comm) {
    backend_type b;
    if (comm.rank() == 0) {
      ren::server<T, backend_type> server(b, common, config, s.workers);
      server.begin(comm);
      for (int i = 0; i < s.rounds; ++i) {
        out.reports.push_back(server.round(comm, static_cast<std::uint32_t>(i)));
        out.generators.push_back(params(server.generator().state()));
        out.discriminators.push_back(params(server.discriminator().state()));
      }
      return server.command(comm, order::stop);
    }
    const auto index = static_cast<std::uint32_t>(comm.rank() - 1);
    const toy::noise_source source(12 * comm.rank(), index + s.data);
    using worker_type = ren::worker<T, backend_type, toy::noise_source>;
    worker_type::begin(comm, source);
    worker_type worker(b, common, config, source, index);
    const auto stop = s.stops.find(comm.rank());
    for (int i = 0;; ++i) {
      if (stop != s.stops.end() && i == stop->second) return comm.leave();
      if (worker.round(comm, static_cast<std::uint32_t>(i)) == order::stop) break;
    }
    const std::lock_guard lock(guard);
    out.locals[comm.rank()] = params(worker.discriminator().state());
  });
  out.total = world.total();
  return out;
}

/// A communicator that shows when its rank has charged its compute.
template <Communicator C>
struct signalling {
  C* comm;
  std::atomic<int>* charged;
  void charge(double) { ++*charged; }
  [[nodiscard]] rank_t rank() const noexcept { return comm->rank(); }
  [[nodiscard]] rank_t size() const noexcept { return comm->size(); }
  void send(message kind, std::span<const float> data, rank_t to) { comm->send(kind, data, to); }
  bool receive(message kind, std::span<float> out, rank_t from) {
    return comm->receive(kind, out, from);
  }
  bool exchange(message kind, std::span<const float> out, rank_t to, std::span<float> in,
                rank_t from) {
    return comm->exchange(kind, out, to, in, from);
  }
  void barrier() { comm->barrier(); }
  [[nodiscard]] bool alive(rank_t r) const { return comm->alive(r); }
  [[nodiscard]] const traffic& statistics() const { return comm->statistics(); }
  void leave() noexcept { comm->leave(); }
};

/// Gives no batch before the server has trained its generator in the same round; gives up after
/// 20 seconds, so that a server that waits for the workers first is found out.
class waiting_source {
 public:
  explicit waiting_source(std::atomic<int>* server_rounds) : server_rounds_(server_rounds) {}
  void read(std::uint32_t step, std::span<float> out, int) {
    for (int i = 0; *server_rounds_ <= static_cast<int>(step) && i < 20000; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    overlapped = overlapped && *server_rounds_ > static_cast<int>(step);
    std::ranges::fill(out, 0.25f);
  }
  [[nodiscard]] std::int64_t size() const { return 12; }
  static inline std::atomic<bool> overlapped = true;

 private:
  std::atomic<int>* server_rounds_;
};

std::string train_hash(const ren::config& config, std::uint32_t iterations, const fs::path& folder,
                       const fs::path& resume = {}) {
  auto world = comm::in_process(4, 2);
  train::run_options options{
      .iterations = iterations, .checkpoints = folder, .resume_from = resume};
  return train::run<ren, backend_type>(world, common_config<T>{.seed = 5, .batch = batch}, config,
                                       toy::noise_sources(3, 12), options)
      .checkpoint_hash;
}

}  // namespace

TEST_CASE(
    "one worker, serial, one update each: the standalone GAN with fakes of its own for each "
    "player, bit for bit") {
  const common_config<T> common{.seed = 3, .batch = batch};
  backend_type b;
  dist::standalone::node<T, backend_type, toy::noise_source> node(b, common, {.fakes = 2},
                                                                  toy::noise_source(12, 0));
  comm::in_process_world world(1, std::make_shared<thread_pool>(1));
  world.run([&](auto& comm) {
    for (std::uint32_t i = 0; i < 4; ++i) node.round(comm, i);
  });
  const outcome one = run_ren({}, {.workers = 1});
  CHECK(one.generators.back() == params(node.generator().state()));
  CHECK(one.discriminators.back() == params(node.discriminator().state()));
}

TEST_CASE("parallel without generator updates is serial without generator updates") {
  const outcome a = run_ren({.order_of_work = serial, .server_updates = 0}, {});
  const outcome b = run_ren({.order_of_work = parallel, .server_updates = 0}, {});
  CHECK(a == b);
  CHECK(a.generators.front() == a.generators.back());
  CHECK(a.discriminators.front() != a.discriminators.back());
}

TEST_CASE("the parallel generator learns from a discriminator that is exactly one round old") {
  const auto differs = [](ren::schedule s, std::size_t round) {
    const ren::config config{.order_of_work = s, .local_updates = 2, .server_updates = 2};
    return run_ren(config, {}).generators[round] != run_ren(config, {.data = 7}).generators[round];
  };
  // The workers' samples reach the generator through the average of the same round, or of the one
  // before.
  CHECK(differs(serial, 0));
  CHECK_FALSE(differs(parallel, 0));
  CHECK(differs(parallel, 1));
}

TEST_CASE("in a parallel round the server trains while the workers do") {
  const common_config<T> common{.seed = 3, .batch = batch};
  const ren::config config{.order_of_work = parallel};
  std::atomic<int> server_rounds = 0, worker_rounds = 0;
  comm::in_process_world world(2, std::make_shared<thread_pool>(2));
  world.run([&](auto& plain) {
    backend_type b;
    const bool leads = plain.rank() == 0;
    signalling<std::remove_reference_t<decltype(plain)>> comm{
        &plain, leads ? &server_rounds : &worker_rounds};
    if (leads) {
      ren::server<T, backend_type> server(b, common, config, 1);
      server.begin(comm);
      for (std::uint32_t i = 0; i < 3; ++i) server.round(comm, i);
      return server.command(comm, order::stop);
    }
    const waiting_source source(&server_rounds);
    using worker_type = ren::worker<T, backend_type, waiting_source>;
    worker_type::begin(comm, source);
    worker_type worker(b, common, config, source, 0);
    for (std::uint32_t i = 0; worker.round(comm, i) != order::stop;) ++i;
  });
  CHECK(waiting_source::overlapped);
  CHECK(worker_rounds == 3);
}

TEST_CASE("the average weighs by the sizes of shards") {
  // The updates of a round start from the same discriminator, so one round shows the average.
  for (const bool by_size : {true, false}) {
    const outcome out =
        run_ren({.server_updates = 0, .by_size = by_size}, {.workers = 2, .rounds = 1});
    const double second = by_size ? 24.0 / 36.0 : 0.5;
    for (std::size_t i = 0; i < out.discriminators[0].size(); ++i)
      CHECK(out.discriminators[0][i] ==
            doctest::Approx((1 - second) * static_cast<double>(out.locals.at(1)[i]) +
                            second * static_cast<double>(out.locals.at(2)[i]))
                .epsilon(1e-6));
  }
}

TEST_CASE("bytes on the wire and in memory are those that the plan names") {
  const std::size_t phi = sizeof(float) * T::discriminator_type::param_count,
                    theta = sizeof(float) * T::generator_type::param_count;
  const common_config<T> common{.batch = batch};
  for (const auto policy : {scheduling_policy::all, scheduling_policy::round_robin}) {
    const ren::config config{.statistics_travel = false,
                             .scheduling = {.policy = policy, .fraction = 0.6}};
    const std::size_t chosen = policy == scheduling_policy::all ? 3 : 2;
    const outcome out = run_ren(config, {.workers = 3, .rounds = 3});
    const auto plan = ren::plan<T, backend_type, toy::noise_source>(common, config, 3);
    CHECK(plan.bytes_down == chosen * (phi + theta));
    CHECK(plan.bytes_up == chosen * phi);
    for (const round_report& r : out.reports) {
      CHECK(r.workers == static_cast<int>(chosen));
      CHECK(r.bytes_down == plan.bytes_down);
      CHECK(r.bytes_up == plan.bytes_up);
    }
    CHECK(out.total.sent[message::model].bytes == 3 * chosen * (2 * phi + theta));
    CHECK(out.total.sent == out.total.received);
    backend_type lead, work;
    const ren::server<T, backend_type> server(lead, common, config, 3);
    CHECK(lead.meter().bytes() == server.bytes(batch));
    const ren::worker<T, backend_type, toy::noise_source> worker(work, common, config,
                                                                 toy::noise_source(12, 0), 0);
    CHECK(work.meter().bytes() == worker.bytes(batch));
  }
}

TEST_CASE("runs repeat bit for bit, for any number of threads") {
  for (const auto policy : {scheduling_policy::random, scheduling_policy::proportional_fair}) {
    const ren::config config{.order_of_work = parallel,
                             .server_updates = 2,
                             .scheduling = {.policy = policy, .fraction = 0.5},
                             .how = {.rule = dist::aggregation_rule::median}};
    const outcome once = run_ren(config, {.workers = 3, .threads = 1});
    CHECK(once == run_ren(config, {.workers = 3, .threads = 4}));
    CHECK(std::isfinite(once.generators.back()[0]));
    CHECK(once.reports[0].workers == 2);
  }
}

TEST_CASE("a worker that stops leaves the others training") {
  for (const auto s : {serial, parallel}) {
    const run_settings settings{.workers = 3, .rounds = 6, .stops = {{2, 2}}};
    const outcome out = run_ren({.order_of_work = s}, settings);
    REQUIRE(out.reports.size() == 6);
    CHECK(out.reports[1].workers == 3);
    CHECK(out.reports[2].workers == 2);
    CHECK(out.locals.count(2) == 0);
    CHECK(out == run_ren({.order_of_work = s}, settings));
  }
  CHECK_THROWS_AS(run_ren({}, {.workers = 2, .stops = {{1, 1}, {2, 2}}}), workers_lost);
}

TEST_CASE("a resumed run is the one that never stopped") {
  const fs::path root = fs::temp_directory_path() / ("gantry-ren-" + std::to_string(::getpid()));
  fs::remove_all(root);
  const ren::config config{
      .order_of_work = parallel,
      .local_updates = 2,
      .scheduling = {.policy = scheduling_policy::proportional_fair, .fraction = 0.6}};
  const std::string whole = train_hash(config, 6, root / "whole");
  train_hash(config, 3, root / "parts");
  CHECK(train_hash(config, 6, root / "parts", root / "parts" / "network-snapshot-000003") == whole);
  fs::remove_all(root);
}

TEST_CASE("settings that cannot work are refused in a sentence") {
  backend_type b;
  const common_config<T> common{.batch = batch};
  using server = ren::server<T, backend_type>;
  CHECK_THROWS_AS(server(b, common, {.local_updates = 0}, 2), usage_error);
  CHECK_THROWS_AS(server(b, common, {.server_updates = -1}, 2), usage_error);
  CHECK_THROWS_AS(server(b, common, {.scheduling = {.fraction = 2}}, 2), usage_error);
}
