// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/reference/reference.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/dist/federated_average.hpp"
#include "gantry/dist/standalone.hpp"
#include "gantry/train/trainer.hpp"

#include "support/toy_gan.hpp"

namespace {

using namespace gantry;
using dist::epochs;
using dist::iterations;
using fed = dist::federated_average;
using backend_type = backend::reference<float>;
namespace fs = std::filesystem;

constexpr int batch = 4;

/// Noise with labels: worker w has `size` samples, of classes w and w + 1 in turn.
class labelled_noise : public toy::noise_source {
 public:
  labelled_noise(std::int64_t size, std::uint32_t worker)
      : noise_source(size, worker), worker_(worker) {}
  [[nodiscard]] std::array<std::int64_t, 256> label_counts() const {
    std::array<std::int64_t, 256> counts{};
    counts[worker_] = size() / 2;
    counts[worker_ + 1] = size() - size() / 2;
    return counts;
  }

 private:
  std::uint32_t worker_;
};
static_assert(CountedSource<labelled_noise>);

struct network_values {
  std::vector<float> params, buffers, average;
  bool operator==(const network_values&) const = default;
};
template <class State>
network_values read(State& s) {
  const auto copy = [](auto span) { return std::vector<float>(span.begin(), span.end()); };
  return {copy(s.values().params), copy(s.values().buffers), copy(s.averaged_values().params)};
}

struct outcome {
  std::map<std::string, network_values> server;
  std::map<int, network_values> generators, discriminators;  // of workers
  std::vector<round_report> reports;
  std::vector<float> images;
  traffic total;
  bool operator==(const outcome& o) const {
    return server == o.server && generators == o.generators && discriminators == o.discriminators;
  }
};

struct run_settings {
  int workers{2}, rounds{4}, threads{2};
  std::vector<std::int64_t> shards{};
  std::map<int, int> stops{};  ///< worker -> round
  bool sample{};
};

template <class T>
outcome run_fed(const fed::config& config, const run_settings& s) {
  outcome out;
  std::mutex guard;
  const common_config<T> common{.seed = 3, .batch = batch};
  comm::in_process_world world(s.workers + 1, std::make_shared<thread_pool>(s.threads));
  world.run([&](auto& comm) {
    backend_type b;
    if (comm.rank() == 0) {
      fed::server<T, backend_type> server(b, common, config, s.workers);
      server.begin(comm);
      for (int i = 0; i < s.rounds; ++i)
        out.reports.push_back(server.round(comm, static_cast<std::uint32_t>(i)));
      if (s.sample) {
        server.prepare_sampling(comm);
        const std::vector<float> z(2 * 5, 0.3f);
        out.images.resize(2 * 72);
        server.sample(z, out.images);
      }
      server.command(comm, order::stop);
      const std::lock_guard lock(guard);
      server.visit_networks(
          [&](const std::string& n, auto& state) { out.server[n] = read(state); });
      return;
    }
    const auto index = static_cast<std::uint32_t>(comm.rank() - 1);
    const labelled_noise source(s.shards.empty() ? 24 : s.shards[index], index);
    using worker_type = fed::worker<T, backend_type, labelled_noise>;
    worker_type::begin(comm, source);
    worker_type worker(b, common, config, source, index);
    const auto stop = s.stops.find(comm.rank());
    for (int i = 0;; ++i) {
      if (stop != s.stops.end() && i == stop->second) return comm.leave();
      if (worker.round(comm, static_cast<std::uint32_t>(i)) == order::stop) break;
    }
    const std::lock_guard lock(guard);
    out.generators[comm.rank()] = read(worker.gan().generator().state());
    out.discriminators[comm.rank()] = read(worker.gan().discriminator().state());
  });
  out.total = world.total();
  return out;
}

using adam_gan = toy::adam_gan;
using sgd_gan = toy::sgd_gan;

/// Largest difference of two networks' parameters, relative to the largest parameter's change.
double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return worst;
}

/// A run of the trainer in a folder of its own; the hash of its last checkpoint.
std::string train_hash(const fed::config& config, std::uint32_t iterations, const fs::path& folder,
                       const fs::path& resume = {}, std::vector<train::planned_stop> stops = {},
                       bool sample = false) {
  std::vector<labelled_noise> sources{{24, 0}, {16, 1}, {8, 2}};
  auto world = comm::in_process(4, 2);
  const std::vector<float> z(5, 0.3f);
  std::vector<float> x(72);
  train::run_options options{.iterations = iterations,
                             .checkpoints = folder,
                             .resume_from = resume,
                             .stops = std::move(stops)};
  if (sample) options.on_round = [&](const train::round_view& view) { view.sample(z, x); };
  return train::run<fed, backend_type>(world, common_config<adam_gan>{.seed = 5, .batch = batch},
                                       config, sources, options)
      .checkpoint_hash;
}

}  // namespace

TEST_CASE("one worker with one alternating update per round is the standalone GAN, bit for bit") {
  const common_config<adam_gan> common{.seed = 3, .batch = batch};
  backend_type b;
  dist::standalone::node<adam_gan, backend_type, toy::noise_source> node(b, common, {},
                                                                         toy::noise_source(24, 0));
  comm::in_process_world world(1, std::make_shared<thread_pool>(1));
  world.run([&](auto& comm) {
    for (std::uint32_t i = 0; i < 5; ++i) node.round(comm, i);
  });
  for (const bool moments : {false, true}) {
    const outcome one =
        run_fed<adam_gan>({.with = {.moments = moments}}, {.workers = 1, .rounds = 5});
    CHECK(one.server.at("generator") == read(node.generator().state()));
    CHECK(one.server.at("discriminator") == read(node.discriminator().state()));
    CHECK(one.reports.back().images == batch);
  }
}

TEST_CASE("local updates go on where the round before ended: K = 3 for 2 rounds is 6 updates") {
  const outcome threes = run_fed<adam_gan>({.local = iterations(3)}, {.workers = 1, .rounds = 2});
  const outcome ones = run_fed<adam_gan>({}, {.workers = 1, .rounds = 6});
  CHECK(threes.server.at("generator").params == ones.server.at("generator").params);
  CHECK(threes.server.at("discriminator") == ones.server.at("discriminator"));
  CHECK(threes.reports.back().generator_steps == 3);
  // 2 epochs of 24 samples are 12 batches of 4.
  const outcome two_epochs = run_fed<adam_gan>({.local = epochs(2)}, {.workers = 1, .rounds = 1});
  CHECK(two_epochs.reports[0].images == 48);
  CHECK(run_fed<adam_gan>({.local = iterations(3)}, {.workers = 1, .rounds = 2, .sample = true}) ==
        threes);
}

TEST_CASE_TEMPLATE("averaging after one update is averaging gradients with SGD, not with Adam", T,
                   sgd_gan, adam_gan) {
  const common_config<T> common{.seed = 3, .batch = batch};
  backend_type b;
  using node = dist::local_gan<T, backend_type, labelled_noise>;
  // A big batch on one node: the gradients of both workers, averaged, and one update.
  std::vector<std::unique_ptr<node>> nodes;
  std::vector<std::vector<float>> gradients;
  for (std::uint32_t w = 0; w < 2; ++w) {
    nodes.push_back(std::make_unique<node>(b, common, labelled_noise(24, w), w));
    nodes[w]->discriminator().state().initialise(b, common.seed, 1);
    nodes[w]->generate(0);
    nodes[w]->read(0);
    nodes[w]->feedback(0);
    nodes[w]->begin_generator();
    nodes[w]->learn_generator();
    const auto g = nodes[w]->generator().state().gradients();
    gradients.emplace_back(g.begin(), g.end());
  }
  dist::generator_player<T, backend_type> generator(b, common, 1);
  const std::vector<float> before = read(generator.state()).params;
  generator.begin_update();
  for (std::size_t i = 0; i < gradients[0].size(); ++i)
    generator.state().gradients()[i] = 0.5f * (gradients[0][i] + gradients[1][i]);
  generator.update();
  const std::vector<float> merged = read(generator.state()).params;
  const outcome averaged = run_fed<T>(
      {.updates = fed::update_order::simultaneous, .weights = dist::weight_rule::uniform},
      {.workers = 2, .rounds = 1});
  const double moved = distance(before, merged),
               apart = distance(averaged.server.at("generator").params, merged);
  CHECK(moved > 1e-6);
  if constexpr (std::is_same_v<T, sgd_gan>)
    CHECK(apart <= 1e-3 * moved);
  else
    CHECK(apart > 0.1 * moved);
}

TEST_CASE("networks that are not averaged stay on their workers") {
  using networks = fed::networks;
  const outcome g = run_fed<adam_gan>({.average = networks::generator}, {.sample = true});
  CHECK(g.server.count("discriminator") == 0);
  CHECK(g.discriminators.at(1).params != g.discriminators.at(2).params);
  const outcome d = run_fed<adam_gan>({.average = networks::discriminator}, {.sample = true});
  CHECK(d.generators.at(1).params != d.generators.at(2).params);
  // Samples come from the first worker's generator.
  CHECK(d.server.at("generator").params == d.generators.at(1).average);
  const outcome still = run_fed<adam_gan>({.with = {.statistics = false}}, {.sample = true});
  CHECK(still.generators.at(1).buffers != still.generators.at(2).buffers);
  for (const outcome* o : {&g, &d, &still})
    CHECK(std::ranges::all_of(o->images, [](float x) { return std::isfinite(x); }));
}

TEST_CASE("bytes on the wire and in memory are those that the plan names") {
  using D = adam_gan::discriminator_type;
  using G = adam_gan::generator_type;
  const common_config<adam_gan> common{.batch = batch};
  for (const auto average : {fed::networks::both, fed::networks::generator}) {
    for (const bool moments : {false, true}) {
      const fed::config config{.average = average,
                               .with = {.statistics = !moments, .moments = moments},
                               .sample = fed::sampling::random,
                               .fraction = 0.7};
      const std::size_t each = moments ? 3 * G::param_count : G::param_count + G::buffer_count;
      const std::size_t other = moments ? 3 * D::param_count : D::param_count + D::buffer_count;
      const std::size_t packet =
          sizeof(float) * (average == fed::networks::both ? each + other : each);
      const outcome out = run_fed<adam_gan>(config, {.workers = 3, .rounds = 3});
      const auto plan = fed::plan<adam_gan, backend_type, toy::noise_source>(common, config, 3);
      CHECK(plan.bytes_down == 2 * packet);
      CHECK(plan.bytes_up == 2 * packet);
      for (const round_report& r : out.reports) {
        CHECK(r.workers == 2);
        CHECK(r.bytes_down == plan.bytes_down);
        CHECK(r.bytes_up == plan.bytes_up);
      }
      CHECK(out.total.sent[message::model].bytes == 3 * 4 * packet);
      CHECK(out.total.sent == out.total.received);
      backend_type lead, work;
      const fed::server<adam_gan, backend_type> server(lead, common, config, 3);
      CHECK(lead.meter().bytes() == server.bytes(batch, config));
      const fed::worker<adam_gan, backend_type, toy::noise_source> worker(
          work, common, config, toy::noise_source(24, 0), 0);
      CHECK(work.meter().bytes() == worker.bytes(batch));
    }
  }
}

TEST_CASE(
    "runs repeat bit for bit, for any number of threads and every way to choose and to weigh") {
  using dist::weight_rule;
  const std::vector<fed::config> all{
      {.updates = fed::update_order::simultaneous},
      {.weights = weight_rule::kl_exp, .sample = fed::sampling::balanced, .fraction = 0.5},
      {.local = iterations(2), .weights = weight_rule::kl_linear, .weak_workers = 1},
      {.how = {.rule = dist::aggregation_rule::median}},
      {.local = iterations(2), .arrivals = fed::asynchronous{}},
  };
  std::vector<outcome> outs;
  for (const fed::config& config : all) {
    const run_settings settings{.workers = 3, .threads = 1, .shards = {8, 16, 24}};
    outs.push_back(run_fed<adam_gan>(config, settings));
    CHECK(outs.back() ==
          run_fed<adam_gan>(config, {.workers = 3, .threads = 4, .shards = {8, 16, 24}}));
    CHECK(std::isfinite(outs.back().server.at("generator").params[0]));
  }
  CHECK(outs[2].reports[0].images == (1 + 2 + 2) * batch);
  CHECK(outs[0].server != outs[3].server);
}

TEST_CASE("a worker that stops leaves the others training, and weights sum to 1 without it") {
  for (const bool asynchronous : {false, true}) {
    fed::config config;
    if (asynchronous)
      config.arrivals = fed::asynchronous{};
    else
      config.weights = dist::weight_rule::kl_exp;
    const run_settings settings{
        .workers = 3, .rounds = 8, .shards = {8, 16, 24}, .stops = {{2, 2}}};
    const outcome out = run_fed<adam_gan>(config, settings);
    REQUIRE(out.reports.size() == 8);
    CHECK(out.reports.back().workers == (asynchronous ? 1 : 2));
    CHECK(out.generators.size() == 2);
    CHECK(out == run_fed<adam_gan>(config, settings));
  }
  CHECK_THROWS_AS(run_fed<adam_gan>({}, {.workers = 2, .stops = {{1, 1}, {2, 2}}}), workers_lost);
}

TEST_CASE("an asynchronous round 0 without its first upload hands on to the others") {
  const outcome out = run_fed<adam_gan>({.arrivals = fed::asynchronous{.rates = {4, 1}}},
                                        {.workers = 2, .rounds = 3, .stops = {{1, 0}}});
  CHECK(out.reports.front().workers == 0);
  CHECK(out.reports.front().generator_steps == 0);
  CHECK(out.reports.back().workers == 1);
}

TEST_CASE("an asynchronous server that takes uploads as they are is one worker's training") {
  // With rates 1 and 4, worker 2 delivers four times as often.
  fed::asynchronous arrivals{.weight = {.alpha = 1}, .rates = {1, 4}};
  const outcome out = run_fed<adam_gan>({.arrivals = arrivals}, {.workers = 2, .rounds = 3});
  const outcome alone = run_fed<adam_gan>({.arrivals = fed::asynchronous{.weight = {.alpha = 1}}},
                                          {.workers = 1, .rounds = 3});
  // The first three uploads are all worker 2's; worker 1's first is due at 1, when 2 has its
  // fourth.
  CHECK(out.server != alone.server);
  CHECK(out.total.sent[message::model].messages == 2 + 3 + 3);
  CHECK(out.reports[2].images == batch);
  // One worker, merged whole, is federated averaging of one worker; its next result is under way.
  const outcome averaged = run_fed<adam_gan>({}, {.workers = 1, .rounds = 3});
  CHECK(alone.server == averaged.server);
}

TEST_CASE("an upload is merged with the weight of its staleness") {
  const outcome before = run_fed<adam_gan>({}, {.workers = 1, .rounds = 0}),
                whole = run_fed<adam_gan>({}, {.workers = 1, .rounds = 1}),
                quarter =
                    run_fed<adam_gan>({.arrivals = fed::asynchronous{.weight = {.alpha = 0.25}}},
                                      {.workers = 1, .rounds = 1});
  for (const char* name : {"generator", "discriminator"}) {
    const auto &a = before.server.at(name).params, &b = whole.server.at(name).params,
               &merged = quarter.server.at(name).params;
    for (std::size_t i = 0; i < a.size(); ++i)
      CHECK(merged[i] ==
            doctest::Approx(0.75 * static_cast<double>(a[i]) + 0.25 * static_cast<double>(b[i]))
                .epsilon(1e-6));
  }
}

TEST_CASE("a resumed run is the one that never stopped, also without a worker that had stopped") {
  const fs::path root =
      fs::temp_directory_path() / ("gantry-federated-" + std::to_string(::getpid()));
  fs::remove_all(root);
  std::vector<fed::config> all{
      {.local = epochs(1),
       .weights = dist::weight_rule::kl_exp,
       .sample = fed::sampling::balanced,
       .fraction = 0.6},
      {.average = fed::networks::discriminator, .with = {.moments = true}},
      {.local = iterations(2), .arrivals = fed::asynchronous{}},
  };
  for (std::size_t i = 0; i < all.size(); ++i) {
    CAPTURE(i);
    const fs::path folder = root / std::to_string(i);
    const std::vector<train::planned_stop> stops{{2, 1}};
    const std::string whole = train_hash(all[i], 6, folder / "whole", {}, stops);
    train_hash(all[i], 3, folder / "parts", {}, stops);
    // Sampling between rounds changes nothing.
    const std::string rest = train_hash(all[i], 6, folder / "parts",
                                        folder / "parts" / "network-snapshot-000003", {}, true);
    CHECK(rest == whole);
  }
  fs::remove_all(root);
}

TEST_CASE("settings that cannot work are refused in a sentence") {
  backend_type b;
  const common_config<adam_gan> common{.batch = batch};
  using server = fed::server<adam_gan, backend_type>;
  CHECK_THROWS_AS(server(b, common, {.local = dist::never}, 2), usage_error);
  CHECK_THROWS_AS(server(b, common, {.fraction = 0}, 2), usage_error);
  CHECK_THROWS_AS(server(b, common, {.weak_workers = 3}, 2), usage_error);
  CHECK_THROWS_AS(server(b, common, {.arrivals = fed::asynchronous{.rates = {1}}}, 2), usage_error);
  CHECK_THROWS_AS(
      server(b, common, {.weights = dist::weight_rule::kl_exp, .arrivals = fed::asynchronous{}}, 2),
      usage_error);
  CHECK_THROWS_AS(
      server(b, common, {.sample = fed::sampling::random, .arrivals = fed::asynchronous{}}, 2),
      usage_error);
}
