// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <sstream>
#include <utility>

#include "gantry/base/error.hpp"
#include "gantry/comm/any.hpp"
#include "gantry/data/image_set.hpp"
#include "gantry/data/partition.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/json.hpp"

#include "bench.hpp"
#include "first_ranks.hpp"
#include "gantry-train/preset.hpp"
#include "gantry-train/transport.hpp"
#include "lines.hpp"
#include "plot.hpp"
#include "scaling.hpp"

namespace {

using namespace gantry;

/// What connects the nodes: bytes per second of the server's link, seconds of a message.
struct network_rates {
  std::string name;
  double bandwidth, latency;
};

/// One direction each.
const network_rates known_networks[] = {{"NVLink 4, 450 GB/s, 4 us", 450e9, 4e-6},
                                        {"InfiniBand NDR, 50 GB/s, 5 us", 50e9, 5e-6},
                                        {"100 GbE, 12.5 GB/s, 20 us", 12.5e9, 20e-6},
                                        {"edge, 100 Mbit/s, 10 ms", 12.5e6, 10e-3}};

/// Operations per second of a node, and bytes per second of its memory.
struct modelled_node {
  double work, memory;
};

enum class scaling { weak, strong };
const char* name_of(scaling kind) { return kind == scaling::weak ? "weak" : "strong"; }

struct scaled_run {
  std::string strategy, network;  ///< network: empty where it was measured
  scaling kind{};
  int workers{}, batch{};  ///< of a worker
  double seconds{};        ///< per round
  strategy_plan costs{};
};

double images_per_second(const scaled_run& r) {
  return static_cast<double>(r.workers) * r.batch / r.seconds;
}

class study {
 public:
  explicit study(const scaling_settings& settings)
      : s_(settings), models_(known_models()), carrier_(make_transport(settings.transport)) {}

  /// Whether this process prints and writes.
  [[nodiscard]] bool leads() const { return carrier_->leads(); }

  program_options options(const std::string& strategy, int workers, int batch) const {
    std::vector<std::string> words{"gantry-train",
                                   "--strategy",
                                   strategy,
                                   "--model",
                                   s_.model,
                                   "--workers",
                                   std::to_string(workers),
                                   "--batch",
                                   std::to_string(batch),
                                   "--iterations",
                                   std::to_string(s_.rounds),
                                   "--metrics",
                                   "none",
                                   "--outdir",
                                   "none",
                                   "--threads",
                                   std::to_string(s_.threads)};
    if (strategy == "md_gan") words.insert(words.end(), {"--swap-every", "never"});
    if (strategy == "federated_average") words.insert(words.end(), {"--local-updates", "1"});
    std::vector<const char*> argv;
    for (const std::string& w : words) argv.push_back(w.c_str());
    return *parse_options(static_cast<int>(argv.size()), argv.data(), models_);
  }

  /// The samples of a worker, or nothing if there is none for each.
  int batch_of(scaling kind, int workers) const {
    return kind == scaling::weak ? s_.batch : s_.batch / workers;
  }

  /// Its time is that of rank 0. @throws gantry::usage_error for more ranks than were started
  scaled_run measure(const std::string& strategy, scaling kind, int workers) {
    const int batch = batch_of(kind, workers);
    const program_options o = options(strategy, workers, batch);
    const preset& networks = chosen_preset(o);
    std::vector<double> seconds;
    auto last = std::chrono::steady_clock::now();
    const train::run_options go{
        .iterations = o.iterations, .on_round = [&](const train::round_view&) {
          const auto now = std::chrono::steady_clock::now();
          seconds.push_back(std::chrono::duration<double>(now - last).count());
          last = now;
        }};
    comm::any_world all = carrier_->world_of(workers + 1, o.threads);
    if (all.size() < workers + 1)
      throw usage_error("--measured was expected to ask for at most " +
                        std::to_string(all.size() - 1) + " workers, one less than processes, and " +
                        "asks for " + std::to_string(workers) + "; start more of them");
    std::uint64_t sent = 0;
    comm::any_world world = first_ranks(std::move(all), workers + 1, sent);
    networks.train(o, world, data::partition(images(networks.image), o.split, workers, o.seed), go);
    const strategy_plan costs = networks.plan(o).costs;
    if (!leads()) return {strategy, "", kind, workers, batch, 0, costs};
    seconds.erase(seconds.begin());  // the first round is not timed
    require_planned_bytes(strategy, workers, costs, sent);
    return {strategy, "", kind, workers, batch, quantile(std::move(seconds), 0.5), costs};
  }

  /// See run_scaling.
  scaled_run model(const std::string& strategy, scaling kind, int workers,
                   const network_rates& network, const modelled_node& node) const {
    const int batch = batch_of(kind, workers);
    const program_options o = options(strategy, workers, batch);
    const strategy_plan costs = chosen_preset(o).plan(o).costs;
    const double seconds =
        (costs.lead_flops + costs.worker_flops) / node.work +
        3 * static_cast<double>(costs.bytes_up) / node.memory +
        static_cast<double>(costs.bytes_down + costs.bytes_up) / network.bandwidth +
        4 * network.latency;
    return {strategy, network.name, kind, workers, batch, seconds, costs};
  }

 private:
  void require_planned_bytes(const std::string& strategy, int workers, const strategy_plan& costs,
                             std::uint64_t counted) const {
    const std::uint64_t planned =
        (costs.bytes_down + costs.bytes_up) * static_cast<std::uint64_t>(s_.rounds);
    if (counted != planned)
      throw error("the runs of " + strategy + " with " + std::to_string(workers) +
                  " workers were expected to send the planned " + std::to_string(planned) +
                  " bytes and sent " + std::to_string(counted) + "; its plan is wrong");
  }

  /// The same grey noise for every strategy: what is measured does not depend on pictures.
  std::shared_ptr<const data::image_set> images(hwc shape) {
    if (images_) return images_;
    const int most = *std::ranges::max_element(s_.measured);
    data::image_set set;
    set.name = "noise";
    set.height = shape.h;
    set.width = shape.w;
    set.channels = shape.c;
    const std::size_t count = static_cast<std::size_t>(most) * static_cast<std::size_t>(s_.batch);
    set.pixels.resize(count * static_cast<std::size_t>(shape.size()));
    for (std::size_t i = 0; i < set.pixels.size(); ++i)
      set.pixels[i] = static_cast<std::uint8_t>(i * 2654435761u >> 24);
    set.labels.resize(count);
    for (std::size_t i = 0; i < count; ++i) set.labels[i] = static_cast<std::uint8_t>(i % 10);
    return images_ = std::make_shared<const data::image_set>(std::move(set));
  }

  const scaling_settings& s_;
  std::vector<model_info> models_;
  std::unique_ptr<transport> carrier_;
  std::shared_ptr<const data::image_set> images_;
};

/// The point-to-point line of `gantry-bench comm`. @throws gantry::data_error if there is none
network_rates network_in(const std::filesystem::path& file) {
  std::istringstream lines(io::read_text(file));
  for (std::string text; std::getline(lines, text);) {
    const io::json::value line = io::json::parse(text, file.string());
    const io::json::object& o = line.as_object();
    if (!o.find("bandwidth_gb_per_s") || line.at("op").as_string() != "send") continue;
    const double bandwidth = o.find("bandwidth_gb_per_s")->as_double() * 1e9;
    const double latency = o.find("latency_us")->as_double() * 1e-6;
    return {
        "measured, " + number(bandwidth / 1e9, 2) + " GB/s, " + number(latency * 1e6, 1) + " us",
        bandwidth, latency};
  }
  throw data_error(file.string() +
                   ": expected lines of gantry-bench comm with the fit of the operation send, "
                   "found none; run it with --operations send");
}

void print(const scaling_settings& s, const scaled_run& r) {
  io::json::object line{{"impl", "gantry"},
                        {"strategy", r.strategy},
                        {"scaling", name_of(r.kind)},
                        {"workers", r.workers},
                        {"batch", r.batch},
                        {"network", r.network.empty() ? s.transport : r.network},
                        {"modelled", !r.network.empty()},
                        {"round_ms", r.seconds * 1e3},
                        {"images_per_s", images_per_second(r)},
                        {"bytes_per_round", r.costs.bytes_down + r.costs.bytes_up}};
  print_line(line);
}

/// Throughput against that of the first line of the same kind.
double speed_up(const std::vector<scaled_run>& runs, const scaled_run& r) {
  const auto first = std::ranges::find_if(runs, [&](const scaled_run& f) {
    return f.strategy == r.strategy && f.network == r.network && f.kind == r.kind;
  });
  return images_per_second(r) / images_per_second(*first);
}

/// The pages and pictures of a run.
std::string stem_of(const scaling_settings& s) {
  return s.model + (s.transport == "threads" ? "" : "-" + s.transport);
}

std::string text_of(const std::string& word) { return word; }
std::string text_of(int n) { return std::to_string(n); }
template <class T>
std::string joined(const std::vector<T>& all) {
  std::string text;
  for (const T& one : all) text += (text.empty() ? "" : ",") + text_of(one);
  return text;
}

/// What makes this page again, on a machine like this one.
std::string command_of(const scaling_settings& s) {
  const scaling_settings usual;
  std::string words = "gantry-bench scaling --model " + s.model;
  const auto add = [&](const char* flag, const std::string& value, bool is_usual) {
    if (!is_usual) words += std::string(" --") + flag + " " + value;
  };
  add("transport", s.transport, s.transport == usual.transport);
  add("strategies", joined(s.strategies), s.strategies == usual.strategies);
  add("batch", text_of(s.batch), s.batch == usual.batch);
  add("measured", joined(s.measured), s.measured == usual.measured);
  add("modelled", joined(s.modelled), s.modelled == usual.modelled);
  add("rounds", text_of(s.rounds), s.rounds == usual.rounds);
  add("gflops", number(s.gflops, 1), s.gflops == usual.gflops);
  add("memory-gb-per-s", number(s.memory_gb_per_s, 1), s.memory_gb_per_s == usual.memory_gb_per_s);
  add("threads", text_of(s.threads), s.threads == usual.threads);
  add("links", s.links.filename().string(), s.links.empty());
  return words;
}

std::string page_of(const scaling_settings& s, const std::string& machine,
                    const std::vector<scaled_run>& runs, const modelled_node& node) {
  const bool in_threads = s.transport == "threads";
  std::string text =
      "# Scaling of " + s.model + "\n\n```\n" + command_of(s) + "\n```\n\nMachine: " + machine +
      ". Weak scaling: " + std::to_string(s.batch) +
      " samples per worker; strong: " + std::to_string(s.batch) +
      " samples shared by all. Measured rows: server and workers are " +
      (in_threads ? "threads of one process" : "processes of this machine over " + s.transport) +
      ", medians of " + std::to_string(s.rounds - 1) +
      " rounds. Modelled rows are no measurements: server and worker work at " +
      number(node.work / 1e9, 1) + " GFLOP/s" +
      (s.gflops > 0 ? " (given)" : " (one worker alone, measured here)") +
      ", the server adds what comes up to a sum (three accesses) in memory of " +
      number(node.memory / 1e9, 1) + " GB/s" +
      (s.memory_gb_per_s > 0 ? " (given)" : " (one thread copies, measured here)") +
      ", all bytes that the strategy sends go one after the other over the "
      "server's link, and four latencies are added. The bytes are those that the "
      "counters of the measured runs confirm.\n";
  for (const scaling kind : {scaling::weak, scaling::strong}) {
    text += std::string("\n## ") + (kind == scaling::weak ? "Weak" : "Strong") +
            " scaling\n\n| strategy | network | workers | ms per round | images/s | speed-up | MB "
            "per round |\n| --- | --- | --- | --- | --- | --- | --- |\n";
    for (const scaled_run& r : runs)
      if (r.kind == kind)
        text += "| " + r.strategy + " | " +
                (r.network.empty() ? s.transport + ", measured" : r.network) + " | " +
                std::to_string(r.workers) + " | " + number(r.seconds * 1e3, 3) + " | " +
                number(images_per_second(r), 0) + " | " + number(speed_up(runs, r), 2) + " | " +
                number(static_cast<double>(r.costs.bytes_down + r.costs.bytes_up) / 1e6, 3) +
                " |\n";
  }
  return text + "\n![weak scaling](" + stem_of(s) + ".svg)\n\n![strong scaling](" + stem_of(s) +
         "-strong.svg)\n";
}

std::vector<curve> curves_of(const scaling_settings& s, const std::vector<scaled_run>& runs,
                             scaling kind) {
  std::vector<curve> curves;
  for (const scaled_run& r : runs) {
    if (r.kind != kind) continue;
    const std::string name =
        r.strategy + ", " +
        (r.network.empty() ? s.transport + ", measured" : r.network.substr(0, r.network.find(',')));
    auto found = std::ranges::find(curves, name, &curve::name);
    if (found == curves.end()) found = curves.insert(curves.end(), curve{name, {}});
    found->points.emplace_back(r.workers, images_per_second(r));
  }
  return curves;
}

}  // namespace

std::vector<std::string> scaling_models() {
  std::vector<std::string> names;
  for (const model_info& m : known_models()) names.push_back(m.name);
  return names;
}

void run_scaling(const scaling_settings& settings, const std::string& machine) {
  if (settings.measured.empty() || settings.measured.front() != 1)
    throw usage_error(
        "--measured was expected to begin with one worker, which the others are "
        "held against; write 1,2,4");
  std::vector<network_rates> networks(std::begin(known_networks), std::end(known_networks));
  if (!settings.links.empty()) networks.push_back(network_in(settings.links));
  study all(settings);
  if (all.leads()) io::require_writable_directory(settings.out, "--out");
  std::vector<scaled_run> runs;
  const auto keep = [&](scaled_run r) {
    if (all.leads()) print(settings, r);
    runs.push_back(std::move(r));
  };
  const auto fits = [&](scaling kind, int workers) { return all.batch_of(kind, workers) > 0; };
  for (const std::string& strategy : settings.strategies)
    for (const scaling kind : {scaling::weak, scaling::strong})
      for (const int workers : settings.measured)
        if (fits(kind, workers)) keep(all.measure(strategy, kind, workers));
  if (!all.leads()) return;
  const scaled_run& alone = runs.front();
  const modelled_node node{
      settings.gflops > 0 ? settings.gflops * 1e9
                          : (alone.costs.lead_flops + alone.costs.worker_flops) / alone.seconds,
      settings.memory_gb_per_s > 0 ? settings.memory_gb_per_s * 1e9
                                   : measured_bandwidth(1, std::size_t{1} << 28).copy};
  for (const std::string& strategy : settings.strategies)
    for (const scaling kind : {scaling::weak, scaling::strong})
      for (const network_rates& network : networks)
        for (const int workers : settings.modelled)
          if (fits(kind, workers)) keep(all.model(strategy, kind, workers, network, node));
  io::write_file_atomic(settings.out / (stem_of(settings) + ".md"),
                        page_of(settings, machine, runs, node));
  for (const auto& [kind, name] :
       {std::pair(scaling::weak, ".svg"), std::pair(scaling::strong, "-strong.svg")})
    io::write_file_atomic(
        settings.out / (stem_of(settings) + name),
        svg_of(curves_of(settings, runs, kind), {.x = "workers", .y = "images/s", .log_x = true}));
}
