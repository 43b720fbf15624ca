// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What an experiment leaves: a JSON line per run, a table and a picture.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/strategy.hpp"
#include "gantry/dist/privacy.hpp"
#include "gantry/io/json.hpp"
#include "gantry/train/evaluation.hpp"

#include "experiments.hpp"

/// A score on the way of a run.
struct scored_point {
  std::uint32_t iteration{};
  std::int64_t generator_steps{};
  std::uint64_t bytes{};  ///< payload so far, between all nodes
  gantry::train::evaluation score;
  std::optional<gantry::dist::privacy_spent> privacy{};  ///< so far
};

struct measured_run {
  std::string name;
  std::uint64_t seed{};
  std::uint32_t iterations{};
  int workers{}, live_workers{}, batch{};
  worker_faults faults{};
  std::uint64_t bytes{};
  gantry::tally_by_kind sent{};  ///< by all nodes, before filters
  std::optional<gantry::dist::privacy_spent> privacy{};
  double seconds{};  ///< modelled; 0 where nothing was
  gantry::strategy_plan costs{};
  gantry::arena_bytes lead_memory{}, worker_memory{};  ///< peaks by the backends' meters
  std::vector<scored_point> points{};
  std::vector<double> round_seconds{};   ///< as they passed, without scoring
  gantry::phase_times lead{}, worker{};  ///< sums over the rounds; worker: mean over workers
};

/// Modelled seconds that a run had taken at a point; all rounds count the same.
double seconds_at(const measured_run& r, const scored_point& p);

/// Middle of some numbers, and the ends.
struct spread {
  double median{}, least{}, most{};
};
spread spread_of(std::vector<double> values);

/// The median of the values of some runs.
double middle(std::vector<double> values);

gantry::io::json::object json_of(const experiment& e, const measured_run& run);

/// KEY.svg and KEY-bytes.svg (FID), KEY-score.svg and KEY-bytes-score.svg; where feedbacks are
/// noisy also KEY-epsilon.svg. @returns the names of the files with what they show
std::vector<std::pair<std::string, std::string>> write_pictures(
    const experiment& e, const experiment_settings& settings,
    const std::vector<measured_run>& runs);

/// Writes KEY.jsonl, KEY.md and, for scored experiments, the pictures.
void write_page(const experiment& e, const experiment_settings& settings,
                const std::string& machine, const std::vector<measured_run>& runs);
