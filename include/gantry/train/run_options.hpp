// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What a run is asked for and what it gives back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gantry/concepts/strategy.hpp"
#include "gantry/dist/node_memory.hpp"
#include "gantry/io/json.hpp"
#include "gantry/train/checkpoint_folder.hpp"
#include "gantry/train/weights.hpp"

namespace gantry::inline v0::train {

/// What callbacks see after a round, on rank 0 between rounds.
struct round_view {
  std::uint32_t iteration{};  ///< rounds done so far
  const round_report& report;
  /// Images ([n][h][w][c] in [-1, 1]) of latents ([n][latent]) by the averaged generator.
  const std::function<void(std::span<const float>, std::span<float>)>& sample;
  /// Calls back with each parameter tensor of the networks that rank 0 has.
  const std::function<void(const tensor_visitor&)>& weights;
};

/// Makes a worker stop for good before it starts a round: for tests and demonstrations of
/// fail-stop.
struct planned_stop {
  int worker{};  ///< 1 .. N
  std::uint32_t iteration{};
};

/// Makes a worker do nothing for so long before it starts a round: for tests of what happens when
/// one is late.
struct planned_pause {
  int worker{};  ///< 1 .. N
  std::uint32_t iteration{};
  double seconds{};
};

struct run_options {
  std::uint32_t iterations{1000};
  std::function<void(const round_view&)>
      on_start{};  ///< before the first round, with an empty report
  std::function<void(const round_view&)> on_round{};  ///< after each round
  /// Whether on_round must follow a round at once, with the networks as they are then; if not, it
  /// may be called for several rounds one after the other, so that a device need not be waited for.
  /// `waiting`: reports of the rounds it has not been called for, this one last, without losses and
  /// signals. Empty: after each round at once.
  std::function<bool(std::uint32_t iteration, std::span<const round_report> waiting)> looks{};
  std::function<bool()> stop_requested{};  ///< asked before each round; true saves and ends
  std::filesystem::path checkpoints{};     ///< folder for checkpoints; empty: none are written
  std::uint32_t save_every{0};             ///< rounds between checkpoints; 0: only at the end
  std::filesystem::path resume_from{};     ///< a network-snapshot folder; empty: start anew
  /// Goes into config.json; on resume it must match, unless it is empty. "workers" may differ.
  io::json::object configuration{};
  bool revive_workers{false};  ///< on resume, those that had been lost take part again
  std::vector<planned_stop> stops{};
  std::vector<planned_pause> pauses{};
  std::uint32_t keep_checkpoints{0};  ///< so many of the last ones stay; 0: all
  /// The score of the iteration that is about to be saved, if it has one; lower is better. The best
  /// checkpoint always stays, and state.json names it.
  std::function<std::optional<double>(std::uint32_t)> score{};
  /// State dictionaries of PyTorch (train/torch_state.hpp) that all networks of a kind start from;
  /// empty: random weights. A resume has no use for them.
  std::filesystem::path initial_generator{}, initial_discriminator{};
  std::filesystem::path phases{};  ///< folder for what each rank did when (phase_recorder.hpp);
                                   ///< empty: is not kept
};

struct run_result {
  std::uint32_t iterations{};  ///< rounds done, those before a resume included
  bool stopped_early{};
  int live_workers{};
  std::string
      checkpoint_hash;  ///< SHA-256 of the last checkpoint's manifest; empty if none was written
  std::optional<scored_checkpoint> best;  ///< of the checkpoints with a score
  /// Peaks of the nodes of this process by their backends' meters, so without messages; worker: of
  /// the one with most.
  arena_bytes lead_memory{}, worker_memory{};
};

}  // namespace gantry::train
