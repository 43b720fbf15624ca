// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Scores of an experiment's runs over what they have spent.
#include <algorithm>
#include <map>

#include "gantry/io/file.hpp"

#include "experiment_page.hpp"
#include "plot.hpp"

namespace {

using namespace gantry;

enum class abscissa { generator_updates, modelled_seconds, megabytes, epsilon };

const char* name_of(abscissa x) {
  switch (x) {
    case abscissa::generator_updates:
      return "generator updates";
    case abscissa::modelled_seconds:
      return "modelled seconds";
    case abscissa::megabytes:
      return "MB between all nodes";
    case abscissa::epsilon:
      return "epsilon spent so far";
  }
  return "";
}

/// What a run has spent at a point; nothing where that has no meaning.
std::optional<double> spent(const measured_run& r, const scored_point& p, abscissa over) {
  switch (over) {
    case abscissa::generator_updates:
      return static_cast<double>(p.generator_steps);
    case abscissa::modelled_seconds:
      return seconds_at(r, p);
    case abscissa::megabytes:
      return static_cast<double>(p.bytes) / 1e6;
    case abscissa::epsilon:
      if (p.privacy) return p.privacy->epsilon;
  }
  return std::nullopt;
}

using figure = double gantry::train::evaluation::*;

/// A score over what a run has spent, medians over the seeds.
std::vector<curve> curves_of(const experiment& e, const std::vector<measured_run>& runs,
                             abscissa over, figure score) {
  std::vector<curve> curves;
  for (const experiment_run& kind : e.runs) {
    std::map<std::uint32_t, std::pair<std::vector<double>, std::vector<double>>> at;
    for (const measured_run& r : runs) {
      if (r.name != kind.name) continue;
      for (const scored_point& p : r.points) {
        const std::optional<double> x = spent(r, p, over);
        if (!x) continue;
        at[p.iteration].first.push_back(*x);
        at[p.iteration].second.push_back(p.score.*score);
      }
    }
    curve c{kind.name, {}};
    for (auto& [iteration, values] : at)
      c.points.emplace_back(middle(values.first), middle(values.second));
    if (!c.points.empty()) curves.push_back(std::move(c));
  }
  return curves;
}

/// FID over epsilon: the way of each run with noise, and their ends with the epsilon of each. The
/// first run of the experiment, if it has no noise, is the level that they are compared with.
std::vector<curve> privacy_curves(const experiment& e, const std::vector<measured_run>& runs) {
  std::vector<curve> curves = curves_of(e, runs, abscissa::epsilon, &train::evaluation::fid);
  curve ends{"at the end of each run", {}};
  double least = 0, most = 0;
  for (const curve& c : curves) {
    ends.points.push_back(c.points.back());
    least = least > 0 ? std::min(least, c.points.front().first) : c.points.front().first;
    most = std::max(most, c.points.back().first);
  }
  std::ranges::sort(ends.points);
  for (const auto& [epsilon, fid] : ends.points) ends.notes.push_back(short_number(epsilon));
  curves.push_back(std::move(ends));
  std::vector<double> exact;
  for (const measured_run& r : runs)
    if (r.name == e.runs.front().name && !r.privacy) exact.push_back(r.points.back().score.fid);
  if (exact.empty()) return curves;
  const double fid = middle(std::move(exact));
  curves.push_back({e.runs.front().name + ", at the end", {{least, fid}, {most, fid}}});
  return curves;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> write_pictures(
    const experiment& e, const experiment_settings& settings,
    const std::vector<measured_run>& runs) {
  std::vector<std::pair<std::string, std::string>> written;
  const auto write = [&](const std::string& ending, const char* shows,
                         const std::vector<curve>& curves, const plot_axes& axes) {
    const std::string name = e.key + ending + ".svg";
    io::write_file_atomic(settings.out / name, svg_of(curves, axes));
    written.emplace_back(name, shows);
  };
  const abscissa first = is_modelled(e) ? abscissa::modelled_seconds : abscissa::generator_updates;
  for (const auto& [over, ending] :
       {std::pair{first, std::string()}, std::pair{abscissa::megabytes, std::string("-bytes")}}) {
    const std::string x = name_of(over);
    write(ending, "FID", curves_of(e, runs, over, &train::evaluation::fid), {.x = x, .y = "FID"});
    write(ending + "-score", "classifier score",
          curves_of(e, runs, over, &train::evaluation::classifier_score),
          {.x = x, .y = "score", .log_y = false});
  }
  if (std::ranges::any_of(runs, [](const auto& r) { return r.privacy.has_value(); }))
    write("-epsilon", "FID against epsilon", privacy_curves(e, runs),
          {.x = name_of(abscissa::epsilon), .y = "FID", .log_x = true});
  return written;
}
