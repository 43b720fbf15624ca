// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The edge at which types end: each preset of networks is compiled in a translation unit of its own
// and is used through these functions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "gantry/comm/any.hpp"
#include "gantry/data/shard.hpp"
#include "gantry/tensor/shape.hpp"

#include "options.hpp"

/// What a run will cost, from constants of its types.
struct run_plan {
  gantry::hwc latent, image;
  std::size_t generator_params{}, discriminator_params{};
  gantry::strategy_plan costs;
};

struct preset {
  model_info about;
  gantry::hwc image;
  int classes{};  ///< of labels that the generator reads; 0: none
  run_plan (*plan)(const program_options&);
  gantry::train::run_result (*train)(const program_options&, gantry::comm::any_world&,
                                     std::vector<gantry::data::shard>,
                                     const gantry::train::run_options&);
  /// Images ([n][h][w][c]) of latents ([n][latent]) and labels by a generator in a file.
  void (*generate)(const program_options&, const std::filesystem::path& file,
                   std::span<const float> latents, std::span<const std::uint8_t> labels,
                   std::span<float> images);
};

/// All presets of this build.
const std::vector<preset>& presets();
/// Those that can train with --device cuda; none in a build without it.
const std::vector<preset>& cuda_presets();

/// What the presets bring along, as parse_options takes it.
inline std::vector<model_info> known_models() {
  std::vector<model_info> models;
  for (const preset& p : presets()) {
    models.push_back(p.about);
    models.back().on_cuda = std::ranges::any_of(
        cuda_presets(), [&](const preset& c) { return c.about.name == p.about.name; });
  }
  return models;
}

/// The preset of that name for the device of --device; null if there is none.
inline const preset* find_preset(const program_options& o, const std::string& name) {
  const auto& all = o.device == "cuda" ? cuda_presets() : presets();
  const auto found =
      std::ranges::find_if(all, [&](const preset& p) { return name == p.about.name; });
  return found == all.end() ? nullptr : &*found;
}

/// The preset that --model names; parse_options has seen that there is one.
inline const preset& chosen_preset(const program_options& o) { return *find_preset(o, o.model); }
