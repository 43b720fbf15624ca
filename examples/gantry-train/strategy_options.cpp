// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string_view>

#include "checks.hpp"
#include "strategy_options.hpp"

namespace {

using namespace gantry;

/// k = log N of the paper: the natural logarithm, rounded up, at least 1.
int resolve_k(const strategy_options& o) {
  if (o.k_text == "log")
    return std::max(1, static_cast<int>(std::ceil(std::log(static_cast<double>(o.workers)))));
  const auto k = number_in<int>(o.k_text);
  if (!k || *k < 1)
    throw usage_error("--k was expected to be a number from 1 up, or log, and is \"" + o.k_text +
                      "\"");
  return *k;
}

gantry::dist::swap_interval resolve_interval(const std::string& text) {
  if (text == "never") return gantry::dist::never;
  const bool counts_iterations = text.ends_with("it");
  const auto amount = number_in<double>(
      std::string_view(text).substr(0, text.size() - (counts_iterations ? 2 : 0)));
  const double longest = counts_iterations ? 1e9 : 1e4;
  if (!amount || !(*amount > 0 && *amount <= longest))
    throw usage_error(
        "--swap-every was expected to be a number of epochs (1, 0.5), of iterations (500it), or "
        "never, and is \"" +
        text + "\"");
  return counts_iterations ? gantry::dist::iterations(*amount) : gantry::dist::epochs(*amount);
}

constexpr std::string_view layerwise = dist::layerwise_overlap::name;

/// Flags that some strategies have and others have not, and the names of those that do.
struct flag_of {
  const char* flag;
  std::vector<std::string_view> strategies;
};
const std::vector<flag_of>& strategy_flags() {
  static const std::vector<flag_of> all{
      {"--k", {"md_gan", "standalone"}},
      {"--local-steps", {"md_gan", "standalone", layerwise}},
      {"--critic-steps", {"standalone"}},
      {"--swap", {"md_gan", layerwise}},
      {"--swap-every", {"md_gan"}},
      {"--swap-moments", {"md_gan"}},
      {"--swap-keep-statistics", {"md_gan"}},
      {"--overlap", {layerwise}},
      {"--server-steps", {layerwise}},
      {"--fakes-every", {layerwise}},
      {"--bucket", {layerwise}},
      {"--own-discriminators", {layerwise}},
      {"--schedule", {layerwise}},
      {"--peer-pass", {layerwise}},
      {"--peer-steps", {layerwise}},
      {"--peer-weight", {layerwise}},
      {"--replay-share", {layerwise}},
  };
  return all;
}

/// A flag that is given has to change something. @throws usage_error
void require_effect(const CLI::App& app, const strategy_options& o) {
  for (const flag_of& f : strategy_flags()) {
    if (app.count(f.flag) == 0 || std::ranges::find(f.strategies, o.name) != f.strategies.end())
      continue;
    std::string fitting;
    for (const std::string_view name : f.strategies)
      fitting += (fitting.empty() ? "" : " or ") + std::string(name);
    throw usage_error(std::string(f.flag) + " was expected with --strategy " + fitting +
                      " and came with " + o.name + "; leave it out or use --strategy " + fitting);
  }
  if (app.count("--stop-worker") > 0 && !o.has_server())
    throw usage_error("--stop-worker was expected with a strategy that has workers and came with " +
                      o.name + "; leave it out");
}

dist::md_gan::config md_gan_config(const strategy_options& o) {
  const int k = resolve_k(o);
  if (k > o.workers)
    throw usage_error("--k was expected to be at most the " + std::to_string(o.workers) +
                      " of --workers and is " + o.k_text + "; lower it or take more workers");
  return {.k = k,
          .local_steps = o.local_steps,
          .swap_every = resolve_interval(o.swap_every),
          .swap = o.swap == "ring"    ? dist::swap_rule::ring
                  : o.swap == "pairs" ? dist::swap_rule::pairs
                                      : dist::swap_rule::derangement,
          .moments_travel = o.moments_travel,
          .statistics_travel = !o.statistics_stay};
}

dist::swap_rule resolve_swap(const strategy_options& o) {
  return o.swap == "ring"    ? dist::swap_rule::ring
         : o.swap == "pairs" ? dist::swap_rule::pairs
                             : dist::swap_rule::derangement;
}

/// @throws usage_error for flags of a peer pass that is not asked for
dist::layerwise_overlap::config layerwise_config(const CLI::App& app, const strategy_options& o) {
  const auto needs = [&](const char* flag, bool fits, const char* fitting) {
    if (app.count(flag) > 0 && !fits)
      throw usage_error(std::string(flag) + " was expected with --peer-pass " + fitting +
                        " and came with --peer-pass " + o.peer_pass + "; leave it out");
  };
  needs("--swap", o.peer_pass != "none", "ewc or replay");
  needs("--peer-steps", o.peer_pass != "none", "ewc or replay");
  needs("--peer-weight", o.peer_pass == "ewc", "ewc");
  needs("--replay-share", o.peer_pass == "replay", "replay");
  const dist::fixed_steps steps{
      .discriminator = o.local_steps, .generator = o.server_steps, .fakes_every = o.fakes_every};
  dist::layerwise_overlap::config c{
      .overlap = o.overlap == "blocking" ? dist::overlap_mode::blocking
                 : o.overlap == "ready"  ? dist::overlap_mode::ready
                                         : dist::overlap_mode::input_first,
      .bucket = static_cast<std::size_t>(o.bucket) * 1024,
      .return_mean = !o.own_discriminators,
      .steps = {steps},
      .peer = o.peer_pass == "ewc"      ? dist::peer_rule::consolidate
              : o.peer_pass == "replay" ? dist::peer_rule::replay
                                        : dist::peer_rule::none,
      .peer_order = resolve_swap(o),
      .peer_steps = o.peer_steps,
      .peer_weight = o.peer_weight,
      .replay_share = o.replay_share};
  if (o.schedule == "balanced") c.steps = {dist::balanced_steps{.most = steps}};
  return c;
}

dist::standalone::config standalone_config(const strategy_options& o) {
  const int fakes = resolve_k(o);
  if (fakes > 2)
    throw usage_error(
        "--k of the standalone strategy was expected to be 1 (both players see the same fakes) or "
        "2 (each its own) and is " +
        o.k_text);
  return {.fakes = fakes, .local_steps = o.local_steps, .critic_steps = o.critic_steps};
}

void add_settings(io::json::object& all, const strategy_options& o, const dist::md_gan::config& c) {
  all.set("k", c.k);
  all.set("local_steps", c.local_steps);
  all.set("swap", o.swap);
  all.set("swap_every", o.swap_every);
  all.set("swap_moments", c.moments_travel);
  all.set("swap_statistics", c.statistics_travel);
}

void add_settings(io::json::object& all, const strategy_options&,
                  const dist::standalone::config& c) {
  all.set("k", c.fakes);
  all.set("local_steps", c.local_steps);
  if (c.critic_steps != 1) all.set("critic_steps", c.critic_steps);
}

/// How networks travel decides no result, so a run may go on with another --overlap.
void add_settings(io::json::object& all, const strategy_options& o,
                  const dist::layerwise_overlap::config& c) {
  all.set("local_steps", o.local_steps);
  all.set("server_steps", o.server_steps);
  all.set("fakes_every", o.fakes_every);
  all.set("schedule", o.schedule);
  all.set("own_discriminators", o.own_discriminators);
  all.set("peer_pass", o.peer_pass);
  if (c.peer == dist::peer_rule::none) return;
  all.set("swap", o.swap);
  all.set("peer_steps", c.peer_steps);
  if (c.peer == dist::peer_rule::consolidate)
    all.set("peer_weight", static_cast<double>(c.peer_weight));
  else
    all.set("replay_share", static_cast<double>(c.replay_share));
}

void add_layerwise_flags(CLI::App& app, strategy_options& o) {
  app.add_option("--overlap", o.overlap,
                 "how the generator travels: in one message, by layers as they are ready, or "
                 "input layers first")
      ->check(one_of({"blocking", "ready", "input-first"}));
  app.add_option("--server-steps", o.server_steps, "generator steps of the server in a round")
      ->check(from_to(1, 1000));
  app.add_option("--fakes-every", o.fakes_every,
                 "discriminator steps for which a worker uses its generated samples")
      ->check(from_to(1, 1000));
  app.add_option("--bucket", o.bucket, "KiB up to which layers share a message; 0: none do")
      ->check(from_to(0, 1 << 20));
  app.add_flag("--own-discriminators", o.own_discriminators,
               "workers go on from their own discriminator, not from the mean");
  app.add_option("--schedule", o.schedule,
                 "steps of a round: as given, or at most so many, balanced by measured times")
      ->check(one_of({"fixed", "balanced"}));
  app.add_option("--peer-pass", o.peer_pass,
                 "discriminators learn on at another worker, with a penalty (ewc) or old fakes")
      ->check(one_of({"none", "ewc", "replay"}));
  app.add_option("--peer-steps", o.peer_steps, "steps there")->check(from_to(1, 1000));
  app.add_option("--peer-weight", o.peer_weight, "lambda of --peer-pass ewc")
      ->check(from_to(0.0f, 1e9f));
  app.add_option("--replay-share", o.replay_share, "old fakes in a batch of --peer-pass replay")
      ->check(from_to(0.0f, 1.0f));
}

}  // namespace

void add_strategy_flags(CLI::App& app, strategy_options& o) {
  app.option_defaults()->group("Distribution");
  app.add_option("--strategy", o.name, "how nodes work together")
      ->check(one_of(strategies::names()));
  app.add_option("--workers", o.workers, "workers, each with a shard of the data")
      ->check(from_to(1, 4096));
  app.add_option("--k", o.k_text,
                 "generated batches per iteration: a number, or log for ceil(ln workers)");
  app.add_option("--local-steps", o.local_steps, "discriminator steps on the same batches")
      ->check(from_to(1, 1000));
  app.add_option("--critic-steps", o.critic_steps,
                 "discriminator steps per iteration, each on new batches")
      ->check(from_to(1, 1000));
  app.add_option("--swap-every", o.swap_every,
                 "epochs between swaps (1, 0.5), iterations (500it), or never");
  app.add_option("--swap", o.swap, "who gets whose discriminator")
      ->check(one_of({"derangement", "pairs", "ring"}));
  app.add_flag("--swap-moments", o.moments_travel,
               "optimizer moments travel with a swapped discriminator");
  app.add_flag("--swap-keep-statistics", o.statistics_stay,
               "running statistics of batch norm stay behind");
  add_layerwise_flags(app, o);
}

void resolve_strategy(const CLI::App& app, strategy_options& o) {
  require_effect(app, o);
  if (!o.has_server()) o.workers = 1;
  if (o.is<dist::md_gan>()) std::get<dist::md_gan::config>(o.configs) = md_gan_config(o);
  if (o.is<dist::layerwise_overlap>())
    std::get<dist::layerwise_overlap::config>(o.configs) = layerwise_config(app, o);
  if (o.is<dist::standalone>())
    std::get<dist::standalone::config>(o.configs) = standalone_config(o);
}

void add_strategy_settings(io::json::object& all, const strategy_options& o) {
  strategies::visit(o.name, [&]<class S>(S) { add_settings(all, o, o.config<S>()); });
}
