// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gantry/data/shard.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/json.hpp"
#include "gantry/io/progress.hpp"
#include "gantry/io/report.hpp"
#include "gantry/io/tensorboard.hpp"

#include "data_sets.hpp"
#include "options.hpp"
#include "preset.hpp"
#include "scores.hpp"

/// "12.50" for (12.5, 2).
std::string fixed(double value, int digits);

/// Everything a run leaves in its folder, and what it prints: grids, logs, scores, report.
class recorder {
 public:
  /// `features` is the network of scores; null: the classifier of the data.
  recorder(const program_options& options, const run_plan& plan, data_sets data,
           std::span<const gantry::data::shard> shards,
           std::unique_ptr<feature_extractor> features);

  void on_start(const gantry::train::round_view& view);
  void on_round(const gantry::train::round_view& view);
  /// Whether a line, pictures or scores are due after a round, see train::run_options.
  [[nodiscard]] bool looks(std::uint32_t iteration,
                           std::span<const gantry::round_report> waiting) const;
  /// The FID of this iteration, if it is the last that was scored.
  [[nodiscard]] std::optional<double> score_of(std::uint32_t iteration) const;
  /// Writes the last report and prints where things are.
  void finish(const gantry::train::run_result& result);

 private:
  void open_scores();
  void read_earlier(std::uint32_t iteration);
  void write_grid(const gantry::train::round_view& view, const std::string& name);
  void write_reals();
  void score(const gantry::train::round_view& view);
  /// `seen` images so far, `images` of them in the last round.
  [[nodiscard]] bool grid_is_due(std::uint32_t iteration, std::int64_t seen,
                                 std::int64_t images) const;
  [[nodiscard]] bool line_is_due(std::uint32_t iteration) const;
  [[nodiscard]] bool saves(std::uint32_t iteration) const;
  [[nodiscard]] bool score_is_due(std::uint32_t iteration, bool with_grid) const;
  void log(std::uint32_t iteration);
  void add_signals(gantry::io::json::object& line) const;
  void add_picture(const char* caption, std::int64_t iteration, std::vector<std::byte> png);
  [[nodiscard]] std::int64_t event_step(std::uint32_t iteration) const;
  void open_events(std::uint32_t iteration);
  void write_image_event(std::uint32_t iteration, const char* tag, std::span<const std::byte> png);
  void write_log_events(const gantry::io::json::object& line);
  void write_score_events(std::uint32_t iteration, const gantry::io::json::object& figures);
  void write_detail_events(const gantry::train::round_view& view);
  void write_report(const gantry::train::run_result* result) const;
  void add_facts(gantry::io::report& page, const gantry::train::run_result* result) const;
  void add_charts(gantry::io::report& page) const;
  void add_tables(gantry::io::report& page) const;
  void add_time(gantry::io::report& page) const;
  void add_split(gantry::io::report& page) const;
  [[nodiscard]] bool is_distributed() const { return options_.strategy.has_server(); }
  void print(const std::string& line);
  [[nodiscard]] double seconds() const;

  const program_options& options_;
  const run_plan& plan_;
  data_sets data_;
  std::unique_ptr<feature_extractor> features_;     ///< until the scores have it
  std::vector<std::vector<std::uint64_t>> labels_;  ///< number of samples by worker and label
  std::int64_t epoch_{};                            ///< samples of all shards
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::unique_ptr<gantry::io::progress> progress_;
  std::unique_ptr<gantry::io::line_log> stats_log_, fid_log_;
  std::unique_ptr<gantry::io::event_file> events_;
  std::unique_ptr<scorer> scorer_;
  std::string score_features_;
  std::vector<float> latents_;
  std::vector<gantry::io::picture> pictures_;
  std::map<std::string, gantry::io::series> more_scores_;  // by their names
  gantry::io::series d_loss_{"discriminator", {}}, g_loss_{"generator", {}}, fid_{"FID", {}},
      rate_{"images/s", {}}, down_{"server to workers", {}}, up_{"workers to server", {}},
      swap_{"worker to worker", {}};
  gantry::round_report interval_, total_;
  std::uint32_t interval_rounds_{}, total_rounds_{};
  std::int64_t detailed_until_{};  ///< iteration of the last events about workers
  double earlier_seconds_{}, interval_start_{}, first_fid_{-1}, last_fid_{-1};
  double now_{};          ///< when the last line was logged
  double maintenance_{};  ///< seconds of pictures and scores since then
};
