// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The averaged generator of a checkpoint, or those of all labels where each has its own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "preset.hpp"

class checkpoint_generator {
 public:
  /// `from` is a checkpoint or the folder of a run; without one, the generator is that of
  /// --init-generator and --model. @throws gantry::data_error if there is none, it is damaged, it
  /// is of networks that this build does not have, or --model names others
  checkpoint_generator(const std::string& from, const program_options& o);

  /// Generates by the weights of the last update instead of their average.
  void use_raw_weights() { suffix_ = ".safetensors"; }

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] const std::string& model() const { return networks_->about.name; }
  [[nodiscard]] gantry::hwc latent() const { return plan_.latent; }
  [[nodiscard]] gantry::hwc image() const { return plan_.image; }
  /// Number of labels that images can be asked of; 0 for networks without.
  [[nodiscard]] int classes() const { return pairs_ > 0 ? pairs_ : networks_->classes; }

  /// Images ([n][h][w][c]) of latents ([n][latent]) and, where there are classes, n labels below
  /// them.
  void generate(std::span<const float> latents, std::span<const std::uint8_t> labels,
                std::span<float> images) const;

 private:
  const program_options& options_;
  std::filesystem::path folder_;
  const preset* networks_;
  run_plan plan_;
  std::string suffix_{"_ema.safetensors"};
  int pairs_{};  ///< label-parallel networks: of label n - 1 in generator-n
};
