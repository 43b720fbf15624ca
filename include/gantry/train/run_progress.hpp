// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Where a run is and what it resumes from: what does not depend on networks, backend or strategy,
// so that a program with many of them compiles it once.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/io/json.hpp"
#include "gantry/train/checkpoint_folder.hpp"
#include "gantry/train/resume_seats.hpp"
#include "gantry/train/run_options.hpp"

namespace gantry::inline v0::train {

class run_progress {
 public:
  run_progress(const run_options& options, int world_size)
      : options_(&options), world_size_(world_size) {}

  /// Whether a worker stops for good before round `done`.
  [[nodiscard]] bool stops_now(int worker, std::uint32_t done) const {
    return std::ranges::any_of(options_->stops, [&](const planned_stop& s) {
      return s.worker == worker && s.iteration == done;
    });
  }

  void pause_now(int worker, std::uint32_t done) const {
    for (const planned_pause& p : options_->pauses)
      if (p.worker == worker && p.iteration == done)
        std::this_thread::sleep_for(std::chrono::duration<double>(p.seconds));
  }

  /// @throws numeric_error
  static void check_finite(const round_report& report, std::uint32_t iteration) {
    if (std::isfinite(report.discriminator_loss) && std::isfinite(report.generator_loss)) return;
    throw numeric_error("the losses of iteration " + std::to_string(iteration) +
                        " were expected to be finite and are " +
                        std::to_string(report.discriminator_loss) + " (D) and " +
                        std::to_string(report.generator_loss) +
                        " (G); lower the learning rates and start anew");
  }

  /// Writes what is left of a checkpoint whose networks all lie in its folder; returns its hash.
  std::string complete(checkpoint_writer& writer, std::uint32_t done, io::json::array live) {
    io::write_file_atomic(writer.folder() / "state.json",
                          io::json::dump(state_of(done, std::move(live)), 2) + "\n");
    io::write_file_atomic(writer.folder() / "config.json",
                          io::json::dump(options_->configuration, 2) + "\n");
    std::string hash = writer.commit();
    if (options_->keep_checkpoints > 0)
      rotate_checkpoints(options_->checkpoints, done, options_->keep_checkpoints, best_);
    return hash;
  }

  /// Reads and checks what every node of a resumed run needs before it starts; `fixes_workers`: its
  /// checkpoint is for as many workers as wrote it. @throws data_error, usage_error
  void read(int workers, bool fixes_workers) {
    const auto& folder = options_->resume_from;
    verify_checkpoint(folder);
    const io::json::value saved = detail::read_json(folder / "config.json");
    for (const auto& [key, value] : options_->configuration.members()) {
      if (key == "workers") continue;  // that is for take_seats to say
      const io::json::value* found = saved.as_object().find(key);
      if (!found || !same_setting(*found, value))
        throw data_error("the checkpoint " + folder.string() +
                         " was expected to have been made with " + key + " = " +
                         io::json::dump(value) + " and was made with " +
                         (found ? io::json::dump(*found) : "none") +
                         "; resume with the settings of the run that wrote it");
    }
    const bool says_all = !options_->configuration.members().empty();
    for (const auto& [key, value] : saved.as_object().members())
      if (says_all && !options_->configuration.find(key))
        throw data_error("the checkpoint " + folder.string() + " was made with " + key + " = " +
                         io::json::dump(value) +
                         " and a resume with the same was expected, but this run has none; resume "
                         "with the settings of the run that wrote it");
    const io::json::value state = detail::read_json(folder / "state.json");
    first = static_cast<std::uint32_t>(state.at("iteration").as_int());
    if (const auto* seen = state.as_object().find("images")) images = seen->as_int();
    if (const auto* best = state.as_object().find("best"))
      best_ = {static_cast<std::uint32_t>(best->at("iteration").as_int()),
               best->at("score").as_double()};
    if (best_ && !holds_best()) best_.reset();
    take_seats(live_workers_of(state), workers, fixes_workers);
  }

  /// The worker of the checkpoint that a worker (1 .. N) starts from; 0: it is lost and stays so.
  [[nodiscard]] int seat(int worker) const {
    return seats_.empty() ? worker : seats_[static_cast<std::size_t>(worker - 1)];
  }
  [[nodiscard]] const std::optional<scored_checkpoint>& best() const { return best_; }

  std::uint32_t first{};  ///< rounds that were done before this run
  std::int64_t images{};  ///< real samples that workers have seen so far
  bool resized{false};    ///< a resume with another number of workers

 private:
  /// Where a run is. Random numbers need no state: they are a function of the seed, the iteration
  /// and their purpose.
  io::json::object state_of(std::uint32_t done, io::json::array live) {
    io::json::object state{{"iteration", done},
                           {"images", images},
                           {"world_size", world_size_},
                           {"live_workers", std::move(live)}};
    const std::optional<double> score = options_->score ? options_->score(done) : std::nullopt;
    if (score && std::isfinite(*score)) {
      state.set("score", *score);
      if (!best_ || *score < best_->score) best_ = {done, *score};
    }
    // Without scores too: the best one of before a resume must outlive the next rotation.
    if (const auto& best = best_)
      state.set("best", io::json::object{{"iteration", best->iteration}, {"score", best->score}});
    return state;
  }

  /// Settings are floats, so numbers are the same if they are the same float: 2e-04 and
  /// 0.00019999999494757503.
  [[nodiscard]] static bool same_setting(const io::json::value& a, const io::json::value& b) {
    return a == b || (a.is_double() && b.is_double() &&
                      static_cast<float>(a.as_double()) == static_cast<float>(b.as_double()));
  }

  /// Whether the best checkpoint of the run that wrote `resume_from` lies where this run saves. It
  /// does not if the run goes on in another folder: then the best of its own is yet to come.
  [[nodiscard]] bool holds_best() const {
    const std::filesystem::path name = checkpoint_name(best_->iteration);
    std::error_code missing;
    const std::filesystem::path from = std::filesystem::canonical(options_->resume_from, missing);
    return is_complete_checkpoint(options_->checkpoints / name) &&
           std::filesystem::equivalent(options_->checkpoints / name, from.parent_path() / name,
                                       missing);
  }

  void take_seats(const std::vector<bool>& live, int workers, bool fixes_workers) {
    resized = live.size() != static_cast<std::size_t>(workers);
    if (resized && fixes_workers)
      throw data_error("the checkpoint " + options_->resume_from.string() +
                       " was expected to have " + std::to_string(workers) + " workers and has " +
                       std::to_string(live.size()) +
                       ", which its strategy ties to them; resume with as many --workers");
    seats_ = resume_seats(live, workers, options_->revive_workers);
  }

  const run_options* options_;
  int world_size_;
  std::vector<int> seats_;  // of a resume: see resume_seats
  std::optional<scored_checkpoint> best_;
};

}  // namespace gantry::train
