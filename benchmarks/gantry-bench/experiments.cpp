// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <sstream>
#include <utility>

#include "gantry/comm/any.hpp"
#include "gantry/comm/filtered.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/comm/modelled.hpp"
#include "gantry/comm/throttled.hpp"
#include "gantry/data/image_set.hpp"
#include "gantry/data/partition.hpp"
#include "gantry/data/shard.hpp"
#include "gantry/dist/filter_chain.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/json.hpp"

#include "borrowed_world.hpp"
#include "experiment_page.hpp"
#include "experiments.hpp"
#include "gantry-train/data_sets.hpp"
#include "gantry-train/preset.hpp"
#include "gantry-train/scores.hpp"
#include "gantry-train/transport.hpp"
#include "lines.hpp"

namespace {

using namespace gantry;

/// What a wrong worker does to what it sends.
struct tampering {
  attack how{attack::none};
  std::vector<float> first{};  ///< what a stale worker sends for ever

  void apply(const message_route&, std::span<float> values) {
    switch (how) {
      case attack::none:
        return;
      case attack::sign_flipped:
        for (float& v : values) v = -v;
        return;
      case attack::times_100:
        for (float& v : values) v *= 100;
        return;
      case attack::nan:
        std::ranges::fill(values, std::numeric_limits<float>::quiet_NaN());
        return;
      case attack::stale:
        if (first.size() != values.size()) first.assign(values.begin(), values.end());
        std::ranges::copy(first, values.begin());
        return;
    }
  }
  void visit_values(auto&& f) { f("first", first); }
};

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

/// Everything that is read or trained once for all runs.
class laboratory {
 public:
  explicit laboratory(const experiment_settings& settings)
      : settings_(settings), models_(known_models()) {}

  /// The options that the flags of a run stand for.
  program_options options(const experiment& e, const experiment_run& run,
                          std::uint64_t seed) const {
    std::string text = "gantry-train " + e.flags + " " + run.flags + " --outdir none --seed " +
                       std::to_string(seed) + " --threads " + std::to_string(settings_.threads);
    if (!settings_.data_dir.empty()) text += " --data-dir " + settings_.data_dir;
    const std::vector<std::string> words = words_of(text);
    std::vector<const char*> argv;
    for (const std::string& w : words) argv.push_back(w.c_str());
    program_options o = *parse_options(static_cast<int>(argv.size()), argv.data(), models_);
    const auto shortened = [&](std::uint32_t n) {
      return std::max(1u, static_cast<std::uint32_t>(std::lround(n * settings_.length)));
    };
    o.iterations = shortened(o.iterations);
    o.metric_every = shortened(o.metric_every);
    if (run.fail_stops)
      for (int w = 1; w < o.strategy.workers; ++w)
        o.health.stops.push_back({w, o.iterations / static_cast<std::uint32_t>(o.strategy.workers) *
                                  static_cast<std::uint32_t>(w)});
    return o;
  }

  measured_run measure(const experiment& e, const experiment_run& run, std::uint64_t seed) {
    program_options o = options(e, run, seed);
    const preset& networks = chosen_preset(o);
    require_fitting_images(o, networks.image);
    measured_run found{.name = run.name, .seed = seed};
    if (run.what != subject::training) {
      found.iterations = 1;
      found.round_seconds = {seconds_of(e, run, o, networks)};
      return found;
    }
    found.workers = o.strategy.workers;
    found.batch = o.batch;
    found.privacy = privacy_of(o.messages, o.iterations, o.batch);
    found.costs = networks.plan(o).costs;
    if (e.equal_compute) set_length(e, o, seed);
    const data_sets& sets = data(o, networks);
    std::vector<data::shard> shards =
        data::partition(sets.train, o.split, o.strategy.workers, seed);
    scorer* judge = e.scored ? &scores(o, networks, sets) : nullptr;
    auto last = std::chrono::steady_clock::now();
    double sum = 0;
    std::uint64_t bytes = 0;
    std::int64_t steps = 0;
    const train::run_options go{
        .iterations = o.iterations,
        .on_round =
            [&](const train::round_view& view) {
              const auto now = std::chrono::steady_clock::now();
              sum += std::chrono::duration<double>(now - last).count();
              if (view.iteration % static_cast<std::uint32_t>(run.rounds) == 0)
                found.round_seconds.push_back(std::exchange(sum, 0.0));
              bytes += view.report.bytes_down + view.report.bytes_up + view.report.bytes_swap;
              steps += view.report.generator_steps;
              found.lead += view.report.lead;
              found.worker += view.report.worker;
              if (judge && view.iteration % o.metric_every == 0)
                found.points.push_back({view.iteration, steps, bytes,
                                        judge->evaluate(view.sample, o.metric_samples, seed)});
              last = std::chrono::steady_clock::now();
            },
        .configuration = configuration(o),
        .stops = o.health.stops};
    in_world(e, run, o, networks, found,
             [&](comm::any_world world) { networks.train(o, world, std::move(shards), go); });
    found.iterations = o.iterations;
    // Reports count values, the transport what filters made of them.
    for (scored_point& p : found.points)
      p.bytes = static_cast<std::uint64_t>(static_cast<double>(p.bytes) /
                                           static_cast<double>(std::max<std::uint64_t>(bytes, 1)) *
                                           static_cast<double>(found.bytes));
    return found;
  }

 private:
  /// Operations of one round, all nodes together.
  static double compute(const program_options& o, const preset& networks) {
    const strategy_plan costs = networks.plan(o).costs;
    return costs.lead_flops + (ranks_of(o) - 1) * costs.worker_flops;
  }
  /// As many iterations as cost what the first run of the experiment costs.
  void set_length(const experiment& e, program_options& o, std::uint64_t seed) const {
    const program_options first = options(e, e.runs.front(), seed);
    const double ratio = compute(first, chosen_preset(first)) / compute(o, chosen_preset(o));
    o.iterations = std::max(1u, static_cast<std::uint32_t>(std::lround(first.iterations * ratio)));
    const std::uint32_t points = std::max(1u, first.iterations / first.metric_every);
    o.metric_every = std::max(1u, o.iterations / points);
  }

  /// Of what is no run of gantry-train.
  double seconds_of(const experiment& e, const experiment_run& run, const program_options& o,
                    const preset& networks) {
    if (run.what == subject::tasks_at_once || run.what == subject::tasks_in_turn)
      return seconds_of_tasks(e, run.what == subject::tasks_at_once, o.iterations, o.threads) /
             o.iterations;
    const data_sets::pointer set = data(o, networks).train;
    std::size_t kept = 0;
    const auto start = std::chrono::steady_clock::now();
    if (run.what == subject::label_index) {
      for (const data::shard& s : data::partition(set, o.split, o.strategy.workers, 0))
        kept += s.size();
    } else {
      for (int label = 0; label < o.strategy.workers; ++label) kept += scan(*set, label);
    }
    const auto passed = std::chrono::steady_clock::now() - start;
    if (kept != set->size()) throw error("expected each image in one shard, found another split");
    return std::chrono::duration<double>(passed).count();
  }
  /// What programs with a process per label do: all images are turned into numbers, those of the
  /// label are kept. @returns how many
  static std::size_t scan(const data::image_set& set, int label) {
    std::vector<float> kept, image(set.sample_size());
    for (std::size_t i = 0; i < set.size(); ++i) {
      std::ranges::transform(set.image(i), image.begin(),
                             [](std::uint8_t pixel) { return data::pixel_to_float[pixel]; });
      if (set.labels[i] == label) kept.insert(kept.end(), image.begin(), image.end());
    }
    return kept.size() / set.sample_size();
  }

  /// Runs `train` in the world of an experiment; notes bytes and modelled seconds.
  static void in_world(const experiment& e, const experiment_run& run, const program_options& o,
                       const preset& networks, measured_run& found,
                       const std::function<void(comm::any_world)>& train) {
    const int ranks = ranks_of(o);
    const auto around = [&](comm::any_world world) {
      if (run.wrong != attack::none) world = with_wrong_workers(std::move(world), run);
      train(with_filters(std::move(world), o.messages,
                         static_cast<std::size_t>(networks.image.size())));
    };
    auto base = comm::in_process(ranks, o.threads);
    std::vector<metrics::node_rates> rates(static_cast<std::size_t>(ranks), e.worker);
    rates.front() = e.server;
    if (e.links == link_kind::none) {
      around(borrowed_world(base));
    } else if (e.links == link_kind::throttled) {
      around(comm::throttled(borrowed_world(base), metrics::link_model(rates)));
    } else {
      auto world = comm::modelled(borrowed_world(base), metrics::link_model(rates));
      around(borrowed_world(world));
      found.seconds = world.seconds();
    }
    const tally_by_kind sent = base.total().sent;
    found.bytes = sent.total().bytes - sent[message::control].bytes;
    found.sent = sent;
  }

  static comm::any_world with_wrong_workers(comm::any_world world, const experiment_run& run) {
    std::vector<dist::filter_chain<tampering, dist::exact>> filters(
        static_cast<std::size_t>(world.size()), {tampering{}, dist::exact{}});
    for (int w = 1; w <= run.wrong_workers; ++w)
      filters[static_cast<std::size_t>(w)] = {tampering{run.wrong}, dist::exact{}};
    return comm::filtered_world(
        std::move(world),
        message_selection{.kinds = {message::feedback, message::model}, .from_lead = false},
        std::move(filters));
  }

  const data_sets& data(const program_options& o, const preset& networks) {
    auto& kept = data_[o.data + "/" + o.model];
    if (!kept) kept = std::make_unique<data_sets>(load_data(o, networks.image));
    return *kept;
  }
  scorer& scores(const program_options& o, const preset& networks, const data_sets& sets) {
    auto& kept = scorers_[o.data + "/" + o.model];
    if (!kept)
      kept = make_scorer(o, networks.plan(o), sets, [](const std::string& text) {
        std::fprintf(stderr, "gantry-bench: %s\n", text.c_str());
      });
    return *kept;
  }

  experiment_settings settings_;
  std::vector<model_info> models_;
  std::map<std::string, std::unique_ptr<data_sets>> data_;
  std::map<std::string, std::unique_ptr<scorer>> scorers_;
};

}  // namespace

void run_experiment(const experiment_settings& settings, const std::string& machine) {
  const auto found = std::ranges::find_if(
      experiments(), [&](const experiment& e) { return e.key == settings.key; });
  if (found == experiments().end()) {
    std::string known;
    for (const experiment& e : experiments()) known += (known.empty() ? "" : ", ") + e.key;
    throw usage_error("--experiment was expected to be one of " + known + " and is \"" +
                      settings.key + "\"");
  }
  const experiment& e = *found;
  io::require_writable_directory(settings.out, "--out");
  laboratory all(settings);
  for (const experiment_run& run : e.runs) all.options(e, run, 0);  // flags are checked first
  std::vector<measured_run> runs;
  for (const std::uint64_t seed : settings.seeds)
    for (int turn = 0; turn < e.repeats; ++turn)
      for (const experiment_run& run : e.runs) {
        runs.push_back(all.measure(e, run, seed));
        print_line(json_of(e, runs.back()));
      }
  write_page(e, settings, machine, runs);
}
