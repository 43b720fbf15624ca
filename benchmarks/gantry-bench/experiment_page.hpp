// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What an experiment leaves: a JSON line per run, a table and a picture.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
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
};

struct measured_run {
  std::string name;
  std::uint64_t seed{};
  std::uint32_t iterations{};
  int workers{}, batch{};
  std::uint64_t bytes{};
  gantry::tally_by_kind sent{};  ///< by all nodes, before filters
  std::optional<gantry::dist::privacy_spent> privacy{};
  double seconds{};  ///< modelled; 0 where nothing was
  gantry::strategy_plan costs{};
  std::vector<scored_point> points{};
  std::vector<double> round_seconds{};   ///< as they passed, without scoring
  gantry::phase_times lead{}, worker{};  ///< sums over the rounds; worker: mean over workers
};

/// Middle of some numbers, and the ends.
struct spread {
  double median{}, least{}, most{};
};
spread spread_of(std::vector<double> values);

gantry::io::json::object json_of(const experiment& e, const measured_run& run);

/// Writes KEY.jsonl, KEY.md and, for scored experiments, KEY.svg and KEY-bytes.svg (FID) and
/// KEY-score.svg and KEY-bytes-score.svg.
void write_page(const experiment& e, const experiment_settings& settings,
                const std::string& machine, const std::vector<measured_run>& runs);
