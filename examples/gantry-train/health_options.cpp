// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>

#include "checks.hpp"
#include "health_options.hpp"
#include "strategy_options.hpp"

using namespace gantry;

namespace {

std::atomic<int> lost_ranks{0};

/// WORKER@ITERATION, and what follows behind a colon if `timed`.
struct worker_at {
  int worker{};
  std::uint32_t iteration{};
  double seconds{};
};
std::optional<worker_at> parsed(const std::string& text, int workers, bool timed) {
  const std::size_t at = std::min(text.find('@'), text.size());
  const std::size_t colon = timed ? std::min(text.find(':', at), text.size()) : text.size();
  const std::size_t behind = std::min(at + 1, colon);
  const auto worker = number_in<int>(text.substr(0, at));
  const auto iteration = number_in<std::uint32_t>(text.substr(behind, colon - behind));
  const auto seconds = number_in<double>(text.substr(std::min(colon + 1, text.size())));
  if (!worker || !iteration || *worker < 1 || *worker > workers) return std::nullopt;
  if (timed && !(seconds && *seconds > 0 && *seconds <= 86400)) return std::nullopt;
  return worker_at{*worker, *iteration, timed ? *seconds : 0};
}

}  // namespace

void add_health_flags(CLI::App& app, health_options& o) {
  app.add_option("--when-late", o.when_late,
                 "what becomes of a worker that is late and shows no sign of work: wait; drop it "
                 "and go on with the others; drop it, save and end with exit code 4")
      ->check(one_of({"wait", "drop", "save"}));
  app.add_option(
         "--patience", o.patience,
         "seconds without a sign of work until --when-late acts; who is late is named after "
         "two, or so many if they are fewer")
      ->check(from_to(0.01, 86400.0));
  app.add_option("--stop-worker", o.stop_worker,
                 "WORKER@ITERATION: this worker stops for good (may be repeated)");
  app.add_option(
      "--pause-worker", o.pause_worker,
      "WORKER@ITERATION:SECONDS: this worker does nothing for so long (may be repeated)");
  app.add_flag("--revive", o.revive, "with --resume: workers that had been lost take part again")
      ->needs("--resume");
}

void resolve_health(const CLI::App& app, health_options& o, const strategy_options& strategy) {
  for (const char* flag :
       {"--stop-worker", "--pause-worker", "--when-late", "--patience", "--revive"})
    if (app.count(flag) > 0 && !strategy.has_server())
      throw usage_error(std::string(flag) +
                        " was expected with a strategy that has workers and came with " +
                        strategy.name + "; leave it out");
  o.is_given = app.count("--when-late") > 0 || app.count("--patience") > 0;
  const std::string workers =
      "with a worker from 1 to " + std::to_string(strategy.workers) + " and is \"";
  for (const std::string& text : o.stop_worker) {
    const auto stop = parsed(text, strategy.workers, false);
    if (!stop)
      throw usage_error("--stop-worker was expected to be WORKER@ITERATION " + workers + text +
                        "\"; give for example --stop-worker 1@100");
    o.stops.push_back({stop->worker, stop->iteration});
  }
  for (const std::string& text : o.pause_worker) {
    const auto pause = parsed(text, strategy.workers, true);
    if (!pause)
      throw usage_error("--pause-worker was expected to be WORKER@ITERATION:SECONDS " + workers +
                        text + "\"; give for example --pause-worker 1@100:60");
    o.pauses.push_back({pause->worker, pause->iteration, pause->seconds});
  }
}

comm::patience patience_of(const health_options& o) {
  const double named_after = std::min(o.patience, comm::patience{}.warn_after);
  return {.warn_after = named_after,
          .act_after = o.patience,
          .silence_after = named_after,
          .signs_every = named_after / 8,
          .then = o.when_late == "wait" ? comm::when_late::wait : comm::when_late::drop,
          // --when-late save ends the whole job.
          .end_silent = o.when_late == "drop",
          .on_lost = [](rank_t) { ++lost_ranks; }};
}

bool ends_with_loss(const health_options& o) { return o.when_late == "save" && lost_ranks > 0; }
