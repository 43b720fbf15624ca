// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// report.html: what a run's page says.
#include <algorithm>
#include <functional>

#include "gantry/data/label_index.hpp"
#include "gantry/io/json.hpp"

#include "recorder.hpp"
#include "recorder_machine.hpp"
#include "recorder_phases.hpp"

using namespace gantry;

void recorder::write_report(const train::run_result* result) const {
  io::report page;
  page.title = options_.strategy.title() + " on " + options_.data;
  page.subtitle = options_.model;
  if (is_distributed())
    page.subtitle += ", 1 server and " + std::to_string(options_.strategy.workers) +
                     (options_.strategy.workers == 1 ? " worker" : " workers");
  if (!result) page.subtitle += ", still running";
  page.highlights = {{"iterations", std::to_string(total_rounds_)},
                     {"minutes", fixed(seconds() / 60, 1)}};
  if (last_fid_ >= 0) {
    page.highlights.push_back({"FID at the start", fixed(first_fid_, 1)});
    page.highlights.push_back({"FID now", fixed(last_fid_, 1)});
  }
  add_facts(page, result);
  page.pictures = pictures_;
  add_charts(page);
  add_tables(page);
  add_time(page);
  add_split(page);
  page.machine = machine_facts();
  page.machine.push_back(
      {"threads", options_.threads == 0 ? "all" : std::to_string(options_.threads)});
  page.machine.push_back({"transport", options_.transport});
  io::write_report(options_.outdir / "report.html", page);
}

void recorder::add_facts(io::report& page, const train::run_result* result) const {
  const io::json::object settings = configuration(options_);
  for (const auto& [key, value] : settings.members())
    page.facts.push_back({key, value.is_string() ? value.as_string() : io::json::dump(value)});
  page.facts.push_back({"training data", data_.train_facts});
  if (data_.test) page.facts.push_back({"test data", data_.test_facts});
  page.facts.push_back({"generator parameters", std::to_string(plan_.generator_params)});
  page.facts.push_back({"discriminator parameters", std::to_string(plan_.discriminator_params)});
  if (!score_features_.empty())
    page.facts.push_back(
        {"FID features", score_features_ + ", " + std::to_string(options_.metric_samples) +
                             " generated against " +
                             (data_.test ? std::to_string(data_.test->size()) + " test images"
                                         : std::to_string(data_.train->size()) + " real images")});
  if (result && !result->checkpoint_hash.empty())
    page.facts.push_back({"checkpoint SHA-256", result->checkpoint_hash});
}

void recorder::add_charts(io::report& page) const {
  const auto add = [&](const char* title, const char* unit, std::vector<io::series> lines) {
    page.charts.push_back({.title = title,
                           .x_label = "iteration",
                           .y_label = unit,
                           .log_y = false,
                           .lines = std::move(lines)});
  };
  if (!fid_.points.empty()) {
    add("Frechet distance of features (lower is better)", "FID", {fid_});
    page.charts.back().log_y = true;
  }
  const auto more = [&](const char* name) {
    const auto found = more_scores_.find(name);
    return io::series{name,
                      found == more_scores_.end() ? io::series{}.points : found->second.points};
  };
  if (more_scores_.contains("kid"))
    add("Kernel distance of features (lower is better)", "KID", {more("kid")});
  if (more_scores_.contains("precision"))
    add("Overlap of neighbourhoods in features (higher is better)", "share",
        {more("precision"), more("recall"), more("density"), more("coverage")});
  add("Losses", "loss", {d_loss_, g_loss_});
  add("Throughput", "real images per second", {rate_});
  if (is_distributed()) add("Bytes per iteration", "bytes", {down_, up_, swap_});
}

/// What each rank did when, and what it sent.
void recorder::add_time(io::report& page) const {
  const std::vector<rank_phases> ranks = read_phases(options_.outdir);
  page.time = {first_rounds(ranks, is_distributed()), time_shares(ranks, is_distributed())};
  if (!is_distributed()) return;
  tally_by_kind sent;
  double rounds = 0;
  for (const rank_phases& r : ranks)
    for (const phase_block& b : r.blocks) {
      sent += b.sent;
      if (r.rank == 0) rounds += static_cast<double>(b.rounds);
    }
  io::table kinds{"Bytes by kind of message", {"kind", "per iteration", "in all"}, {}};
  for (std::size_t k = 0; k < message_kinds; ++k) {
    const auto all = static_cast<double>(sent.kinds[k].bytes);
    if (all > 0)
      kinds.rows.push_back({std::string(message_name(static_cast<message>(k))),
                            size_text(all / std::max(1.0, rounds)), size_text(all)});
  }
  page.tables.push_back(std::move(kinds));
}

void recorder::add_tables(io::report& page) const {
  const double rounds = std::max(1u, total_rounds_);
  io::table times{
      "Milliseconds per iteration", {"phase", is_distributed() ? "server" : "node"}, {}};
  if (is_distributed()) times.header.push_back("worker (mean)");
  for (std::size_t p = 0; p < phase_names.size(); ++p) {
    if (total_.lead.seconds[p] == 0 && total_.worker.seconds[p] == 0) continue;
    std::vector<std::string> row{std::string(phase_names[p]),
                                 fixed(1e3 * total_.lead.seconds[p] / rounds, 2)};
    if (is_distributed()) row.push_back(fixed(1e3 * total_.worker.seconds[p] / rounds, 2));
    times.rows.push_back(std::move(row));
  }
  page.tables.push_back(std::move(times));
  if (!is_distributed()) return;
  if (total_.hidden + total_.exposed > 0)
    page.tables.push_back({"Networks on their way to a worker (mean)",
                           {"of the way", "milliseconds per iteration", "share"},
                           {{"hidden behind compute", fixed(1e3 * total_.hidden / rounds, 2),
                             fixed(100 * total_.hidden_fraction(), 1) + " %"},
                            {"waited for", fixed(1e3 * total_.exposed / rounds, 2),
                             fixed(100 * (1 - total_.hidden_fraction()), 1) + " %"}}});
  io::table bytes{"Bytes on the wire", {"direction", "per iteration", "in all"}, {}};
  const auto add = [&](const char* name, std::uint64_t sum) {
    const auto all = static_cast<double>(sum);
    bytes.rows.push_back({name, size_text(all / rounds), size_text(all)});
  };
  add("server to workers", total_.bytes_down);
  add("workers to server", total_.bytes_up);
  add("worker to worker", total_.bytes_swap);
  page.tables.push_back(std::move(bytes));
}

/// What each worker trains on, and how far its labels are from everybody's.
void recorder::add_split(io::report& page) const {
  if (!is_distributed()) return;
  const bool labelled = data_.classes > 0;
  io::bar_chart chart{.title = (labelled ? "Labels of each worker (" : "Samples of each worker (") +
                               options_.partition + ")",
                      .x_label = "worker",
                      .y_label = "samples",
                      .part_label = labelled ? "label" : "all"};
  std::vector<std::uint64_t> global(labels_.front().size());
  for (const auto& own : labels_) std::ranges::transform(own, global, global.begin(), std::plus());
  for (std::size_t l = 0; l < global.size(); ++l) chart.parts.push_back(std::to_string(l));
  double divergence = 0;
  for (std::size_t w = 0; w < labels_.size(); ++w) {
    chart.bars.push_back({std::to_string(w + 1), {labels_[w].begin(), labels_[w].end()}});
    divergence += data::label_divergence(labels_[w], global) / static_cast<double>(labels_.size());
  }
  page.data.push_back(std::move(chart));
  if (!labelled) return;
  page.facts.push_back(
      {"divergence of a worker's labels", fixed(divergence, 3) + " nats (mean over workers)"});
}
