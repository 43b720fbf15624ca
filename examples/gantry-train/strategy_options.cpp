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
  static const std::vector<flag_of> all = [] {
    std::vector<flag_of> flags{
        {"--k", {"md_gan", "standalone", "output_aggregation"}},
        {"--local-steps", {"md_gan", "standalone", "output_aggregation", "layerwise_overlap"}},
        {"--critic-steps", {"standalone", "label_parallel"}},
        {"--output-rule", {"output_aggregation"}},
        {"--output-lambda", {"output_aggregation"}},
        {"--output-lambda-rate", {"output_aggregation"}},
        {"--output-beta", {"output_aggregation"}},
        {"--swap", {"md_gan", "layerwise_overlap"}},
        {"--swap-every", {"md_gan"}},
        {"--swap-moments", {"md_gan"}},
        {"--swap-keep-statistics", {"md_gan"}},
    };
    for (auto& [flag, names] : averaging_flags()) flags.push_back({flag, names});
    for (const char* flag : layerwise_flags()) flags.push_back({flag, {"layerwise_overlap"}});
    return flags;
  }();
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
}

dist::swap_rule resolve_swap(const std::string& name) {
  return name == "ring"    ? dist::swap_rule::ring
         : name == "pairs" ? dist::swap_rule::pairs
                           : dist::swap_rule::derangement;
}

dist::md_gan::config md_gan_config(const CLI::App& app, const strategy_options& o) {
  if (o.swap_every == "never")
    for (const char* flag : {"--swap", "--swap-moments", "--swap-keep-statistics"})
      if (app.count(flag) > 0)
        throw usage_error(std::string(flag) +
                          " was expected with discriminators that are swapped and came with "
                          "--swap-every never; leave it out");
  const int k = resolve_k(o);
  if (k > o.workers)
    throw usage_error("--k was expected to be at most the " + std::to_string(o.workers) +
                      " of --workers and is " + o.k_text + "; lower it or take more workers");
  return {.k = k,
          .local_steps = o.local_steps,
          .swap_every = resolve_interval(o.swap_every),
          .swap = resolve_swap(o.swap),
          .moments_travel = o.moments_travel,
          .statistics_travel = !o.statistics_stay,
          .aggregation = resolve_aggregation(o.averaging)};
}

/// @throws usage_error for more batches than there are players
int resolve_fakes(const strategy_options& o) {
  const int fakes = resolve_k(o);
  if (fakes > 2)
    throw usage_error("--k of the " + o.name +
                      " strategy was expected to be 1 (both players see the same fakes) or 2 "
                      "(each its own) and is " +
                      o.k_text);
  return fakes;
}

dist::standalone::config standalone_config(const strategy_options& o) {
  const int fakes = resolve_fakes(o);
  return {.fakes = fakes, .local_steps = o.local_steps, .critic_steps = o.critic_steps};
}

void add_settings(io::json::object& all, const strategy_options& o, const dist::md_gan::config& c) {
  all.set("k", c.k);
  all.set("local_steps", c.local_steps);
  all.set("swap", o.swap);
  all.set("swap_every", o.swap_every);
  all.set("swap_moments", c.moments_travel);
  all.set("swap_statistics", c.statistics_travel);
  if (!c.aggregation.is_robust()) return;
  all.set("aggregation", o.averaging.aggregation);
  all.set("wrong_workers", c.aggregation.wrong);
}

void add_settings(io::json::object& all, const strategy_options&,
                  const dist::standalone::config& c) {
  all.set("k", c.fakes);
  all.set("local_steps", c.local_steps);
  if (c.critic_steps != 1) all.set("critic_steps", c.critic_steps);
}

void add_settings(io::json::object& all, const strategy_options&,
                  const dist::label_parallel::config& c) {
  all.set("critic_steps", c.critic_steps);
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
  add_output_rule_flags(app, o.output);
  app.add_option("--swap-every", o.swap_every,
                 "epochs between swaps (1, 0.5), iterations (500it), or never");
  app.add_option("--swap", o.swap, "who gets whose discriminator")
      ->check(one_of({"derangement", "pairs", "ring"}));
  app.add_flag("--swap-moments", o.moments_travel,
               "optimizer moments travel with a swapped discriminator");
  app.add_flag("--swap-keep-statistics", o.statistics_stay,
               "running statistics of batch norm stay behind");
  add_averaging_flags(app, o.averaging);
  add_layerwise_flags(app, o.layerwise);
}

void resolve_strategy(const CLI::App& app, strategy_options& o) {
  require_effect(app, o);
  if (!o.has_server()) o.workers = 1;
  if (o.is<dist::label_parallel>())
    std::get<dist::label_parallel::config>(o.configs) = {.critic_steps = o.critic_steps};
  if (o.is<dist::output_aggregation>())
    std::get<dist::output_aggregation::config>(o.configs) =
        output_aggregation_config(app, o.output, resolve_fakes(o), o.local_steps);
  if (o.is<dist::md_gan>()) std::get<dist::md_gan::config>(o.configs) = md_gan_config(app, o);
  if (o.is<dist::layerwise_overlap>())
    std::get<dist::layerwise_overlap::config>(o.configs) =
        layerwise_config(app, o.layerwise,
                         {.discriminator = o.local_steps,
                          .generator = o.averaging.server_steps,
                          .fakes_every = o.layerwise.fakes_every},
                         resolve_swap(o.swap));
  if (o.is<dist::standalone>())
    std::get<dist::standalone::config>(o.configs) = standalone_config(o);
  if (o.is<dist::federated_average>())
    std::get<dist::federated_average::config>(o.configs) =
        federated_average_config(app, o.averaging);
  if (o.is<dist::averaged_discriminator>())
    std::get<dist::averaged_discriminator::config>(o.configs) =
        averaged_discriminator_config(app, o.averaging);
}

void add_strategy_settings(io::json::object& all, const strategy_options& o) {
  strategies::visit(o.name, [&]<class S>(S) { add_settings(all, o, o.config<S>()); });
}
