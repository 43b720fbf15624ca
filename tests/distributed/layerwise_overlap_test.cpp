// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The invariants of layerwise_overlap: how networks travel changes no bit, and what does.
#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/concepts/rank_view.hpp"
#include "gantry/dist/layerwise_overlap.hpp"
#include "gantry/dist/standalone.hpp"

#include "support/toy_gan.hpp"

namespace {

using namespace gantry;
using dist::balanced_steps;
using dist::fixed_steps;
using dist::layerwise_overlap;
using dist::overlap_mode;
using dist::peer_rule;
using cpu = backend::cpu;
using topology = toy::adam_gan;
using config = layerwise_overlap::config;
using server_type = layerwise_overlap::server<topology, cpu>;
using worker_type = layerwise_overlap::worker<topology, cpu, toy::noise_source>;

constexpr int batch = 6;
constexpr std::size_t theta = topology::generator_type::param_count,
                      theta_statistics = topology::generator_type::buffer_count,
                      phi = topology::discriminator_type::param_count,
                      phi_statistics = topology::discriminator_type::buffer_count;
constexpr auto all_modes = {overlap_mode::blocking, overlap_mode::ready, overlap_mode::input_first};

std::vector<float> values(std::span<const float> s) { return {s.begin(), s.end()}; }

struct outcome {
  std::vector<float> generator, statistics, average, moments, mean;
  std::map<int, std::vector<float>> discriminators;
  std::vector<round_report> reports;
  traffic total;
  std::map<int, double> flops;
  bool operator==(const outcome& o) const {
    return generator == o.generator && statistics == o.statistics && average == o.average &&
           moments == o.moments && discriminators == o.discriminators;
  }
};

/// Adds up what a rank charges for its compute.
template <class C>
struct metered : rank_view<C> {
  explicit metered(C& whole) : rank_view<C>(whole, 1, whole.size() - 1) {}
  void charge(double flops) { total += flops; }
  double total{};
};

struct run_settings {
  int workers{3};
  int rounds{4};
  int threads{2};
  std::map<int, int> stops{};  ///< worker -> round
  std::map<int, std::int64_t> shards{};
};

outcome run(const config& settings, const run_settings& s = {}) {
  outcome out;
  std::mutex guard;
  const common_config<topology> common{.seed = 3, .batch = batch};
  comm::in_process_world world(s.workers + 1, std::make_shared<thread_pool>(s.threads));
  world.run([&]<class C>(C& whole) {
    metered<C> comm(whole);
    cpu b;
    if (comm.rank() == 0) {
      server_type server(b, common, settings, s.workers);
      server.begin(comm);
      for (int i = 0; i < s.rounds; ++i)
        out.reports.push_back(server.round(comm, static_cast<std::uint32_t>(i)));
      server.command(comm, order::stop);
      const std::lock_guard lock(guard);
      const auto& state = server.generator().state();
      out.generator = values(state.values().params);
      out.statistics = values(state.values().buffers);
      out.average = values(state.averaged_values().params);
      out.moments = values(state.optimizer_state());
      out.mean = values(server.discriminator().params);
      out.flops[0] = comm.total;
      return;
    }
    const int rank = comm.rank();
    const auto size = s.shards.find(rank);
    const toy::noise_source source(size == s.shards.end() ? 60 : size->second,
                                   static_cast<std::uint32_t>(rank - 1));
    worker_type::begin(comm, source);
    worker_type worker(b, common, settings, source, static_cast<std::uint32_t>(rank - 1));
    const auto stop = s.stops.find(rank);
    for (std::uint32_t i = 0;; ++i) {
      if (stop != s.stops.end() && static_cast<int>(i) == stop->second) return comm.leave();
      if (worker.round(comm, i) == order::stop) break;
    }
    const std::lock_guard lock(guard);
    out.flops[rank] = comm.total;
    out.discriminators[rank] = values(worker.discriminator().state().values().params);
  });
  out.total = world.total();
  return out;
}

/// Notes what each message of a network that arrives was said to carry.
template <class C>
struct noting : rank_view<C> {
  explicit noting(C& whole) : rank_view<C>(whole, 1, whole.size() - 1) {}
  void expect_part(const network_part& next) { part = next; }
  [[nodiscard]] bool receive(message kind, std::span<float> out, rank_t from) {
    CHECK((kind == message::control) == part.network.empty());
    if (kind == message::model)
      said.push_back(std::string(part.network) + " " + std::to_string(part.layer));
    return rank_view<C>::receive(kind, out, from);
  }
  network_part part;
  std::vector<std::string> said;
};

/// As noted for a whole network.
template <class Net>
std::vector<std::string> parts_of(const std::string& name, const config& settings) {
  const auto slices = dist::slices_of<Net>(settings);
  std::vector<std::string> parts;
  for (std::size_t s = slices.size(); s-- > 0;)
    parts.push_back(name + " " + std::to_string(slices[s].layer));
  return parts;
}

config steps(int discriminator, int generator, overlap_mode mode = overlap_mode::ready) {
  return {.overlap = mode,
          .steps = {fixed_steps{.discriminator = discriminator, .generator = generator}}};
}

}  // namespace

TEST_CASE("blocking, send-as-ready and input-first give the same parameters, bit for bit") {
  for (const peer_rule peer : {peer_rule::none, peer_rule::consolidate, peer_rule::replay}) {
    CAPTURE(static_cast<int>(peer));
    config settings = steps(2, 2);
    settings.peer = peer;
    settings.overlap = overlap_mode::blocking;
    settings.return_mean = peer != peer_rule::replay;
    const outcome plain = run(settings);
    CHECK(std::ranges::all_of(plain.generator, [](float x) { return std::isfinite(x); }));
    for (const overlap_mode mode : {overlap_mode::ready, overlap_mode::input_first})
      for (const std::size_t bucket : {0u, 300u}) {
        settings.overlap = mode;
        settings.bucket = bucket;
        CHECK(run(settings) == plain);
      }
    settings.bucket = 0;
    CHECK(run(settings, {.threads = 1}) == plain);
  }
}

TEST_CASE("one worker is the standalone GAN with a batch for each player, bit for bit") {
  cpu b;
  dist::standalone::node<topology, cpu, toy::noise_source> node(
      b, {.seed = 3, .batch = batch}, {.fakes = 2}, toy::noise_source(60, 0));
  comm::in_process_world world(1, std::make_shared<thread_pool>(1));
  std::vector<round_report> reports;
  world.run([&](auto& comm) {
    for (std::uint32_t i = 0; i < 4; ++i) reports.push_back(node.round(comm, i));
  });
  for (const overlap_mode mode : all_modes) {
    const outcome out = run(steps(1, 1, mode), {.workers = 1});
    CHECK(out.generator == values(node.generator().state().values().params));
    CHECK(out.mean == values(node.discriminator().state().values().params));
    CHECK(out.discriminators.at(1) == out.mean);
    CHECK(out.reports.back().generator_loss == reports.back().generator_loss);
    CHECK(out.reports.back().discriminator_loss ==
          doctest::Approx(reports.back().discriminator_loss).epsilon(1e-6));
  }
}

TEST_CASE("workers go on from the mean, weighted by their shards, or from their own") {
  config settings = steps(1, 1);
  const outcome returned = run(settings, {.shards = {{1, 30}, {2, 30}, {3, 60}}});
  for (int n = 1; n <= 3; ++n) CHECK(returned.discriminators.at(n) == returned.mean);
  settings.return_mean = false;
  const outcome own = run(settings, {.rounds = 1, .shards = {{1, 30}, {2, 30}, {3, 60}}});
  for (std::size_t i = 0; i < phi; ++i) {
    const auto at = [&](int n) { return static_cast<double>(own.discriminators.at(n)[i]); };
    REQUIRE(own.mean[i] == static_cast<float>((30 * at(1) + 30 * at(2) + 60 * at(3)) / 120));
  }
  CHECK(own.discriminators.at(1) != own.discriminators.at(2));
}

TEST_CASE("byte counters equal the plan") {
  const common_config<topology> common{.seed = 3, .batch = batch};
  const std::uint64_t g = 4 * (theta + theta_statistics), d = 4 * (phi + phi_statistics);
  for (const int workers : {1, 3})
    for (const peer_rule peer : {peer_rule::none, peer_rule::consolidate, peer_rule::replay})
      for (const bool return_mean : {false, true}) {
        config settings = steps(1, 2);
        settings.peer = peer;
        settings.return_mean = return_mean;
        const auto plan =
            layerwise_overlap::plan<topology, cpu, toy::noise_source>(common, settings, workers);
        const outcome out = run(settings, {.workers = workers, .rounds = 3});
        const auto n = static_cast<std::uint64_t>(workers);
        CHECK(plan.bytes_up == n * d);
        CHECK(plan.bytes_down == n * (g + (return_mean ? d : 0)));
        const std::uint64_t packet = d + (peer == peer_rule::consolidate ? 4 * phi : 0);
        CHECK(plan.bytes_swap == (peer == peer_rule::none || workers == 1 ? 0 : n * packet));
        for (const round_report& r : out.reports) {
          CHECK(r.bytes_up == plan.bytes_up);
          CHECK(r.bytes_down == plan.bytes_down);
          CHECK(r.bytes_swap == plan.bytes_swap);
          CHECK(r.generator_steps == 2);
          CHECK(r.images == workers * batch * (peer == peer_rule::none || workers == 1 ? 1 : 2));
        }
        // The initial generator comes on top.
        CHECK(out.total.sent[message::model].bytes ==
              3 * (plan.bytes_up + plan.bytes_down) + n * g);
        CHECK(out.total.sent[message::discriminator].bytes == 3 * plan.bytes_swap);
        CHECK(out.total.sent == out.total.received);
        CHECK(out.total.sent[message::batch].bytes == 0);
      }
}

TEST_CASE("what is charged for compute is what was planned, however the networks travel") {
  const common_config<topology> common{.seed = 3, .batch = batch};
  for (const overlap_mode mode : all_modes)
    for (const peer_rule peer : {peer_rule::none, peer_rule::consolidate}) {
      config settings = steps(3, 2, mode);
      settings.steps = {fixed_steps{.discriminator = 3, .generator = 2, .fakes_every = 2}};
      settings.peer = peer;
      const auto plan =
          layerwise_overlap::plan<topology, cpu, toy::noise_source>(common, settings, 2);
      const outcome out = run(settings, {.workers = 2, .rounds = 3});
      CHECK(out.flops.at(0) == doctest::Approx(3 * plan.lead_flops).epsilon(1e-12));
      // The fakes of the round that does not come any more were made, and its real batch passed.
      using costs = dist::costs<topology>;
      const double ahead =
          batch * (costs::generate +
                   (mode == overlap_mode::blocking ? 0.0 : costs::learn_discriminator / 2));
      CHECK(out.flops.at(1) == doctest::Approx(3 * plan.worker_flops + ahead).epsilon(1e-12));
    }
}

TEST_CASE("each layer has a message of its own, or shares one up to the size of a bucket") {
  const auto messages = [&](overlap_mode mode, std::size_t bucket) {
    config settings = steps(1, 1, mode);
    settings.bucket = bucket;
    return run(settings, {.workers = 1, .rounds = 1}).total.sent[message::model].messages;
  };
  // Layers with values: linear, batch norm, transposed convolution; convolution, batch norm,
  // linear.
  CHECK(messages(overlap_mode::ready, 0) == 3 * 4);
  CHECK(messages(overlap_mode::input_first, 1 << 30) == 4);
  CHECK(messages(overlap_mode::blocking, 0) == 4);
  using slices = dist::layer_slices<topology::generator_type>;
  constexpr slices one(0), shared(4 * 36 * 6 + 4);
  static_assert(one.size() == 3 && shared.size() == 2);
  static_assert(shared[0].layer == 0 && shared[1].first_param == shared[0].params);
  std::size_t covered = 0;
  for (std::size_t s = 0; s < shared.size(); ++s) covered += shared[s].scalars();
  CHECK(covered == slices::total);
  CHECK(one.of_layer(1) == slices::none);
  CHECK(shared.largest() == shared[0].scalars());
}

TEST_CASE("large layers travel in pieces, which change no value and need less room") {
  for (const overlap_mode mode : {overlap_mode::ready, overlap_mode::input_first}) {
    const config whole = steps(2, 2, mode);
    config cut = whole;
    cut.piece = 100;
    const outcome expected = run(whole), out = run(cut);
    CHECK(out == expected);
    CHECK(out.mean == expected.mean);
    CHECK(out.total.sent[message::model].bytes == expected.total.sent[message::model].bytes);
    CHECK(out.total.sent[message::model].messages > expected.total.sent[message::model].messages);
    CHECK(server_type::message_bytes(cut) == 25 * (sizeof(double) + sizeof(float)));
  }
  // Pieces end anywhere, between parameters and statistics too.
  std::vector<dist::layer_slice> pieces;
  dist::for_each_piece(
      {.layer = 1, .first_param = 10, .params = 5, .first_buffer = 2, .buffers = 4}, 4,
      [&](const dist::layer_slice& p) { pieces.push_back(p); });
  REQUIRE(pieces.size() == 3);
  CHECK((pieces[1].first_param == 14 && pieces[1].params == 1));
  CHECK((pieces[1].first_buffer == 2 && pieces[1].buffers == 3));
  CHECK((pieces[2].params == 0 && pieces[2].first_buffer == 5 && pieces[2].buffers == 1));
}

TEST_CASE("planned memory is what is allocated, and the server's does not grow with the workers") {
  const common_config<topology> common{.batch = batch};
  for (const peer_rule peer : {peer_rule::none, peer_rule::replay}) {
    const config settings{.peer = peer};
    const auto two = layerwise_overlap::plan<topology, cpu, toy::noise_source>(common, settings, 2);
    const auto ten =
        layerwise_overlap::plan<topology, cpu, toy::noise_source>(common, settings, 10);
    CHECK(two.lead_bytes == ten.lead_bytes);
    cpu b;
    const server_type server(b, common, settings, 4);
    CHECK(b.meter().bytes() == server_type::bytes(batch));
    CHECK(two.lead_bytes == server_type::bytes(batch) + server_type::message_bytes(settings));
    cpu other;
    const worker_type worker(other, common, settings, toy::noise_source(60, 0), 0);
    CHECK(other.meter().bytes() == worker_type::bytes(batch, settings));
  }
  CHECK(server_type::message_bytes(steps(1, 1)) <
        server_type::message_bytes(steps(1, 1, overlap_mode::blocking)));
}

TEST_CASE("a worker that stops leaves the others training") {
  config settings = steps(1, 1);
  settings.peer = peer_rule::consolidate;
  const outcome out = run(settings, {.rounds = 6, .stops = {{2, 3}}});
  REQUIRE(out.reports.size() == 6);
  CHECK(out.reports[2].workers == 3);
  // The discriminator that was on its way to the one that stopped is lost, nothing else.
  for (std::size_t i = 3; i < 6; ++i) CHECK(out.reports[i].workers == 2);
  CHECK(out.discriminators.size() == 2);
  CHECK(out == run(settings, {.rounds = 6, .threads = 1, .stops = {{2, 3}}}));
  CHECK_THROWS_AS(run(steps(1, 1), {.workers = 2, .stops = {{1, 2}, {2, 2}}}), workers_lost);
}

TEST_CASE("who waits for a slice can say of which layer it is") {
  const config settings = steps(1, 1);
  const common_config<topology> common{.seed = 3, .batch = batch};
  const auto generator = parts_of<topology::generator_type>("generator", settings);
  const auto discriminator = parts_of<topology::discriminator_type>("discriminator", settings);
  REQUIRE(generator.size() > 1);
  auto world = comm::in_process(2, 2);
  world.run([&]<class C>(C& whole) {
    noting<C> comm(whole);
    cpu b;
    if (comm.rank() == 0) {
      server_type server(b, common, settings, 1);
      server.begin(comm);
      static_cast<void>(server.round(comm, 0));
      server.command(comm, order::stop);
      CHECK(comm.said == discriminator);
      return;
    }
    const toy::noise_source source(60, 0);
    worker_type::begin(comm, source);
    worker_type worker(b, common, settings, source, 0);
    CHECK(worker.round(comm, 0) == order::train);
    auto expected = generator;  // before the first round
    expected.insert(expected.end(), discriminator.begin(), discriminator.end());
    expected.insert(expected.end(), generator.begin(), generator.end());
    CHECK(comm.said == expected);
  });
}

TEST_CASE("settings that cannot work are refused in a sentence") {
  cpu b;
  const common_config<topology> common{.batch = batch};
  CHECK_THROWS_WITH_AS(server_type(b, common, steps(0, 1), 2),
                       doctest::Contains("steps, and of steps for"), usage_error);
  CHECK_THROWS_AS(server_type(b, common, {.peer_steps = 0}, 2), usage_error);
  CHECK_THROWS_AS(server_type(b, common, {.replay_share = 1.5f}, 2), usage_error);
  using paired = gan<toy::conv_generator, toy::conv_discriminator, loss::relativistic, optim::adam>;
  CHECK_THROWS_WITH_AS((dist::judge<paired, cpu>(b, common_config<paired>{.batch = batch})),
                       doctest::Contains("a server without real samples"), usage_error);
}
