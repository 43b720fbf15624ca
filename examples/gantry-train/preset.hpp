// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The edge at which types end: each preset of networks is compiled in a translation unit of its own
// and is used through these functions.
#pragma once

#include <cstddef>
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
  run_plan (*plan)(const program_options&);
  gantry::train::run_result (*train)(const program_options&, gantry::comm::any_world&,
                                     std::vector<gantry::data::shard>,
                                     const gantry::train::run_options&);
  /// Images ([n][h][w][c]) of latents ([n][latent]) by a generator in a file.
  void (*generate)(const program_options&, const std::filesystem::path& file,
                   std::span<const float> latents, std::span<float> images);
};

/// All presets of this build.
const std::vector<preset>& presets();
