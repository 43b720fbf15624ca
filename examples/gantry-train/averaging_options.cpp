// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>

#include "averaging_options.hpp"
#include "checks.hpp"
#include "strategy_options.hpp"

namespace {

using namespace gantry;
using federated = dist::federated_average;
using ren = dist::averaged_discriminator;

/// Names of an enumeration as flags write them: kl-exp.
std::vector<std::string> flag_values(std::span<const std::string_view> names) {
  std::vector<std::string> values(names.begin(), names.end());
  for (std::string& v : values) std::ranges::replace(v, '_', '-');
  return values;
}
const std::vector<std::string> weights = flag_values(dist::weight_names),
                               scheduling = flag_values(dist::scheduling_names),
                               aggregation = flag_values(dist::aggregation_names),
                               networks{"both", "generator", "discriminator"},
                               updates{"alternating", "simultaneous"},
                               participation{"all", "random", "balanced"},
                               staleness{"constant", "exponential", "hinge"},
                               schedules{"serial", "parallel"};

/// The enumerator whose name stands at the same place of the list.
template <class Enum>
Enum chosen(const std::vector<std::string>& names, const std::string& name) {
  return static_cast<Enum>(std::ranges::find(names, name) - names.begin());
}

/// Who takes part: a fraction that is given alone is drawn at random.
std::string resolve_choice(const CLI::App& app, const char* flag, const std::string& given) {
  if (app.count("--fraction") == 0) {
    if (given != "all")
      throw usage_error(std::string(flag) + " " + given +
                        " was expected with a --fraction of the workers and came without; give one "
                        "or leave it out");
    return given;
  }
  if (app.count(flag) == 0) return "random";
  if (given == "all")
    throw usage_error("--fraction was expected with a " + std::string(flag) +
                      " that leaves workers out and came with all; leave one of them out");
  return given;
}

/// A flag that is given has to change something. @throws usage_error
void require_use(const CLI::App& app, const char* flag, bool is_used, const char* needed) {
  if (app.count(flag) > 0 && !is_used)
    throw usage_error(std::string(flag) + " was expected with " + needed +
                      " and came without; leave it out");
}

std::optional<federated::asynchronous> resolve_staleness(const CLI::App& app,
                                                         const averaging_options& o) {
  if (o.staleness == "none") {
    for (const char* flag : {"--staleness-alpha", "--staleness-decay", "--staleness-free"})
      if (app.count(flag) > 0)
        throw usage_error(std::string(flag) +
                          " was expected with --staleness constant, exponential or hinge and came "
                          "with none; leave it out");
    return std::nullopt;
  }
  require_use(app, "--staleness-decay", o.staleness != "constant",
              "--staleness exponential or hinge");
  require_use(app, "--staleness-free", o.staleness == "hinge", "--staleness hinge");
  for (const char* flag : {"--fraction", "--participation", "--aggregation", "--weights"})
    if (app.count(flag) > 0)
      throw usage_error(std::string(flag) + " was expected with --staleness none and came with " +
                        o.staleness +
                        ", which merges each upload by itself; leave one of them out");
  return federated::asynchronous{
      .weight = {.by = chosen<dist::staleness_weight::rule>(staleness, o.staleness),
                 .alpha = o.staleness_alpha,
                 .decay = o.staleness_decay,
                 .free = o.staleness_free}};
}

}  // namespace

dist::aggregation resolve_aggregation(const averaging_options& o) {
  const dist::aggregation how{.rule = chosen<dist::aggregation_rule>(aggregation, o.aggregation),
                              .wrong = o.wrong_workers};
  if (!how.is_robust() && how.wrong > 0)
    throw usage_error(
        "--wrong-workers was expected with a robust --aggregation and came with mean; leave it "
        "out or use median, trimmed-mean, krum or multi-krum");
  return how;
}

void add_averaging_flags(CLI::App& app, averaging_options& o) {
  app.add_option("--local-updates", o.local_updates, "updates of a worker per round")
      ->check(from_to(1, 1000000));
  app.add_option("--local-epochs", o.local_epochs, "or epochs of its own shard")
      ->check(from_to(1e-3, 1e4));
  app.add_option("--average", o.average, "which networks are averaged")->check(one_of(networks));
  app.add_option("--updates", o.updates, "how the two players of a worker take turns")
      ->check(one_of(updates));
  app.add_option("--weights", o.weights, "what a worker's network weighs by")
      ->check(one_of(weights));
  app.add_option("--participation", o.participation, "which workers take part in a round")
      ->check(one_of(participation));
  app.add_option("--fraction", o.fraction, "how many of them, if not all")
      ->check(from_to(1e-6, 1.0));
  app.add_option("--weak-workers", o.weak_workers, "the first so many do half the updates")
      ->check(from_to(0, 4096));
  app.add_flag("--average-moments", o.moments, "optimizer moments are averaged too");
  app.add_flag("--average-keep-statistics", o.statistics_stay,
               "running statistics of batch norm are not");
  app.add_option("--aggregation", o.aggregation, "how networks are brought together")
      ->check(one_of(aggregation));
  app.add_option("--wrong-workers", o.wrong_workers, "workers that a robust aggregation survives")
      ->check(from_to(0, 4096));
  std::vector<std::string> stale = staleness;
  stale.insert(stale.begin(), "none");
  app.add_option("--staleness", o.staleness, "merge uploads as they come, weighed by their age")
      ->check(one_of(stale));
  app.add_option("--staleness-alpha", o.staleness_alpha, "weight of an upload that is not stale")
      ->check(from_to(1e-6, 1.0));
  app.add_option("--staleness-decay", o.staleness_decay, "how fast it falls")
      ->check(from_to(0.0, 1e6));
  app.add_option("--staleness-free", o.staleness_free, "merges before it falls (hinge)")
      ->check(from_to(0.0, 1e6));
  app.add_option("--schedule", o.schedule, "whether server and workers train at the same time")
      ->check(one_of(schedules));
  app.add_option("--server-steps", o.server_steps, "generator steps of the server per round")
      ->check(from_to(1, 1000000));
  app.add_option("--scheduling", o.scheduling, "which workers take part in a round")
      ->check(one_of(scheduling));
  app.add_option("--snr", o.snr, "mean signal-to-noise ratio of modelled channels")
      ->check(from_to(1e-6, 1e9));
}

std::vector<std::pair<const char*, std::vector<std::string_view>>> averaging_flags() {
  const std::vector<std::string_view> fed{federated::name}, local{ren::name},
      both{federated::name, ren::name}, robust{federated::name, ren::name, dist::md_gan::name};
  return {{"--local-updates", both},  {"--local-epochs", fed},
          {"--average", fed},         {"--updates", fed},
          {"--weights", both},        {"--participation", fed},
          {"--fraction", both},       {"--weak-workers", fed},
          {"--average-moments", fed}, {"--average-keep-statistics", both},
          {"--aggregation", robust},  {"--wrong-workers", robust},
          {"--staleness", fed},       {"--staleness-alpha", fed},
          {"--staleness-decay", fed}, {"--staleness-free", fed},
          {"--schedule", local},      {"--server-steps", {ren::name, "layerwise_overlap"}},
          {"--scheduling", local},    {"--snr", local}};
}

federated::config federated_average_config(const CLI::App& app, const averaging_options& o) {
  if (app.count("--local-epochs") > 0 && app.count("--local-updates") > 0)
    throw usage_error(
        "--local-epochs was expected without --local-updates and came with it; leave one of them "
        "out");
  require_use(app, "--weights", o.aggregation == "mean", "--aggregation mean");
  return {.local = app.count("--local-epochs") > 0 ? dist::epochs(o.local_epochs)
                                                   : dist::iterations(o.local_updates),
          .updates = chosen<federated::update_order>(updates, o.updates),
          .average = chosen<federated::networks>(networks, o.average),
          .with = {.statistics = !o.statistics_stay, .moments = o.moments},
          .weights = chosen<dist::weight_rule>(weights, o.weights),
          .sample = chosen<federated::sampling>(
              participation, resolve_choice(app, "--participation", o.participation)),
          .fraction = o.fraction,
          .weak_workers = o.weak_workers,
          .how = resolve_aggregation(o),
          .arrivals = resolve_staleness(app, o)};
}

ren::config averaged_discriminator_config(const CLI::App& app, const averaging_options& o) {
  if (o.weights != "size" && o.weights != "uniform")
    throw usage_error(
        "--weights of averaged_discriminator was expected to be size or uniform and "
        "is " +
        o.weights + "; choose one of them, or --strategy federated_average");
  require_use(app, "--weights", o.aggregation == "mean", "--aggregation mean");
  require_use(app, "--snr", o.scheduling == "best-channel" || o.scheduling == "proportional-fair",
              "--scheduling best-channel or proportional-fair");
  return {.order_of_work = chosen<ren::schedule>(schedules, o.schedule),
          .local_updates = o.local_updates,
          .server_updates = o.server_steps,
          .statistics_travel = !o.statistics_stay,
          .by_size = o.weights == "size",
          .scheduling = {.policy = chosen<dist::scheduling_policy>(
                             scheduling, resolve_choice(app, "--scheduling", o.scheduling)),
                         .fraction = o.fraction,
                         .snr = o.snr},
          .how = resolve_aggregation(o)};
}

void add_settings(io::json::object& all, const strategy_options& options,
                  const federated::config& c) {
  const averaging_options& o = options.averaging;
  const bool in_epochs = c.local.measure == dist::swap_interval::unit::epochs;
  all.set(in_epochs ? "local_epochs" : "local_updates", c.local.amount);
  all.set("average", o.average);
  all.set("updates", o.updates);
  all.set("weights", o.weights);
  all.set("participation", participation[static_cast<std::size_t>(c.sample)]);
  all.set("fraction", c.fraction);
  all.set("weak_workers", c.weak_workers);
  all.set("average_moments", c.with.moments);
  all.set("average_statistics", c.with.statistics);
  all.set("aggregation", o.aggregation);
  all.set("wrong_workers", c.how.wrong);
  all.set("staleness", o.staleness);
  if (!c.arrivals) return;
  all.set("staleness_alpha", o.staleness_alpha);
  all.set("staleness_decay", o.staleness_decay);
  all.set("staleness_free", o.staleness_free);
}

void add_settings(io::json::object& all, const strategy_options& options, const ren::config& c) {
  const averaging_options& o = options.averaging;
  all.set("local_updates", c.local_updates);
  all.set("server_steps", c.server_updates);
  all.set("schedule", o.schedule);
  all.set("scheduling", scheduling[static_cast<std::size_t>(c.scheduling.policy)]);
  all.set("fraction", c.scheduling.fraction);
  all.set("snr", c.scheduling.snr);
  all.set("weights", o.weights);
  all.set("average_statistics", c.statistics_travel);
  all.set("aggregation", o.aggregation);
  all.set("wrong_workers", c.how.wrong);
}
