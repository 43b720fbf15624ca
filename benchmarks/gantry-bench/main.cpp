// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// gantry-bench: times training steps and layers; one JSON line per result. The exit codes are those
// of gantry/base/error.hpp.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string_view>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "gantry/backend/cpu/simd.hpp"
#include "gantry/base/error.hpp"
#include "gantry/base/thread_pool.hpp"
#include "gantry/io/json.hpp"

#include "bench.hpp"
#include "communication.hpp"
#include "experiments.hpp"
#include "gantry-train/checks.hpp"
#include "gantry-train/settings.hpp"
#include "guarded.hpp"
#include "lines.hpp"
#include "scaling.hpp"

namespace {

using namespace gantry;

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const preset_bench& p : timed_presets()) names.emplace_back(p.name);
  return names;
}

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(": ") + 2);
  return "unknown";
}

std::size_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::size_t>(usage.ru_maxrss) * 1024;
}

/// What every line begins with.
io::json::object line_of(const bench_settings& s) {
  io::json::object line;
  line.set("impl", "gantry");
  line.set("model", s.model);
  line.set("kernels", s.kernels);
  line.set("minimal_filtering", s.minimal_filtering);
  if (s.critic_only) line.set("critic_only", true);
  line.set("precision", s.precision);
  line.set("batch", s.batch);
  line.set("threads", s.threads);
  return line;
}

void run_step(const bench_settings& s, const preset_bench& model) {
  const double peak = measured_peak(s.threads);
  const timings found = model.step(s);
  const double median = quantile(found.seconds, 0.5);
  io::json::object line = line_of(s);
  line.set("steps", found.seconds.size());
  line.set("step_ms", 1e3 * median);
  line.set("step_ms_p10", 1e3 * quantile(found.seconds, 0.1));
  line.set("step_ms_p90", 1e3 * quantile(found.seconds, 0.9));
  line.set("images_per_s", s.batch / median);
  line.set("gflop_per_step", found.flops / 1e9);
  line.set("gflops", found.flops / median / 1e9);
  line.set("peak_gflops", peak / 1e9);
  line.set("fraction_of_peak", found.flops / median / peak);
  line.set("planned_bytes", found.planned_bytes);
  line.set("measured_bytes", found.measured_bytes);
  line.set("peak_resident_bytes", peak_resident_bytes());
  line.set("allocations_per_step", found.allocations);
  line.set("vector_lanes", backend::simd::lanes);
  line.set("compiler", __VERSION__);
  line.set("processor", processor());
  print_line(line);
}

void run_layers(bench_settings s, const preset_bench& model) {
  const double peak = measured_peak(s.threads);
  s.seconds = std::min(s.seconds, 0.2);  // per pass of a layer
  for (const layer_timing& l : model.layers(s)) {
    const double median = quantile(l.found.seconds, 0.5);
    io::json::object line = line_of(s);
    line.set("network", l.network);
    line.set("index", l.index);
    line.set("layer", l.layer);
    line.set("pass", l.pass);
    line.set("us", 1e6 * median);
    line.set("us_p10", 1e6 * quantile(l.found.seconds, 0.1));
    line.set("us_p90", 1e6 * quantile(l.found.seconds, 0.9));
    line.set("gflops", l.found.flops / median / 1e9);
    line.set("fraction_of_peak", l.found.flops / median / peak);
    print_line(line);
  }
}

/// Rounds and flat loops by turns.
void run_strategy(bench_settings s, const preset_bench& model) {
  if (s.steps == 0) s.steps = 20;
  std::vector<double> rounds, flat, ratios;
  for (int turn = 0; turn < 5; ++turn) {
    rounds.push_back(quantile(model.rounds(s).seconds, 0.5));
    flat.push_back(quantile(model.flat(s).seconds, 0.5));
    ratios.push_back(flat.back() / rounds.back());
  }
  io::json::object line = line_of(s);
  line.set("strategy", "md_gan");
  line.set("workers", s.workers);
  line.set("round_ms", 1e3 * quantile(rounds, 0.5));
  line.set("flat_ms", 1e3 * quantile(flat, 0.5));
  line.set("throughput_of_flat", quantile(ratios, 0.5));
  line.set("throughput_of_flat_least", quantile(ratios, 0.0));
  line.set("throughput_of_flat_most", quantile(ratios, 1.0));
  print_line(line);
}

void run_peak(const bench_settings& s) {
  io::json::object line;
  line.set("impl", "gantry");
  line.set("threads", s.threads);
  line.set("vector_lanes", backend::simd::lanes);
  line.set("peak_gflops", measured_peak(s.threads) / 1e9);
  for (const auto& [name, bytes] :
       {std::pair{"256_KiB", std::size_t{1} << 18}, std::pair{"4_MiB", std::size_t{1} << 22},
        std::pair{"256_MiB", std::size_t{1} << 28}}) {
    const bandwidth b = measured_bandwidth(s.threads, bytes);
    line.set(std::string("read_gb_per_s_") + name, b.read / 1e9);
    line.set(std::string("copy_gb_per_s_") + name, b.copy / 1e9);
  }
  line.set("processor", processor());
  print_line(line);
}

void add_options(CLI::App& app, bench_settings& s) {
  app.add_option("--model", s.model, "networks")->check(one_of(model_names()));
  app.add_option("--batch", s.batch, "samples per batch")->check(CLI::Range(1, 65536));
  app.add_option("--threads", s.threads, "threads that compute")->check(CLI::Range(1, 1024));
  app.add_option("--steps", s.steps, "timed calls; 0 takes as many as fit in --seconds")
      ->check(CLI::Range(0, 1000000));
  app.add_option("--seconds", s.seconds, "for --steps 0")->check(CLI::Range(0.01, 3600.0));
  app.add_option("--warmup", s.warmup, "calls before the timed ones")->check(CLI::Range(0, 1000));
  app.add_option("--kernels", s.kernels, "who computes the products")
      ->check(one_of({"own", "eigen"}));
  app.add_option("--minimal-filtering", s.minimal_filtering, "Winograd's form where it fits");
  app.add_flag("--critic-only", s.critic_only, "step: only that of the discriminator");
  app.add_option("--device", s.device, "where")->check(one_of({"cpu"}));
  app.add_option("--precision", s.precision, "of products")->check(one_of({"fp32"}));
}

int usable_cores() { return thread_pool(0).threads(); }

void add_options(CLI::App& app, experiment_settings& s) {
  std::vector<std::string> keys;
  for (const experiment& e : experiments()) keys.push_back(e.key);
  app.add_option("--experiment", s.key, "which")->required()->check(one_of(keys));
  app.add_option("--seeds", s.seeds, "of the runs, with commas between them")->delimiter(',');
  app.add_option("--length", s.length, "of the runs, 1: as published in docs/results/strategies")
      ->check(CLI::Range(1e-4, 100.0));
  app.add_option("--threads", s.threads, "threads that compute; 0: all")
      ->check(CLI::Range(0, 1024));
  app.add_option("--data-dir", s.data_dir, "as gantry-train's");
  app.add_option("--stragglers", s.stragglers,
                 "modelled time: this part of the workers is slow, in all runs")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--straggler-slowdown", s.slow_down,
                 "modelled time: stragglers take so many times as long to compute")
      ->check(CLI::Range(0.0, 1e6));
  app.add_option("--drop-out", s.drop_out,
                 "modelled time: probability that a worker stops for good, in each round")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--out", s.out, "folder for lines, table and picture");
}

void add_options(CLI::App& app, communication_settings& s) {
  app.add_option("--transport", s.transport, "what carries messages")
      ->check(one_of(transport_names()));
  app.add_option("--ranks", s.ranks, "nodes; 0: as many as the launcher started, or 2")
      ->check(CLI::Range(0, 1024));
  app.add_option("--operations", s.operations, "with commas between them")
      ->delimiter(',')
      ->check(one_of(communication_operations()));
  app.add_option("--least", s.least, "bytes of the shortest message")
      ->check(CLI::Range(4, 1 << 30));
  app.add_option("--most", s.most, "bytes of the longest")->check(CLI::Range(4, 1 << 30));
  app.add_option("--seconds", s.seconds, "for an operation and size")
      ->check(CLI::Range(1e-3, 3600.0));
}

void add_options(CLI::App& app, scaling_settings& s) {
  app.add_option("--transport", s.transport, "of the measured runs")
      ->check(one_of(transport_names()));
  app.add_option("--model", s.model, "networks")->check(one_of(scaling_models()));
  app.add_option("--strategies", s.strategies, "with commas between them")->delimiter(',');
  app.add_option("--batch", s.batch, "samples of a worker; of all workers in strong scaling")
      ->check(CLI::Range(1, 65536));
  app.add_option("--measured", s.measured, "workers of the measured runs")->delimiter(',');
  app.add_option("--modelled", s.modelled, "workers of the modelled ones")->delimiter(',');
  app.add_option("--rounds", s.rounds, "of a measured run")->check(CLI::Range(2, 100000));
  app.add_option("--gflops", s.gflops, "of every modelled node; 0: as one worker was measured")
      ->check(CLI::Range(0.0, 1e9));
  app.add_option("--memory-gb-per-s", s.memory_gb_per_s,
                 "of a modelled node's memory; 0: as one thread copies here")
      ->check(CLI::Range(0.0, 1e9));
  app.add_option("--links", s.links, "lines of `gantry-bench comm`, as one more network");
  app.add_option("--threads", s.threads, "threads that compute; 0: all")
      ->check(CLI::Range(0, 1024));
  app.add_option("--out", s.out, "folder for lines, table and picture");
}

/// What a shell sets for gantry-train must not change what is measured: the variables of this
/// program are others, GANTRY_BENCH_BATCH for --batch, and runs of gantry-train in here see none.
void forget_environment() {
  std::vector<std::string> names;
  for (char** v = environ; *v; ++v)
    if (const std::string_view word = *v; word.starts_with("GANTRY_"))
      names.emplace_back(word.substr(0, word.find('=')));
  for (const std::string& name : names) unsetenv(name.c_str());
}

int run(int argc, char** argv) {
  CLI::App app{"times training steps and layers; one JSON line per result", "gantry-bench"};
  app.set_version_flag("--version", "gantry-bench 0.1.0");
  app.require_subcommand(1);
  bench_settings s;
  CLI::App* step = app.add_subcommand("step", "a full training step of a GAN");
  CLI::App* layers = app.add_subcommand("layers", "every pass of every layer");
  CLI::App* strategy =
      app.add_subcommand("strategy", "a round of MD-GAN against the same work in one loop");
  CLI::App* peak = app.add_subcommand("peak", "multiply-add peak and bandwidths of this machine");
  add_options(*step, s);
  add_options(*layers, s);
  add_options(*strategy, s);
  strategy->add_option("--workers", s.workers, "in-process workers")->check(CLI::Range(1, 256));
  peak->add_option("--threads", s.threads, "threads that compute")->check(CLI::Range(1, 1024));
  CLI::App* compare = app.add_subcommand("strategies", "experiments with distributed strategies");
  experiment_settings experiment;
  add_options(*compare, experiment);
  CLI::App* comm = app.add_subcommand("comm", "latency and bandwidth of messages");
  communication_settings messages;
  add_options(*comm, messages);
  CLI::App* scale = app.add_subcommand("scaling", "weak and strong scaling over workers");
  scaling_settings scaling;
  add_options(*scale, scaling);
  for (CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    add_config_flag(*command);
    use_variables(*command, "GANTRY_BENCH_");
  }
  const auto given = parse_or_print_help(app, argc, argv, "gantry-bench");
  if (!given) return static_cast<int>(exit_code::done);
  for (const setting& found : *given)  // lines of results alone are on the standard output
    if (found.from != "the command line")
      std::fprintf(stderr, "setting: %s\n", described(found).c_str());
  forget_environment();
  if (*peak) {
    run_peak(s);
    return static_cast<int>(exit_code::done);
  }
  if (*compare) {
    run_experiment(experiment, processor() + ", " + std::to_string(usable_cores()) + " cores");
    return static_cast<int>(exit_code::done);
  }
  if (*comm) {
    run_communication(messages);
    return static_cast<int>(exit_code::done);
  }
  if (*scale) {
    run_scaling(scaling, processor() + ", " + std::to_string(usable_cores()) + " cores");
    return static_cast<int>(exit_code::done);
  }
  const preset_bench& model = *std::ranges::find_if(
      timed_presets(), [&](const preset_bench& p) { return s.model == p.name; });
  if (*step)
    run_step(s, model);
  else if (*layers)
    run_layers(s, model);
  else
    run_strategy(s, model);
  return static_cast<int>(exit_code::done);
}

}  // namespace

int main(int argc, char** argv) {
  return guarded({"gantry-bench", "lower --batch"}, [&] { return run(argc, argv); });
}
