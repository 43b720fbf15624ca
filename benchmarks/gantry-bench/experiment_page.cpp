// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>

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

double middle(std::vector<double> values) { return spread_of(std::move(values)).median; }

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

const measured_run& of_name(const std::vector<measured_run>& runs, const std::string& name) {
  return *std::ranges::find(runs, name, &measured_run::name);
}

/// "3960", or a line where a run promises nothing.
std::string epsilon_of(const measured_run& r) {
  return r.privacy ? number(r.privacy->epsilon, r.privacy->epsilon < 100 ? 1 : 0) : "-";
}

/// Work of a worker for one update of a generator that samples are drawn from.
double worker_gflop_per_update(const measured_run& r) {
  return r.costs.worker_flops / 1e9 * r.iterations /
         static_cast<double>(r.points.back().generator_steps);
}

/// A table of the runs: scores where there are some, times where they are what is asked.
std::string table_of(const experiment& e, const std::vector<measured_run>& runs) {
  const bool modelled = e.links == link_kind::modelled;
  std::string text = "| run |";
  if (e.scored) text += " FID at the end | classifier score |";
  const bool noisy = std::ranges::any_of(runs, [](const auto& r) { return r.privacy.has_value(); });
  if (noisy) text += " epsilon |";
  if (modelled) text += " modelled seconds |";
  if (!e.scored) text += std::string(" seconds per ") + e.timed + " | of the first line |";
  text += " rounds | MB moved | worker GFLOP per round |";
  if (e.scored) text += " per generator update |";
  text += " server MB planned | worker MB planned | server waits | workers wait |\n| --- |";
  const int columns =
      7 + (e.scored ? 3 : 0) + (noisy ? 1 : 0) + (modelled ? 1 : 0) + (e.scored ? 0 : 2);
  for (int c = 0; c < columns; ++c) text += " --- |";
  text += "\n";
  const auto round = [](const measured_run& r) { return middle(r.round_seconds); };
  const double first = over(runs, e.runs.front().name, round).median;
  for (const experiment_run& kind : e.runs) {
    const auto of = [&](auto what) { return over(runs, kind.name, what); };
    text += "| " + kind.name + " |";
    if (e.scored) {
      text += " " + text_of(of([](const auto& r) { return r.points.back().score.fid; }), 1) + " |";
      text += " " +
              text_of(of([](const auto& r) { return r.points.back().score.classifier_score; }), 2);
      text += " |";
    }
    if (noisy) text += " " + epsilon_of(of_name(runs, kind.name)) + " |";
    if (modelled) text += " " + text_of(of([](const auto& r) { return r.seconds; }), 1) + " |";
    if (!e.scored)
      text += " " + text_of(of(round), of(round).median < 0.01 ? 6 : 3) + " | " +
              number(of(round).median / first, of(round).median < 0.01 * first ? 5 : 2) + " |";
    const auto of_plan = [&](auto what) { return of(what).median; };
    text += " " + number(of_plan([](const auto& r) { return double(r.iterations); }), 0);
    text += " | " + number(of_plan([](const auto& r) { return double(r.bytes) / 1e6; }), 1);
    text += " | " + number(of_plan([](const auto& r) { return r.costs.worker_flops / 1e9; }), 3);
    if (e.scored) text += " | " + number(of_plan(worker_gflop_per_update), 4);
    text +=
        " | " + number(of_plan([](const auto& r) { return double(r.costs.lead_bytes) / 1e6; }), 2);
    text += " | " +
            number(of_plan([](const auto& r) { return double(r.costs.worker_bytes) / 1e6; }), 2);
    text += " | " + number(100 * of_plan([](const auto& r) { return waiting(r.lead); }), 0) +
            " % | " + number(100 * of_plan([](const auto& r) { return waiting(r.worker); }), 0) +
            " % |\n";
  }
  return text;
}

enum class abscissa { generator_updates, modelled_seconds, megabytes };

const char* name_of(abscissa x) {
  if (x == abscissa::generator_updates) return "generator updates";
  return x == abscissa::modelled_seconds ? "modelled seconds" : "MB between all nodes";
}

using figure = double gantry::train::evaluation::*;

/// A score over what a run has spent.
std::vector<curve> curves_of(const experiment& e, const std::vector<measured_run>& runs,
                             abscissa over, figure score) {
  std::vector<curve> curves;
  for (const experiment_run& kind : e.runs) {
    std::map<std::uint32_t, std::pair<std::vector<double>, std::vector<double>>> at;
    for (const measured_run& r : runs) {
      if (r.name != kind.name) continue;
      for (const scored_point& p : r.points) {
        const double x = over == abscissa::megabytes ? static_cast<double>(p.bytes) / 1e6
                         : over == abscissa::modelled_seconds
                             ? r.seconds * p.iteration / r.iterations
                             : static_cast<double>(p.generator_steps);
        at[p.iteration].first.push_back(x);
        at[p.iteration].second.push_back(p.score.*score);
      }
    }
    curve c{kind.name, {}};
    for (auto& [iteration, values] : at)
      c.points.emplace_back(middle(values.first), middle(values.second));
    curves.push_back(std::move(c));
  }
  return curves;
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

std::string seeds_text(const experiment_settings& settings) {
  std::string text;
  for (const std::uint64_t s : settings.seeds)
    text += (text.empty() ? "" : ",") + std::to_string(s);
  return text;
}

std::string page_of(const experiment& e, const experiment_settings& settings,
                    const std::string& machine, const std::vector<measured_run>& runs) {
  std::string text = "# " + e.title + "\n\nClaim: " + e.claim +
                     ".\n\n```\ngantry-bench strategies" + " --experiment " + e.key + " --seeds " +
                     seeds_text(settings);
  if (settings.length != 1) text += " --length " + number(settings.length, 3);
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
  if (e.scored)
    for (const char* ending : {"", "-bytes", "-score", "-bytes-score"})
      text += "\n![" +
              (std::string(ending).ends_with("score") ? "classifier score" : std::string("FID")) +
              "](" + e.key + ending + ".svg)\n";
  text += "\nFlags of gantry-train, all runs: `" + e.flags + "`\n\n";
  for (const experiment_run& r : e.runs) {
    text += "* " + r.name + ": `" + r.flags + "`";
    if (r.fail_stops) text += ", and worker w stops at iteration w I / N";
    if (r.wrong != attack::none)
      text += ", " + std::to_string(r.wrong_workers) + " workers tamper with what they send";
    text += "\n";
  }
  return text;
}

}  // namespace

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
          {"epsilon", run.privacy ? io::json::value(run.privacy->epsilon) : io::json::value()},
          {"modelled_seconds", run.seconds},
          {"round_seconds", middle(run.round_seconds)},
          {"worker_flops_per_round", run.costs.worker_flops},
          {"server_flops_per_round", run.costs.lead_flops},
          {"server_bytes_planned", run.costs.lead_bytes},
          {"worker_bytes_planned", run.costs.worker_bytes},
          {"server_arenas", json_of(run.costs.lead_arenas)},
          {"worker_arenas", json_of(run.costs.worker_arenas)},
          {"server_phase_seconds", json_of(run.lead)},
          {"worker_phase_seconds", json_of(run.worker)},
          {"points", points}};
}

void write_page(const experiment& e, const experiment_settings& settings,
                const std::string& machine, const std::vector<measured_run>& runs) {
  std::string lines;
  for (const measured_run& r : runs) lines += io::json::dump(json_of(e, r)) + "\n";
  io::write_file_atomic(settings.out / (e.key + ".jsonl"), lines);
  io::write_file_atomic(settings.out / (e.key + ".md"), page_of(e, settings, machine, runs));
  if (!e.scored) return;
  const abscissa spent =
      e.links == link_kind::modelled ? abscissa::modelled_seconds : abscissa::generator_updates;
  for (const auto& [over, ending] :
       {std::pair{spent, ""}, std::pair{abscissa::megabytes, "-bytes"}}) {
    const std::string x = name_of(over);
    io::write_file_atomic(
        settings.out / (e.key + ending + ".svg"),
        svg_of(curves_of(e, runs, over, &train::evaluation::fid), {.x = x, .y = "FID"}));
    io::write_file_atomic(settings.out / (e.key + ending + "-score.svg"),
                          svg_of(curves_of(e, runs, over, &train::evaluation::classifier_score),
                                 {.x = x, .y = "score", .log_y = false}));
  }
}
