// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Aggregated outputs of one discriminator are its outputs, and what travels is counted.
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/reference/reference.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/dist/output_aggregation.hpp"
#include "gantry/dist/standalone.hpp"
#include "gantry/loss/auxiliary_classifier.hpp"

#include "support/toy_gan.hpp"

namespace {

using namespace gantry;
using dist::output_rule;
using dist::output_aggregation;
using oracle = backend::reference<float>;

constexpr int batch = 6;

/// Noise with labels 0, 1, 2, of which worker w has only the first w + 1.
struct labelled_noise : toy::noise_source {
  labelled_noise(std::int64_t size, std::uint32_t worker)
      : noise_source(size, worker), kinds(worker + 1) {}
  std::span<const std::uint8_t> labels(std::uint32_t step, int n) {
    drawn.resize(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < drawn.size(); ++i)
      drawn[i] = static_cast<std::uint8_t>((i + step) % kinds);
    return drawn;
  }
  [[nodiscard]] std::array<std::int64_t, 256> label_counts() const {
    std::array<std::int64_t, 256> counts{};
    for (std::size_t c = 0; c < kinds; ++c) counts[c] = 60 / kinds;
    return counts;
  }
  std::uint32_t kinds;
  std::vector<std::uint8_t> drawn{};
};

using class_generator =
    sequential<latent<3>, concat_label<3, 2>, linear<6 * 6 * 2>, reshape<6, 6, 2>, tanh_>;
using class_discriminator = sequential<image<6, 6, 2>, linear<8>, leaky_relu, linear<4>>;
using class_gan = gan<class_generator, class_discriminator,
                      loss::auxiliary_classifier<loss::non_saturating, 3>, optim::adam>;

struct outcome {
  std::vector<float> generator, average;
  std::map<int, std::vector<float>> discriminators;
  std::vector<round_report> reports;
  traffic total;
  double lambda{};
  int live{};
  bool operator==(const outcome& o) const {
    return generator == o.generator && average == o.average && discriminators == o.discriminators;
  }
};

struct run_settings {
  int workers{1}, rounds{4};
  bool identical{false};       ///< all workers are copies of the first
  std::map<int, int> stops{};  ///< worker -> round
};

template <class G>
void collect(outcome& out, G& generator) {
  const auto now = generator.state().values().params;
  const auto average = generator.state().averaged_values().params;
  out.generator.assign(now.begin(), now.end());
  out.average.assign(average.begin(), average.end());
}

template <class D>
std::vector<float> weights_of(D& discriminator) {
  const auto params = discriminator.state().values().params;
  return {params.begin(), params.end()};
}

template <class T, class Source>
outcome run(const output_aggregation::config& config, const run_settings& s) {
  outcome out;
  std::mutex guard;
  const common_config<T> common{.seed = 3, .batch = batch};
  comm::in_process_world world(s.workers + 1, std::make_shared<thread_pool>(2));
  world.run([&](auto& comm) {
    oracle b;
    if (comm.rank() == 0) {
      output_aggregation::server<T, oracle> server(b, common, config, s.workers);
      server.begin(comm);
      for (int i = 0; i < s.rounds; ++i)
        out.reports.push_back(server.round(comm, static_cast<std::uint32_t>(i)));
      for (int n = 1; n <= s.workers; ++n) out.live += server.is_live(n);
      server.command(comm, order::stop);
      out.lambda = server.lambda();
      collect(out, server.generator());
      return;
    }
    const auto index = s.identical ? 0 : static_cast<std::uint32_t>(comm.rank() - 1);
    const Source source(60, index);
    using worker_type = output_aggregation::worker<T, oracle, Source>;
    worker_type::begin(comm, source);
    worker_type worker(b, common, config, source, index);
    const auto stop = s.stops.find(comm.rank());
    for (int i = 0;; ++i) {
      if (stop != s.stops.end() && i == stop->second) return comm.leave();
      if (worker.round(comm, static_cast<std::uint32_t>(i)) != order::train) break;
    }
    const std::lock_guard lock(guard);
    out.discriminators[comm.rank()] = weights_of(worker.discriminator());
  });
  out.total = world.total();
  return out;
}

template <class T, class Source>
outcome run_standalone(const dist::standalone::config& config) {
  outcome out;
  const common_config<T> common{.seed = 3, .batch = batch};
  oracle b;
  dist::standalone::node<T, oracle, Source> node(b, common, config, Source(60, 0));
  comm::in_process_world world(1, std::make_shared<thread_pool>(1));
  world.run([&](auto& comm) {
    for (std::uint32_t i = 0; i < 4; ++i) out.reports.push_back(node.round(comm, i));
  });
  collect(out, node.generator());
  out.discriminators[1] = weights_of(node.discriminator());
  return out;
}

outcome run_toy(const output_aggregation::config& config, const run_settings& s) {
  return run<toy::adam_gan, toy::noise_source>(config, s);
}

constexpr output_rule rules[] = {output_rule::mean, output_rule::odds,
                                      output_rule::maximum, output_rule::softmax};

}  // namespace

TEST_CASE("output_aggregation with one worker is the standalone GAN, bit for bit") {
  for (const int fakes : {1, 2}) {
    const outcome alone =
        run_standalone<toy::adam_gan, toy::noise_source>({.fakes = fakes, .local_steps = 2});
    for (const output_rule rule : rules) {
      CAPTURE(rule_name(rule));
      const outcome one =
          run_toy({.rule = rule, .fakes = fakes, .local_steps = 2, .beta = 0}, {.workers = 1});
      CHECK(one == alone);
      CHECK(one.reports.back().generator_loss == alone.reports.back().generator_loss);
      CHECK(one.reports.back().discriminator_loss ==
            doctest::Approx(alone.reports.back().discriminator_loss).epsilon(1e-6));
    }
  }
}

TEST_CASE("output_aggregation: an auxiliary classifier's term arrives, too") {
  const outcome alone = run_standalone<class_gan, labelled_noise>({});
  const outcome one = run<class_gan, labelled_noise>({}, {.workers = 1});
  CHECK(one == alone);
  CHECK(one.reports.back().generator_loss ==
        doctest::Approx(alone.reports.back().generator_loss).epsilon(1e-6));
  const outcome three = run<class_gan, labelled_noise>({}, {.workers = 3});
  CHECK(std::isfinite(three.reports.back().generator_loss));
}

TEST_CASE("output_aggregation: identical discriminators are one") {
  const outcome one = run_toy({}, {.workers = 1});
  for (const output_rule rule : rules) {
    const outcome three = run_toy({.rule = rule, .beta = 0}, {.workers = 3, .identical = true});
    CAPTURE(rule_name(rule));
    CHECK(three.discriminators.at(1) == three.discriminators.at(3));
    REQUIRE(three.generator.size() == one.generator.size());
    for (std::size_t i = 0; i < one.generator.size(); ++i)
      CHECK(std::abs(three.generator[i] - one.generator[i]) < 1e-5f);
  }
}

TEST_CASE("output_aggregation: F2A is the mean at lambda 0 and F2U at its other end") {
  const run_settings three{.workers = 3};
  const auto softmax = [&](float lambda) {
    return run_toy({.rule = output_rule::softmax, .lambda = lambda, .lambda_rate = 0}, three);
  };
  const outcome mean = run_toy({.rule = output_rule::mean}, three);
  const outcome forgiving = run_toy({.rule = output_rule::maximum}, three);
  CHECK(softmax(0) == mean);
  CHECK(softmax(1e9f) == forgiving);
  CHECK_FALSE(mean == forgiving);
  CHECK_FALSE(softmax(1) == mean);
}

TEST_CASE("output_aggregation: lambda is trained") {
  const run_settings three{.workers = 3};
  const outcome free =
      run_toy({.rule = output_rule::softmax, .lambda_rate = 0.5f, .beta = 0}, three);
  // A larger lambda favours forgiving discriminators, so the generator's loss alone raises it.
  CHECK(free.lambda > 1);
  const outcome bound =
      run_toy({.rule = output_rule::softmax, .lambda_rate = 0.5f, .beta = 1}, three);
  CHECK(bound.lambda < 1);
  CHECK(run_toy({.rule = output_rule::odds}, three).lambda == 1);
}

TEST_CASE("output_aggregation: byte counters are those of the plan") {
  for (const int fakes : {1, 2}) {
    constexpr int workers = 3, rounds = 4;
    const output_aggregation::config config{.fakes = fakes};
    const outcome out = run_toy(config, {.workers = workers, .rounds = rounds});
    constexpr std::uint64_t numbers = batch * sizeof(float), images = numbers * 72;
    const auto plan = output_aggregation::plan<toy::adam_gan, oracle, toy::noise_source>(
        {.batch = batch}, config, workers);
    CHECK(plan.bytes_down == workers * (static_cast<std::uint64_t>(fakes) * images + numbers));
    CHECK(plan.bytes_up == workers * (numbers + images));
    const tally_by_kind& sent = out.total.sent;
    CHECK(sent[message::batch].bytes + sent[message::feedback].bytes ==
          rounds * (plan.bytes_down + plan.bytes_up));
    CHECK(sent[message::model] == tally{});
    CHECK(sent[message::discriminator] == tally{});
    for (const round_report& r : out.reports) {
      CHECK(r.bytes_down == plan.bytes_down);
      CHECK(r.bytes_up == plan.bytes_up);
    }
  }
}

TEST_CASE("output_aggregation: goes on without workers that have stopped") {
  const outcome out = run_toy({}, {.workers = 3, .rounds = 4, .stops = {{2, 1}}});
  CHECK(out.live == 2);
  CHECK(out.reports.front().workers == 3);
  CHECK(out.reports.back().workers == 2);
  CHECK(std::isfinite(out.reports.back().generator_loss));
  CHECK_THROWS_AS(run_toy({}, {.workers = 1, .stops = {{1, 2}}}), workers_lost);
  CHECK_THROWS_AS(run_toy({.fakes = 3}, {}), usage_error);
  CHECK_THROWS_AS(run_toy({.local_steps = 0}, {}), usage_error);
}
