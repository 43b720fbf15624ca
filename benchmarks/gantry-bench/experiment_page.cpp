// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <functional>

#include "gantry/io/file.hpp"

#include "experiment_page.hpp"
#include "plot.hpp"

namespace {

using namespace gantry;

std::string text_of(const spread& s, int digits) {
  if (s.least == s.most) return number(s.median, digits);
  return number(s.median, digits) + " [" + number(s.least, digits) + ".." + number(s.most, digits) +
         "]";
}

/// The values of `what` over the runs of one name.
template <class What>
spread over(const std::vector<measured_run>& runs, const std::string& name, What what) {
  std::vector<double> values;
  for (const measured_run& r : runs)
    if (r.name == name) values.push_back(what(r));
  return spread_of(std::move(values));
}

/// The share of a node's time that it waits for messages.
double waiting(const phase_times& t) { return t.total() > 0 ? t[phase::wait] / t.total() : 0.0; }

io::json::object json_of(const arena_bytes& a) {
  io::json::object all;
  a.visit([&](const char* name, std::size_t bytes) { all.set(name, bytes); });
  return all;
}

io::json::object json_of(const phase_times& t) {
  io::json::object all;
  for (std::size_t p = 0; p < phase_names.size(); ++p)
    all.set(std::string(phase_names[p]), t.seconds[p]);
  return all;
}

io::json::value json_of(const std::optional<dist::privacy_spent>& spent) {
  return spent ? io::json::value(spent->epsilon) : io::json::value();
}

io::json::value json_of(const worker_faults& f) {
  return io::json::object{
      {"stragglers", f.stragglers}, {"straggler_slowdown", f.slow_down}, {"drop_out", f.drop_out}};
}

const measured_run& of_name(const std::vector<measured_run>& runs, const std::string& name) {
  return *std::ranges::find(runs, name, &measured_run::name);
}

/// "3955", or a line where a run promises nothing.
std::string epsilon_of(const measured_run& r) {
  return r.privacy ? number(r.privacy->epsilon, r.privacy->epsilon < 100 ? 1 : 0) : "-";
}

/// Work of a worker for one update of a generator that samples are drawn from.
double worker_gflop_per_update(const measured_run& r) {
  return r.costs.worker_flops / 1e9 * r.iterations /
         static_cast<double>(r.points.back().generator_steps);
}

/// The lowest FID that every run comes to.
double common_score(const std::vector<measured_run>& runs) {
  double level = 0;
  for (const measured_run& r : runs)
    level = std::max(
        level, std::ranges::min(r.points, {}, [](const auto& p) { return p.score.fid; }).score.fid);
  return level;
}

/// Modelled seconds until a run's FID is first at that level, on the lines between its scores.
double seconds_to(const measured_run& r, double level) {
  for (std::size_t i = 0; i < r.points.size(); ++i) {
    const scored_point& p = r.points[i];
    if (p.score.fid > level) continue;
    if (i == 0) return seconds_at(r, p);
    const scored_point& before = r.points[i - 1];
    const double part = (before.score.fid - level) / (before.score.fid - p.score.fid);
    return seconds_at(r, before) + part * (seconds_at(r, p) - seconds_at(r, before));
  }
  return seconds_at(r, r.points.back());
}

/// A table's columns: a title, and what a line says.
class columns {
 public:
  explicit columns(const experiment& e, const std::vector<measured_run>& runs)
      : experiment_(&e), runs_(&runs) {}

  void add(const std::string& title, std::function<std::string(const std::string& run)> cell) {
    all_.push_back({title, std::move(cell)});
  }
  /// The median over seeds, with the range or without it.
  template <class What>
  void add_spread(const std::string& title, int digits, What what) {
    add(title, [this, digits, what](const std::string& run) {
      return text_of(over(*runs_, run, what), digits);
    });
  }
  template <class What>
  void add_median(const std::string& title, int digits, What what) {
    add(title, [this, digits, what](const std::string& run) {
      return number(over(*runs_, run, what).median, digits);
    });
  }
  /// Peaks of the backend's memory, of what was planned of it: messages lie beside it.
  void add_memory(const std::string& node, arena_bytes strategy_plan::*planned,
                  arena_bytes measured_run::*measured) {
    add_median(node + " MB planned", 2, [=](const measured_run& r) {
      return static_cast<double>((r.costs.*planned).total()) / 1e6;
    });
    add(node + " MB measured of planned, without messages", [=, this](const std::string& run) {
      const measured_run& r = of_name(*runs_, run);
      const arena_bytes& all = r.costs.*planned;
      return number(static_cast<double>((r.*measured).total()) / 1e6, 2) + " of " +
             number(static_cast<double>(all.total() - all.messages) / 1e6, 2);
    });
  }
  [[nodiscard]] std::string text() const {
    std::string text = "| run |", line = "| --- |";
    for (const column& c : all_) text += " " + c.title + " |", line += " --- |";
    text += "\n" + line + "\n";
    for (const experiment_run& run : experiment_->runs) {
      text += "| " + run.name + " |";
      for (const column& c : all_) text += " " + c.cell(run.name) + " |";
      text += "\n";
    }
    return text;
  }

 private:
  struct column {
    std::string title;
    std::function<std::string(const std::string&)> cell;
  };
  const experiment* experiment_;
  const std::vector<measured_run>* runs_;
  std::vector<column> all_;
};

void add_scores(columns& table, const experiment& e, const std::vector<measured_run>& runs) {
  table.add_spread("FID at the end", 1, [](const auto& r) { return r.points.back().score.fid; });
  table.add_spread("classifier score", 2,
                   [](const auto& r) { return r.points.back().score.classifier_score; });
  if (std::ranges::any_of(runs, [](const auto& r) { return r.privacy.has_value(); }))
    table.add("epsilon", [&](const std::string& run) { return epsilon_of(of_name(runs, run)); });
  if (!e.equal_score) return;
  const double level = common_score(runs);
  table.add_spread("modelled seconds to FID " + number(level, 1), 1,
                   [level](const auto& r) { return seconds_to(r, level); });
}

void add_times(columns& table, const experiment& e, const std::vector<measured_run>& runs) {
  const auto round = [](const measured_run& r) { return middle(r.round_seconds); };
  const double first = over(runs, e.runs.front().name, round).median;
  table.add(std::string("seconds per ") + e.timed, [&runs, round](const std::string& run) {
    const spread found = over(runs, run, round);
    return text_of(found, found.median < 0.01 ? 6 : 3);
  });
  table.add("of the first line", [&runs, round, first](const std::string& run) {
    const double found = over(runs, run, round).median;
    return number(found / first, found < 0.01 * first ? 5 : 2);
  });
}

/// A table of the runs: scores where there are some, times where they are what is asked.
std::string table_of(const experiment& e, const std::vector<measured_run>& runs) {
  columns table(e, runs);
  if (e.scored) add_scores(table, e, runs);
  if (is_modelled(e))
    table.add_spread("modelled seconds", 1, [](const auto& r) { return r.seconds; });
  if (!e.scored) add_times(table, e, runs);
  table.add_median("rounds", 0, [](const auto& r) { return double(r.iterations); });
  table.add_median("MB moved", 1, [](const auto& r) { return double(r.bytes) / 1e6; });
  table.add_median("worker GFLOP per round", 3,
                   [](const auto& r) { return r.costs.worker_flops / 1e9; });
  if (e.scored) table.add_median("per generator update", 4, worker_gflop_per_update);
  table.add_memory("server", &strategy_plan::lead_arenas, &measured_run::lead_memory);
  table.add_memory("worker", &strategy_plan::worker_arenas, &measured_run::worker_memory);
  table.add("server waits", [&](const std::string& run) {
    return number(100 * over(runs, run, [](const auto& r) { return waiting(r.lead); }).median, 0) +
           " %";
  });
  table.add("workers wait", [&](const std::string& run) {
    return number(100 * over(runs, run, [](const auto& r) { return waiting(r.worker); }).median,
                  0) +
           " %";
  });
  return table.text();
}

/// Where an experiment has MD-GAN and FL-GAN: the batch at which both send a node as much in one
/// exchange, from the bytes that were counted (arXiv 1811.03850, section IV-D and figure 2).
std::string traffic_of(const experiment& e, const std::vector<measured_run>& runs) {
  const measured_run *md_gan = nullptr, *federated = nullptr;
  for (std::size_t i = 0; i < e.runs.size(); ++i) {
    if (e.runs[i].fail_stops) continue;
    if (e.runs[i].flags.find("md_gan") != std::string::npos && !md_gan) md_gan = &runs[i];
    if (e.runs[i].flags.find("federated_average") != std::string::npos) federated = &runs[i];
  }
  if (!md_gan || !federated) return "";
  const auto of_worker = [](const measured_run& r, message kind) {
    return static_cast<double>(r.sent[kind].bytes) / r.iterations / r.workers;
  };
  const double batches = of_worker(*md_gan, message::batch);
  const double feedback = of_worker(*md_gan, message::feedback);
  const double networks = of_worker(*federated, message::model) / 2;  // one way
  const auto crossing = [&](double bytes) { return number(networks / bytes * md_gan->batch, 0); };
  return "\nPer exchange a worker receives " + number(batches / 1e3, 1) +
         " kB from MD-GAN's "
         "server at b = " +
         std::to_string(md_gan->batch) + " and sends " + number(feedback / 1e3, 1) +
         " kB; in FL-GAN " + number(networks / 1e3, 1) +
         " kB each way. MD-GAN's messages are the smaller ones below b = " + crossing(batches) +
         " (to a worker) and b = " + crossing(feedback) +
         " (to the server); the paper's figure 2 crosses at about 550 for its convolutional MNIST "
         "network, whose 914,158 printed parameters give 583 by the same formula.\n";
}

std::string faults_text(const worker_faults& f) {
  std::string text;
  if (f.stragglers > 0)
    text += ", and " + short_number(100 * f.stragglers) + " % of the workers take " +
            short_number(f.slow_down) + " times as long to compute";
  if (f.drop_out > 0)
    text += ", and a worker stops for good with probability " + short_number(f.drop_out) +
            " in each round";
  return text;
}

std::string seeds_text(const experiment_settings& settings) {
  std::string text;
  for (const std::uint64_t s : settings.seeds)
    text += (text.empty() ? "" : ",") + std::to_string(s);
  return text;
}

std::string page_of(const experiment& e, const experiment_settings& settings,
                    const std::string& machine, const std::vector<measured_run>& runs,
                    const std::vector<std::pair<std::string, std::string>>& pictures) {
  std::string text = "# " + e.title + "\n\nClaim: " + e.claim +
                     ".\n\n```\ngantry-bench strategies" + " --experiment " + e.key + " --seeds " +
                     seeds_text(settings);
  if (settings.length != 1) text += " --length " + number(settings.length, 3);
  for (const auto& [flag, value] : {std::pair{" --stragglers ", settings.stragglers},
                                    std::pair{" --straggler-slowdown ", settings.slow_down},
                                    std::pair{" --drop-out ", settings.drop_out}})
    if (value) text += flag + short_number(*value);
  text += "\n```\n\nMachine: " + machine + ". ";
  if (!e.link_text.empty()) text += "Links are " + e.link_text + ". ";
  if (e.scored) {
    const auto& score = runs.front().points.back().score;
    text += "FID and classifier score in the features of " + score.feature_network + " (SHA-256 " +
            score.feature_hash.substr(0, 16) + "), " + std::to_string(score.generated) +
            " generated images against " + std::to_string(score.reference) + ". ";
  }
  text += std::string("Medians") + (runs.size() > e.runs.size() ? " [least..most]" : "") +
          " over " + std::to_string(settings.seeds.size()) + " seed" +
          (settings.seeds.size() > 1 ? "s" : "") +
          (e.repeats > 1 ? ", " + std::to_string(e.repeats) + " turns each" : "") +
          (std::ranges::any_of(runs, [](const auto& r) { return r.privacy.has_value(); })
               ? "; epsilon at delta = 1e-05, of a worker's feedbacks of the whole run"
               : "") +
          "; MB are 10^6 bytes of payload between all nodes over the whole run.\n\n" +
          table_of(e, runs);
  text += traffic_of(e, runs);
  for (const auto& [file, shows] : pictures) text += "\n![" + shows + "](" + file + ")\n";
  text += "\nFlags of gantry-train, all runs: `" + e.flags + "`\n\n";
  for (const experiment_run& r : e.runs) {
    text += "* " + r.name + ": `" + r.flags + "`";
    if (r.fail_stops) text += ", and worker w stops at iteration w I / N";
    if (r.wrong != attack::none)
      text += ", " + std::to_string(r.wrong_workers) + " workers tamper with what they send";
    if (is_modelled(e)) text += faults_text(of_name(runs, r.name).faults);
    text += "\n";
  }
  return text;
}

}  // namespace

double middle(std::vector<double> values) { return spread_of(std::move(values)).median; }

double seconds_at(const measured_run& r, const scored_point& p) {
  return r.seconds * p.iteration / r.iterations;
}

spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
  return {median, values.front(), values.back()};
}

io::json::object json_of(const experiment& e, const measured_run& run) {
  io::json::array points;
  for (const scored_point& p : run.points)
    points.push_back(io::json::object{{"iteration", p.iteration},
                                      {"generator_steps", p.generator_steps},
                                      {"bytes", p.bytes},
                                      {"epsilon", json_of(p.privacy)},
                                      {"fid", p.score.fid},
                                      {"classifier_score", p.score.classifier_score}});
  io::json::object by_kind;
  for (std::size_t k = 0; k < message_kinds; ++k)
    if (run.sent.kinds[k].bytes > 0)
      by_kind.set(message_name(static_cast<message>(k)), run.sent.kinds[k].bytes);
  return {{"experiment", e.key},
          {"run", run.name},
          {"seed", run.seed},
          {"iterations", run.iterations},
          {"bytes", run.bytes},
          {"bytes_by_kind", by_kind},
          {"epsilon", json_of(run.privacy)},
          {"modelled_seconds", run.seconds},
          {"live_workers", run.live_workers},
          {"faults", is_modelled(e) ? json_of(run.faults) : io::json::value()},
          {"round_seconds", middle(run.round_seconds)},
          {"worker_flops_per_round", run.costs.worker_flops},
          {"server_flops_per_round", run.costs.lead_flops},
          {"server_bytes_planned", run.costs.lead_bytes},
          {"worker_bytes_planned", run.costs.worker_bytes},
          {"server_arenas", json_of(run.costs.lead_arenas)},
          {"worker_arenas", json_of(run.costs.worker_arenas)},
          {"server_bytes_measured", run.lead_memory.total()},
          {"worker_bytes_measured", run.worker_memory.total()},
          {"server_arenas_measured", json_of(run.lead_memory)},
          {"worker_arenas_measured", json_of(run.worker_memory)},
          {"server_phase_seconds", json_of(run.lead)},
          {"worker_phase_seconds", json_of(run.worker)},
          {"points", points}};
}

void write_page(const experiment& e, const experiment_settings& settings,
                const std::string& machine, const std::vector<measured_run>& runs) {
  std::string lines;
  for (const measured_run& r : runs) lines += io::json::dump(json_of(e, r)) + "\n";
  io::write_file_atomic(settings.out / (e.key + ".jsonl"), lines);
  std::vector<std::pair<std::string, std::string>> pictures;
  if (e.scored) pictures = write_pictures(e, settings, runs);
  io::write_file_atomic(settings.out / (e.key + ".md"),
                        page_of(e, settings, machine, runs, pictures));
}
