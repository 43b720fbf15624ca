// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <string_view>
#include <type_traits>

#include <CLI/CLI.hpp>

#include "options.hpp"

namespace {

using gantry::usage_error;

/// The number that a float is meant to be: of those that read back as the same float, the one with
/// the fewest decimal digits. 0.1f is 0.1 and not 0.10000000149011612.
double shortest(float x) {
  char text[32];
  const auto written = std::to_chars(text, text + sizeof text, x);
  double number{};
  std::from_chars(text, written.ptr, number);
  return number;
}

/// All of `text` as a number, or nothing.
template <class Number>
std::optional<Number> number_in(std::string_view text) {
  Number number{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

template <class Number>
std::string text_of(Number number) {
  if constexpr (std::is_integral_v<Number>) return std::to_string(number);
  char text[32];
  std::snprintf(text, sizeof text, "%.10g", static_cast<double>(number));
  return text;
}

std::string joined(const std::vector<std::string>& names, const char* between) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : between) + name;
  return all;
}

CLI::Validator one_of(const std::vector<std::string>& names) {
  return {[names](std::string& text) {
            if (std::ranges::find(names, text) != names.end()) return std::string();
            return "expected one of " + joined(names, ", ") + ", found \"" + text + "\"";
          },
          "{" + joined(names, ",") + "}"};
}

/// Unlike CLI::Range it refuses NaN, and says what it found as it was written.
template <class Number>
CLI::Validator from_to(Number low, Number high) {
  const std::string first = text_of(low), last = text_of(high);
  return {[=](std::string& text) {
            const auto number = number_in<Number>(text);
            if (number && *number >= low && *number <= high) return std::string();
            return "expected a " + std::string(std::is_integral_v<Number> ? "whole " : "") +
                   "number from " + first + " to " + last + ", found \"" + text + "\"";
          },
          first + ".." + last};
}

CLI::Validator positive() {
  return {[](std::string& text) {
            const auto number = number_in<float>(text);
            if (number && std::isfinite(*number) && *number > 0) return std::string();
            return "expected a number above 0, found \"" + text + "\"";
          },
          "above 0"};
}

/// k = log N of the paper: the natural logarithm, rounded up, at least 1.
int resolve_k(const program_options& o) {
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

gantry::train::planned_stop resolve_stop(const std::string& text, int workers) {
  const std::size_t at = std::min(text.find('@'), text.size());
  const auto worker = number_in<int>(text.substr(0, at));
  const auto iteration = number_in<std::uint32_t>(text.substr(std::min(at + 1, text.size())));
  if (!worker || !iteration || *worker < 1 || *worker > workers)
    throw usage_error("--stop-worker was expected to be WORKER@ITERATION with a worker from 1 to " +
                      std::to_string(workers) + " and is \"" + text + "\"");
  return {*worker, *iteration};
}

/// A preset with an objective of its own is trained with it, and with its source's settings where
/// no flag says otherwise. @throws usage_error
void use_model(const CLI::App& app, const model_info& m, program_options& o) {
  if (!m.objective.empty()) {
    if (app.count("--loss") > 0)
      throw usage_error(
          "--loss was expected with networks that have no objective of their own and "
          "came with " +
          m.name + ", which is trained with " + m.objective + "; leave it out");
    o.loss = m.objective;
  }
  if (!m.has_penalties && app.count("--penalty") > 0)
    throw usage_error(
        "--penalty was expected with networks whose objective has a gradient penalty "
        "and came with " +
        m.name + "; leave it out");
  if (!m.has_settings) return;
  const auto recommend = [&](const char* flag, auto& value, auto recommended) {
    if (app.count(flag) == 0) value = recommended;
  };
  recommend("--lr-g", o.rate_g, m.settings.rate_g);
  recommend("--lr-d", o.rate_d, m.settings.rate_d);
  recommend("--beta1", o.beta1, m.settings.beta1);
  recommend("--beta2", o.beta2, m.settings.beta2);
  if (o.strategy == "standalone")
    recommend("--critic-steps", o.critic_steps, m.settings.critic_steps);
}

/// A flag that is given has to change something. @throws usage_error
void require_effect(const CLI::App& app, const program_options& o) {
  const auto only_with = [&](const char* flag, const char* other, const std::string& needed,
                             const std::string& found) {
    if (app.count(flag) > 0 && found != needed)
      throw usage_error(std::string(flag) + " was expected with " + other + " " + needed +
                        " and came with " + found + "; leave it out or use " + other + " " +
                        needed);
  };
  only_with("--clip", "--loss", "wasserstein", o.loss);
  for (const char* flag : {"--beta1", "--beta2"})
    only_with(flag, "--optimizer", "adam", o.optimizer);
  for (const char* flag :
       {"--swap", "--swap-every", "--swap-moments", "--swap-keep-statistics", "--stop-worker"})
    only_with(flag, "--strategy", "md_gan", o.strategy);
  only_with("--critic-steps", "--strategy", "standalone", o.strategy);
}

void resolve(program_options& o) {
  if (o.strategy == "standalone") o.workers = 1;
  o.k = resolve_k(o);
  if (o.strategy == "standalone" && o.k > 2)
    throw usage_error(
        "--k of the standalone strategy was expected to be 1 (both players see the same fakes) or "
        "2 (each its own) and is " +
        o.k_text);
  if (o.strategy == "md_gan" && o.k > o.workers)
    throw usage_error("--k was expected to be at most the " + std::to_string(o.workers) +
                      " of --workers and is " + o.k_text + "; lower it or take more workers");
  o.swap_interval = resolve_interval(o.swap_every);
  o.swap_rule = o.swap == "ring"    ? gantry::dist::swap_rule::ring
                : o.swap == "pairs" ? gantry::dist::swap_rule::pairs
                                    : gantry::dist::swap_rule::derangement;
  for (const std::string& text : o.stop_worker) o.stops.push_back(resolve_stop(text, o.workers));
  if (o.grid_every == 0) o.grid_every = std::max(1u, o.iterations / 10);
  if (o.metric_every == 0) o.metric_every = o.grid_every;
}

constexpr std::uint32_t most = 1u << 30;  // of iterations

void add_gan_flags(CLI::App& app, program_options& o, const std::vector<std::string>& models) {
  app.option_defaults()->group("Data");
  app.add_option("--data", o.data, "data set")
      ->check(one_of({"fashion-mnist", "mnist", "cifar10", "cifar100"}));
  app.add_option("--data-dir", o.data_dir,
                 "folder of the published files; fashion-mnist defaults to the Debian package's");

  app.option_defaults()->group("GAN");
  app.add_option("--model", o.model, "networks")->check(one_of(models));
  app.add_option("--loss", o.loss, "objective")
      ->check(one_of({"saturating", "non_saturating", "least_squares", "hinge", "wasserstein"}));
  app.add_option("--clip", o.clip, "bound of the weights under --loss wasserstein")
      ->check(positive());
  app.add_option("--penalty", o.penalty, "weight of the model's gradient penalties")
      ->check(positive());
  app.add_option("--optimizer", o.optimizer, "optimizer of both players")
      ->check(one_of({"adam", "rmsprop", "sgd"}));
  app.add_option("--lr-g,--lr_g", o.rate_g, "learning rate of the generator")->check(positive());
  app.add_option("--lr-d,--lr_d", o.rate_d, "learning rate of the discriminators")
      ->check(positive());
  app.add_option("--beta1", o.beta1, "Adam's beta1")->check(from_to(0.0, 0.9999));
  app.add_option("--beta2", o.beta2, "Adam's beta2")->check(from_to(0.0, 0.999999));
  app.add_option("--ema", o.ema,
                 "decay of the generator's average; 0 samples from the generator itself")
      ->check(from_to(0.0, 0.999999));
  app.add_option("--batch,--batchSize", o.batch, "samples per batch and worker")
      ->check(from_to(1, 1 << 16));
  app.add_option("--iterations", o.iterations, "generator updates")->check(from_to(1u, most));
  app.add_option("--seed,--manualSeed", o.seed, "seed of every random number")
      ->check(from_to(std::uint64_t{0}, std::uint64_t{1} << 62));
}

void add_distribution_flags(CLI::App& app, program_options& o) {
  app.option_defaults()->group("Distribution");
  app.add_option("--strategy", o.strategy, "how nodes work together")
      ->check(one_of({"standalone", "md_gan"}));
  app.add_option("--workers", o.workers,
                 "workers, each with a discriminator and a shard of the data")
      ->check(from_to(1, 4096));
  app.add_option("--k", o.k_text,
                 "generated batches per iteration: a number, or log for ceil(ln workers)");
  app.add_option("--local-steps", o.local_steps, "discriminator steps on the same batches")
      ->check(from_to(1, 1000));
  app.add_option("--critic-steps", o.critic_steps,
                 "discriminator steps per iteration, each on new batches (standalone)")
      ->check(from_to(1, 1000));
  app.add_option("--swap-every", o.swap_every,
                 "epochs between swaps (1, 0.5), iterations (500it), or never");
  app.add_option("--swap", o.swap, "who gets whose discriminator")
      ->check(one_of({"derangement", "pairs", "ring"}));
  app.add_flag("--swap-moments", o.moments_travel,
               "optimizer moments travel with a swapped discriminator");
  app.add_flag("--swap-keep-statistics", o.statistics_stay,
               "running statistics of batch norm stay behind");
  app.add_option("--stop-worker", o.stop_worker,
                 "WORKER@ITERATION: this worker stops for good (may be repeated)");
  app.add_option("--transport", o.transport, "what carries messages")->check(one_of({"threads"}));
  app.add_option("--device", o.device, "where networks run")->check(one_of({"cpu"}));
  app.add_option("--threads", o.threads, "cores to use; 0: all")->check(from_to(0, 4096));
}

void add_output_flags(CLI::App& app, program_options& o) {
  app.option_defaults()->group("Output");
  app.add_option("--outdir", o.outdir, "folder for everything that is written");
  app.add_option("--metrics", o.metrics, "scores while training")->check(one_of({"fid", "none"}));
  app.add_option("--metric-samples", o.metric_samples, "generated samples per score")
      ->check(from_to(2, 1000000));
  app.add_option("--metric-every", o.metric_every, "iterations between scores; 0: as --grid-every")
      ->check(from_to(0u, most));
  app.add_option("--grid-every", o.grid_every,
                 "iterations between sample grids; 0: a tenth of the run")
      ->check(from_to(0u, most));
  app.add_option("--log-every", o.log_every, "iterations per line of stats.jsonl")
      ->check(from_to(1u, most));
  app.add_option("--save-every", o.save_every, "iterations between checkpoints; 0: only at the end")
      ->check(from_to(0u, most));
  auto* resume =
      app.add_option("--resume", o.resume, "continue from a checkpoint: its folder, or latest");
  auto* sample = app.add_option("--sample", o.sample,
                                "do not train: draw so many images with the generator of --from "
                                "and this --seed into samples.png in --outdir")
                     ->check(from_to(1, 10000))
                     ->excludes(resume);
  auto* from = app.add_option("--from", o.from,
                              "checkpoint for --sample: its folder, or the folder of a run")
                   ->needs(sample);
  sample->needs(from);
  app.add_flag("--overwrite", o.overwrite,
               "start anew in an --outdir that holds checkpoints; what the earlier run left there "
               "is removed");
  app.add_flag("-n,--dry-run", o.dry_run,
               "print the resolved configuration and what it will cost, then end");
  app.add_flag("--quiet", o.quiet, "no progress");
}

/// One sentence for a command line that cannot be read.
std::string explanation(const CLI::App& app, const CLI::ParseError& e) {
  const std::string text = e.what();
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&e))
    return text.substr(0, text.find(':')) + " was expected to come once, with one value";
  if (!dynamic_cast<const CLI::ExtrasError*>(&e))
    return text + "; gantry-train --help describes the flags";
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) flags.push_back(option->get_name());
  return text + "; valid flags: " + joined(flags, " ");
}

}  // namespace

std::optional<program_options> parse_options(int argc, const char* const* argv,
                                             const std::vector<model_info>& models) {
  program_options o;
  std::vector<std::string> names;
  for (const model_info& m : models) names.push_back(m.name);
  if (!names.empty() && std::ranges::find(names, o.model) == names.end()) o.model = names.front();
  CLI::App app{"Trains a generative adversarial network on one or several workers.",
               "gantry-train"};
  app.get_formatter()->column_width(34);
  app.option_defaults()->always_capture_default();
  app.set_version_flag("--version", "gantry-train 0.1.0");
  add_gan_flags(app, o, names);
  add_distribution_flags(app, o);
  add_output_flags(app, o);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() != 0) throw usage_error(explanation(app, e));
    app.exit(e);
    return std::nullopt;
  }
  o.model_given = app.count("--model") > 0;
  for (const model_info& m : models)
    if (m.name == o.model) use_model(app, m, o);
  require_effect(app, o);
  resolve(o);
  return o;
}

gantry::io::json::object configuration(const program_options& o) {
  gantry::io::json::object c{{"data", o.data},
                             {"model", o.model},
                             {"strategy", o.strategy},
                             {"workers", o.workers},
                             {"batch", o.batch},
                             {"seed", o.seed},
                             {"loss", o.loss},
                             {"optimizer", o.optimizer},
                             {"lr_g", shortest(o.rate_g)},
                             {"lr_d", shortest(o.rate_d)},
                             {"beta1", shortest(o.beta1)},
                             {"beta2", shortest(o.beta2)},
                             {"ema", shortest(o.ema)},
                             {"k", o.k},
                             {"local_steps", o.local_steps}};
  if (o.critic_steps != 1) c.set("critic_steps", o.critic_steps);
  if (o.penalty) c.set("penalty", shortest(*o.penalty));
  if (o.loss == "wasserstein") c.set("clip", shortest(o.clip));
  if (o.strategy == "md_gan") {
    c.set("swap", o.swap);
    c.set("swap_every", o.swap_every);
    c.set("swap_moments", o.moments_travel);
    c.set("swap_statistics", !o.statistics_stay);
  }
  return c;
}
