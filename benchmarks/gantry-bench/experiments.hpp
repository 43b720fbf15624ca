// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// gantry-bench strategies: named experiments, each a list of runs of gantry-train that are scored
// side by side.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gantry/metrics/link_model.hpp"

/// What wrong workers do to the feedbacks and networks that they send.
enum class attack { none, sign_flipped, times_100, nan, stale };

/// How the links between nodes are: not at all in the way, as slow as a model says in seconds that
/// are added up, or in seconds that pass.
enum class link_kind { none, modelled, throttled };

/// What is timed: a run of gantry-train, or something else that has no flags for it.
enum class subject {
  training,
  label_index,  ///< the shards of all workers by one index of the labels
  label_scan,   ///< each worker reads all images and keeps those of its label
  tasks_at_once,
  tasks_in_turn  ///< the same GANs, one after the other
};

/// What goes wrong with workers whose time is modelled; metrics/link_model.hpp draws who and when.
struct worker_faults {
  double stragglers{0};  ///< this part of the workers, rounded,
  double slow_down{10};  ///< takes so many times as long to compute
  double drop_out{0};    ///< probability that a worker stops for good, in each round
};

/// A line of a table.
struct experiment_run {
  std::string name;
  std::string flags{};  ///< of gantry-train, behind those of the experiment
  attack wrong{attack::none};
  int wrong_workers{0};
  bool fail_stops{false};  ///< a worker stops every I / N iterations
  int rounds{1};           ///< so many are timed as one, the work of one round of the others
  subject what{subject::training};
  worker_faults faults{};
};

struct experiment {
  std::string key, title, claim;
  std::string flags;  ///< of gantry-train, of all runs
  std::vector<experiment_run> runs{};
  link_kind links{link_kind::none};
  gantry::metrics::node_rates worker{}, server{};
  std::string link_text{};     ///< the rates in words
  bool scored{true};           ///< FID at intervals; otherwise only times
  int repeats{1};              ///< of a run that is timed, by turns with the others
  bool equal_compute{false};   ///< runs have as many iterations as cost what the first costs
  const char* timed{"round"};  ///< what the seconds are of
  bool equal_score{false};     ///< modelled seconds until a FID that all runs reach are asked for
};

/// Whether a run has time that is modelled and not measured.
inline bool is_modelled(const experiment& e) { return e.links == link_kind::modelled; }

/// All that this program knows.
const std::vector<experiment>& experiments();

/// How much of an experiment is run.
struct experiment_settings {
  std::string key;
  std::vector<std::uint64_t> seeds{0, 1, 2};
  double length{1};        ///< of the runs, 1: as the table says
  int threads{0};          ///< 0: all
  std::string data_dir{};  ///< of gantry-train's --data-dir
  /// In place of the faults of all runs.
  std::optional<double> stragglers{}, slow_down{}, drop_out{};
  std::filesystem::path out{"docs/results/strategies"};
};

/// Seconds of three GANs of different kinds, two workers each, for so many rounds: trained by one
/// server at once, or in three worlds, one after the other. Links are throttled as the
/// experiment's.
double seconds_of_tasks(const experiment& e, bool at_once, std::uint32_t rounds, int threads);

/// Runs an experiment; writes KEY.jsonl, KEY.md and its pictures into `out`, and prints each line
/// of JSON. @throws gantry::usage_error for an unknown key
void run_experiment(const experiment_settings& settings, const std::string& machine);
