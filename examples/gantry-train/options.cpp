// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <CLI/CLI.hpp>
#include <cmath>
#include <iostream>

namespace {

using gantry::usage_error;

/// k = log N of the paper: the natural logarithm, rounded up, at least 1.
int resolve_k(const program_options& o) {
  if (o.k_text == "log") return std::max(1, static_cast<int>(std::ceil(std::log(static_cast<double>(o.workers)))));
  std::size_t used = 0;
  int k = 0;
  try {
    k = std::stoi(o.k_text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != o.k_text.size() || k < 1)
    throw usage_error("--k was expected to be a number from 1 up, or log, and is \"" + o.k_text + "\"");
  return k;
}

gantry::dist::swap_interval resolve_interval(const std::string& text) {
  if (text == "never") return gantry::dist::never;
  std::size_t used = 0;
  double amount = 0;
  try {
    amount = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  const std::string unit = text.substr(used);
  if (used == 0 || !std::isfinite(amount) || amount <= 0 || (!unit.empty() && unit != "it"))
    throw usage_error("--swap-every was expected to be a number of epochs (1, 0.5), of iterations (500it), or never, and is \"" +
                      text + "\"");
  return unit.empty() ? gantry::dist::epochs(amount) : gantry::dist::iterations(amount);
}

gantry::train::planned_stop resolve_stop(const std::string& text, int workers) {
  int worker = 0;
  unsigned iteration = 0;
  char rest = 0;
  if (std::sscanf(text.c_str(), "%d@%u%c", &worker, &iteration, &rest) != 2 || worker < 1 || worker > workers)
    throw usage_error("--stop-worker was expected to be WORKER@ITERATION with a worker from 1 to " +
                      std::to_string(workers) + " and is \"" + text + "\"");
  return {worker, iteration};
}

void resolve(program_options& o) {
  if (o.strategy == "standalone") o.workers = 1;
  o.k = resolve_k(o);
  if (o.strategy == "standalone" && o.k > 2)
    throw usage_error("--k of the standalone strategy was expected to be 1 (both players see the same fakes) or 2 (each its own) and is " +
                      o.k_text);
  o.swap_interval = resolve_interval(o.swap_every);
  o.swap_rule = o.swap == "ring"    ? gantry::dist::swap_rule::ring
                : o.swap == "pairs" ? gantry::dist::swap_rule::pairs
                                    : gantry::dist::swap_rule::derangement;
  for (const std::string& text : o.stop_worker) o.stops.push_back(resolve_stop(text, o.workers));
  if (o.grid_every == 0) o.grid_every = std::max(1u, o.iterations / 10);
  if (o.metric_every == 0) o.metric_every = o.grid_every;
}

std::vector<std::string> strings(std::initializer_list<const char*> list) { return {list.begin(), list.end()}; }

}  // namespace

std::optional<program_options> parse_options(int argc, const char* const* argv, const std::vector<std::string>& models) {
  program_options o;
  o.model = models.empty() ? o.model : models.front();
  for (const std::string& m : models)
    if (m == "dcgan28") o.model = m;
  CLI::App app{"Trains a generative adversarial network on one or several workers.", "gantry-train"};
  app.get_formatter()->column_width(34);
  app.option_defaults()->always_capture_default();
  app.set_version_flag("--version", "gantry-train 0.1.0");

  app.add_option("--data", o.data, "data set")->check(CLI::IsMember(strings({"fashion-mnist", "mnist"})))->group("Data");
  app.add_option("--data-dir", o.data_dir, "folder of the IDX files; fashion-mnist defaults to the Debian package's")->group("Data");

  app.add_option("--model", o.model, "networks")->check(CLI::IsMember(models))->group("GAN");
  app.add_option("--loss", o.loss, "objective")
      ->check(CLI::IsMember(strings({"saturating", "non_saturating", "least_squares", "hinge", "wasserstein"})))->group("GAN");
  app.add_option("--clip", o.clip, "bound of the weights under --loss wasserstein")->check(CLI::PositiveNumber)->group("GAN");
  app.add_option("--optimizer", o.optimizer, "optimizer of both players")
      ->check(CLI::IsMember(strings({"adam", "rmsprop", "sgd"})))->group("GAN");
  app.add_option("--lr-g,--lr_g", o.rate_g, "learning rate of the generator")->check(CLI::PositiveNumber)->group("GAN");
  app.add_option("--lr-d,--lr_d", o.rate_d, "learning rate of the discriminators")->check(CLI::PositiveNumber)->group("GAN");
  app.add_option("--beta1", o.beta1, "Adam's beta1")->check(CLI::Range(0.0, 0.9999))->group("GAN");
  app.add_option("--beta2", o.beta2, "Adam's beta2")->check(CLI::Range(0.0, 0.999999))->group("GAN");
  app.add_option("--ema", o.ema, "decay of the generator's average; 0 samples from the generator itself")
      ->check(CLI::Range(0.0, 0.999999))->group("GAN");
  app.add_option("--batch,--batchSize", o.batch, "samples per batch and worker")->check(CLI::Range(1, 1 << 16))->group("GAN");
  app.add_option("--iterations", o.iterations, "generator updates")->check(CLI::Range(1u, 1u << 30))->group("GAN");
  app.add_option("--seed,--manualSeed", o.seed, "seed of every random number")->check(CLI::Range(std::uint64_t{0}, std::uint64_t{1} << 62))->group("GAN");

  app.add_option("--strategy", o.strategy, "how nodes work together")
      ->check(CLI::IsMember(strings({"standalone", "md_gan"})))->group("Distribution");
  app.add_option("--workers", o.workers, "workers, each with a discriminator and a shard of the data")
      ->check(CLI::Range(1, 4096))->group("Distribution");
  app.add_option("--k", o.k_text, "generated batches per iteration: a number, or log for ceil(ln workers)")->group("Distribution");
  app.add_option("--local-steps", o.local_steps, "discriminator steps per iteration")->check(CLI::Range(1, 1000))->group("Distribution");
  app.add_option("--swap-every", o.swap_every, "epochs between swaps (1, 0.5), iterations (500it), or never")->group("Distribution");
  app.add_option("--swap", o.swap, "who gets whose discriminator")
      ->check(CLI::IsMember(strings({"derangement", "pairs", "ring"})))->group("Distribution");
  app.add_flag("--swap-moments", o.moments_travel, "optimizer moments travel with a swapped discriminator")->group("Distribution");
  app.add_flag("--swap-keep-statistics", o.statistics_stay, "running statistics of batch norm stay behind")->group("Distribution");
  app.add_option("--stop-worker", o.stop_worker, "WORKER@ITERATION: this worker stops for good (may be repeated)")->group("Distribution");
  app.add_option("--transport", o.transport, "what carries messages")->check(CLI::IsMember(strings({"threads"})))->group("Distribution");
  app.add_option("--device", o.device, "where networks run")->check(CLI::IsMember(strings({"cpu"})))->group("Distribution");
  app.add_option("--threads", o.threads, "cores to use; 0: all")->check(CLI::Range(0, 4096))->group("Distribution");

  app.add_option("--outdir", o.outdir, "folder for everything that is written")->group("Output");
  app.add_option("--metrics", o.metrics, "scores while training")->check(CLI::IsMember(strings({"fid", "none"})))->group("Output");
  app.add_option("--metric-samples", o.metric_samples, "generated samples per score")->check(CLI::Range(2, 1000000))->group("Output");
  app.add_option("--metric-every", o.metric_every, "iterations between scores; 0: as --grid-every")->group("Output");
  app.add_option("--grid-every", o.grid_every, "iterations between sample grids; 0: a tenth of the run")->group("Output");
  app.add_option("--log-every", o.log_every, "iterations per line of stats.jsonl")->check(CLI::Range(1u, 1u << 30))->group("Output");
  app.add_option("--save-every", o.save_every, "iterations between checkpoints; 0: only at the end")->group("Output");
  app.add_option("--resume", o.resume, "continue from a checkpoint: its folder, or latest")->group("Output");
  app.add_flag("-n,--dry-run", o.dry_run, "print the resolved configuration and what it will cost, then end")->group("Output");
  app.add_flag("--quiet", o.quiet, "no progress")->group("Output");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) {
      app.exit(e);
      return std::nullopt;
    }
    std::string known;
    if (dynamic_cast<const CLI::ExtrasError*>(&e)) {
      for (const CLI::Option* option : app.get_options()) known += (known.empty() ? "" : " ") + option->get_name();
      known = "; valid flags: " + known;
    }
    throw usage_error(std::string(e.what()) + known);
  }
  resolve(o);
  return o;
}

gantry::io::json::object configuration(const program_options& o) {
  gantry::io::json::object c{{"data", o.data}, {"model", o.model}, {"strategy", o.strategy}, {"workers", o.workers},
                             {"batch", o.batch}, {"seed", o.seed}, {"loss", o.loss}, {"optimizer", o.optimizer},
                             {"lr_g", static_cast<double>(o.rate_g)}, {"lr_d", static_cast<double>(o.rate_d)},
                             {"beta1", static_cast<double>(o.beta1)}, {"beta2", static_cast<double>(o.beta2)},
                             {"ema", static_cast<double>(o.ema)}, {"k", o.k}, {"local_steps", o.local_steps}};
  if (o.loss == "wasserstein") c.set("clip", static_cast<double>(o.clip));
  if (o.strategy == "md_gan") {
    c.set("swap", o.swap);
    c.set("swap_every", o.swap_every);
    c.set("swap_moments", o.moments_travel);
    c.set("swap_statistics", !o.statistics_stay);
  }
  return c;
}
