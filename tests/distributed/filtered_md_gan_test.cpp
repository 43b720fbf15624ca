// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A strategy composed with filters, wrong workers and modelled time, none of which it knows.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/reference/reference.hpp"
#include "gantry/comm/filtered.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/comm/modelled.hpp"
#include "gantry/dist/error_feedback.hpp"
#include "gantry/dist/filter_chain.hpp"
#include "gantry/dist/md_gan.hpp"
#include "gantry/dist/quantise.hpp"
#include "gantry/dist/sanitise.hpp"
#include "gantry/dist/worker_report.hpp"
#include "gantry/metrics/link_model.hpp"
#include "gantry/train/trainer.hpp"

#include "support/toy_gan.hpp"

using namespace gantry;
using dist::md_gan;
using values_type = std::vector<float>;

namespace {

constexpr int batch = 6;
constexpr std::size_t image_size = 6 * 6 * 2;
using topology = toy::sgd_gan;

/// Any filter behind one type, so that a single world serves all tests. Copies share one filter, so
/// each rank needs an object of its own.
class any_filter {
 public:
  template <class F>
  any_filter(F filter) {  // NOLINT: converts
    const auto shared = std::make_shared<F>(std::move(filter));
    size_ = [shared](std::size_t n) { return shared->wire_size(n); };
    encode_ = [shared](auto&&... a) { shared->encode(a...); };
    decode_ = [shared](auto&&... a) { shared->decode(a...); };
    visit_ = [shared](const visitor& visit) { shared->visit_values(visit); };
  }
  [[nodiscard]] std::size_t wire_size(std::size_t n) const { return size_(n); }
  void encode(const message_route& r, std::span<const float> values, std::span<float> wire) {
    encode_(r, values, wire);
  }
  void decode(const message_route& r, std::span<const float> wire, std::span<float> values) {
    decode_(r, wire, values);
  }
  template <class Visit>
  void visit_values(Visit&& visit) {
    visit_(visit);
  }

 private:
  using step = std::function<void(const message_route&, std::span<const float>, std::span<float>)>;
  using visitor = std::function<void(const std::string&, values_type&)>;
  std::function<std::size_t(std::size_t)> size_;
  step encode_, decode_;
  std::function<void(const visitor&)> visit_;
};

/// What a wrong worker does to its feedback.
enum class attack { none, sign_flip, times_100, not_a_number, stale };
struct wrong_worker : dist::exact {
  attack what{};
  values_type first{};
  void encode(const message_route&, std::span<const float> values, std::span<float> wire) {
    if (first.empty()) first.assign(values.begin(), values.end());
    for (std::size_t i = 0; i < values.size(); ++i)
      wire[i] = what == attack::sign_flip      ? -values[i]
                : what == attack::times_100    ? -100 * values[i]
                : what == attack::not_a_number ? std::numeric_limits<float>::quiet_NaN()
                : what == attack::stale        ? first[i]
                                               : values[i];
  }
};

struct outcome {
  values_type before, after;  // images of the same latents by the generator
  traffic total;
  std::vector<double> seconds;  // modelled, of the server, after each round
  std::uint64_t bytes_up{};     // as reported by the strategy
  int dropped{}, live{};        // workers that the link model lets drop out, and that are left
};

struct setting {
  int workers{3};
  std::uint32_t rounds{6};
  md_gan::config config{};
  std::vector<any_filter> filters{};  ///< of the feedback, one for each rank; empty: none
  metrics::node_rates rates{};
  std::filesystem::path checkpoints{}, resume_from{};
};

outcome train_toy(const setting& s) {
  outcome out;
  const auto ranks = static_cast<std::size_t>(s.workers + 1);
  message_selection selection;
  if (s.filters.empty()) selection.kinds.clear();
  const metrics::link_model model(std::vector<metrics::node_rates>(ranks, s.rates), 2);
  comm::filtered_world world(
      comm::modelled(comm::in_process(s.workers + 1, 2), model), selection,
      s.filters.empty() ? std::vector<any_filter>(ranks, dist::exact{}) : s.filters);
  values_type latents(8 * 5);
  fill_normal(std::span<float>(latents), {.seed = 1, .use = purpose::fixed_latent});
  train::run_options options{
      .iterations = s.rounds, .checkpoints = s.checkpoints, .resume_from = s.resume_from};
  for (rank_t n = 1; n <= s.workers; ++n)
    if (const auto round = model.first_drop_out(n, s.rounds)) {
      options.stops.push_back({n, *round});
      ++out.dropped;
    }
  const auto images = [&](const train::round_view& view) {
    values_type x(8 * image_size);
    view.sample(latents, x);
    return x;
  };
  options.on_start = [&](const train::round_view& view) { out.before = images(view); };
  options.on_round = [&](const train::round_view& view) {
    out.seconds.push_back(world.inner().time_of(0).seconds);
    out.bytes_up += view.report.bytes_up;
    if (view.iteration == s.rounds) out.after = images(view);
  };
  out.live = train::run<md_gan, backend::reference<float>>(
                 world, common_config<topology>{.seed = 3, .batch = batch}, s.config,
                 toy::noise_sources(s.workers, 60), options)
                 .live_workers;
  out.total = world.total();
  return out;
}

template <class F>
std::vector<any_filter> on_all_ranks(int workers, const F& filter) {
  std::vector<any_filter> filters;
  for (int r = 0; r <= workers; ++r) filters.emplace_back(filter);
  return filters;
}

/// How far two runs have come apart, by the way that the second has gone.
double distance(const outcome& a, const outcome& b) {
  double apart = 0, way = 0;
  for (std::size_t i = 0; i < a.after.size(); ++i) {
    apart += std::pow(static_cast<double>(a.after[i]) - static_cast<double>(b.after[i]), 2);
    way += std::pow(static_cast<double>(b.after[i]) - static_cast<double>(b.before[i]), 2);
  }
  return std::sqrt(apart / way);
}

}  // namespace

TEST_CASE("md_gan trains on int8 feedback with error feedback, and the encoded bytes are counted") {
  const outcome plain = train_toy({});
  const dist::int8_blocks int8(64);
  const outcome quantised = train_toy({.filters = on_all_ranks(3, dist::error_feedback(int8))});
  constexpr std::size_t messages = 3 * 6, values = batch * image_size;
  CHECK(plain.total.sent[message::feedback] == tally{messages, messages * 4 * values});
  CHECK(quantised.total.sent[message::feedback] ==
        tally{messages, messages * 4 * int8.wire_size(values)});
  CHECK(quantised.total.sent == quantised.total.received);
  CHECK(quantised.total.sent[message::batch] == plain.total.sent[message::batch]);
  CHECK(quantised.bytes_up == messages * 4 * values);
  CHECK(quantised.after != plain.after);
  CHECK(distance(quantised, plain) < 0.05);
}

TEST_CASE(
    "md_gan with clip and noise: without noise and clipping the run is that without, bitwise") {
  const auto with = [](double clip, double sigma) {
    return train_toy(
        {.filters = on_all_ranks(
             3, dist::filter_chain(
                    dist::clip_and_noise(
                        {.sample_size = image_size, .clip = clip, .sigma = sigma, .seed = 5}),
                    dist::exact{}))});
  };
  const outcome plain = train_toy({});
  CHECK(with(1e9, 0).after == plain.after);
  const outcome noisy = with(1, 0.1);
  CHECK(noisy.after != plain.after);
  CHECK(std::ranges::all_of(noisy.after, [](float x) { return std::isfinite(x); }));
}

TEST_CASE(
    "md_gan under noise and error feedback: a resumed run is the uninterrupted one, bitwise") {
  const auto folder =
      std::filesystem::temp_directory_path() / ("gantry-filtered-" + std::to_string(::getpid()));
  std::filesystem::remove_all(folder);
  const auto run = [&](std::uint32_t rounds, const std::filesystem::path& to,
                       const std::filesystem::path& from) {
    const dist::filter_chain filter(
        dist::clip_and_noise({.sample_size = image_size, .sigma = 0.1, .seed = 5}),
        dist::error_feedback(dist::int8_blocks(16)));
    return train_toy({.rounds = rounds,
                      .filters = on_all_ranks(3, filter),
                      .checkpoints = to,
                      .resume_from = from});
  };
  const outcome whole = run(6, {}, {});
  static_cast<void>(run(3, folder, {}));
  const auto saved = train::latest_checkpoint(folder);
  REQUIRE(saved.has_value());
  const outcome resumed = run(6, {}, *saved);
  CHECK(resumed.after == whole.after);
  std::filesystem::remove_all(folder);
}

TEST_CASE("md_gan under wrong workers: robust rules follow the honest ones, the mean names a NaN") {
  const auto run = [](dist::aggregation how, attack what, int workers) {
    std::vector<any_filter> filters;
    for (int r = 0; r <= workers; ++r)
      filters.emplace_back(wrong_worker{{}, r > 6 ? what : attack::none, {}});
    return train_toy({.workers = workers,
                      .rounds = 4,
                      .config = {.swap_every = dist::never, .aggregation = how},
                      .filters = filters});
  };
  using rule = dist::aggregation_rule;
  const outcome honest = run({}, attack::none, 6);
  CHECK(distance(run({}, attack::times_100, 8), honest) > 10);
  CHECK_THROWS_WITH_AS(run({}, attack::not_a_number, 8), doctest::Contains("worker 7"),
                       numeric_error);
  for (const rule r : {rule::median, rule::trimmed_mean, rule::krum, rule::multi_krum})
    for (const attack what :
         {attack::sign_flip, attack::times_100, attack::not_a_number, attack::stale}) {
      const dist::aggregation how{.rule = r, .wrong = 2};
      CAPTURE(how.name());
      CAPTURE(static_cast<int>(what));
      const double a = distance(run(how, what, 8), honest);
      CHECK(a < 4);
      // Without the two NaN these rules are the mean of the honest six.
      if (what == attack::not_a_number && (r == rule::trimmed_mean || r == rule::multi_krum))
        CHECK(a < 1e-5);
    }
}

TEST_CASE("md_gan: a robust rule that the workers of a batch cannot serve is refused") {
  const dist::aggregation krum{.rule = dist::aggregation_rule::krum, .wrong = 1};
  CHECK_THROWS_WITH_AS(train_toy({.workers = 8, .config = {.k = 2, .aggregation = krum}}),
                       doctest::Contains("at least 5 workers to share each generated batch"),
                       usage_error);
}

TEST_CASE("md_gan in modelled time: the seconds of a server and one worker, by hand") {
  const metrics::node_rates rates{.flops_per_second = 1e6, .upload = 1e4, .latency = 0.01};
  const outcome out = train_toy({.workers = 1, .rounds = 3, .rates = rates});
  using cost = dist::costs<topology>;
  const double flops = rates.flops_per_second / batch;
  const double sample = image_size * 4 * batch / rates.upload, late = 2 * rates.latency;
  const double report = sizeof(dist::worker_report::message_type) / rates.upload;
  // The shard's size comes first; then each round: plan, two batches, feedback and statistics.
  double now = 4 / rates.upload + late;
  for (const double seconds : out.seconds) {
    const double generated = std::max(12 / rates.upload, cost::generate / flops);
    const double learned = now + generated + sample + late + cost::learn_discriminator / flops;
    const double second_batch = now + generated + 2 * sample + late;
    now = std::max(learned, second_batch) + cost::feedback / flops + sample + report + late +
          cost::learn_generator / flops;
    CHECK(seconds == doctest::Approx(now).epsilon(1e-12));
  }
  CHECK(out.seconds.size() == 3);
}

TEST_CASE("md_gan in modelled time: workers drop out as the link model says, and it repeats") {
  const setting s{.workers = 4,
                  .rounds = 8,
                  .rates = {.flops_per_second = 1e6, .upload = 1e4, .drop_out = 0.08}};
  const outcome once = train_toy(s), again = train_toy(s);
  CHECK(once.dropped > 0);
  CHECK(once.live == 4 - once.dropped);
  CHECK(once.seconds.size() == 8);
  CHECK(std::ranges::is_sorted(once.seconds));
  CHECK(once.seconds == again.seconds);
  CHECK(once.after == again.after);
}
