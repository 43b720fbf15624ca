// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gantry/data/partition_spec.hpp"
#include "gantry/io/json.hpp"
#include "gantry/models/recommended.hpp"
#include "gantry/nn/augment.hpp"
#include "gantry/train/trainer.hpp"

#include "health_options.hpp"
#include "message_options.hpp"
#include "settings.hpp"
#include "strategy_options.hpp"

/// What a preset of networks brings along.
struct model_info {
  std::string name;
  std::string objective;  ///< its own, or empty: chosen by --loss
  gantry::models::recommended settings;
  bool has_settings{false}, has_penalties{false};
  bool on_cuda{false};  ///< this build has it for --device cuda, too
};

/// What the flags of gantry-train say, checked and resolved.
struct program_options {
  std::string data{"fashion-mnist"};
  std::filesystem::path data_dir, data_cache;
  std::string attribute;  ///< of CelebA, which becomes the label
  std::string model{"dcgan28"};
  strategy_options strategy;
  std::string partition{"iid"};
  message_options messages;
  health_options health;
  std::string augment, augment_probability{"1"};
  std::string loss{"non_saturating"};
  std::string optimizer{"adam"};
  std::string metrics{"fid"}, features{"auto"};
  std::string device{"cpu"}, precision{"fp32"}, kernels{"own"};
  std::string transport{"threads"};
  std::string device_messages{"auto"};  ///< over MPI
  std::string launch;  ///< this process's place in its job, where no launcher says it
  std::string resume;
  std::string from;  ///< where --sample finds a checkpoint

  std::uint32_t iterations{2000};
  int batch{16};
  std::uint64_t seed{0};
  std::filesystem::path outdir{"runs/gantry-train"};
  int threads{0};
  std::optional<float> penalty;  ///< weight of gradient penalties in place of the preset's
  float rate_g{2e-4f}, rate_d{2e-4f}, beta1{0.5f}, beta2{0.999f}, clip{0.01f};
  float ema{0.999f};
  std::uint32_t log_every{10}, grid_every{0}, metric_every{0}, save_every{0}, keep_checkpoints{0};
  int metric_samples{2000};
  int sample{0};  ///< images to draw instead of training; 0: train
  bool dry_run{false}, quiet{false}, overwrite{false}, keep_best{false}, arrays{false};
  std::filesystem::path init_generator, init_discriminator;  ///< states of PyTorch, or empty

  // Resolved from the command line.
  bool model_given{false};
  gantry::data::partition_spec split;   ///< what `partition` says
  gantry::augment_images augmentation;  ///< of probability 0 without --augment
  std::optional<int> local_rank;        ///< of a process with one rank, among those of its machine
  std::filesystem::path resume_from;    ///< a network-snapshot folder, or empty

  std::vector<std::string> scores{"fid", "is"};  ///< figures of a score
  std::vector<setting> given;                    ///< what is no default, and where it comes from
  std::string configuration_file;                ///< for --config, to repeat the run
  std::string tensorboard{"kimg"};               ///< x axis of event files, or off
  std::string grid_text{"0"};                    ///< what --grid-every says
  bool grid_by_epoch{false};                     ///< then metric_every may be 0: with each grid
  std::vector<std::string> tasks;                ///< models to train at once, or none
  std::string task;                              ///< which of them this is
};

/// Reads the command line, the environment and the file of --config. @returns nothing if help or
/// the version was printed. @throws gantry::usage_error
std::optional<program_options> parse_options(int argc, const char* const* argv,
                                             const std::vector<model_info>& models);

/// The settings that decide the result: what config.json of a checkpoint holds and a resume must
/// match.
gantry::io::json::object configuration(const program_options& o);
