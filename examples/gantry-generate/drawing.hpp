// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Which images gantry-generate draws, and what it writes of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gantry/train/latents.hpp"

#include "gantry-train/checkpoint_generator.hpp"

inline constexpr std::size_t most_images = 100'000;

/// As the flags say, checked.
struct drawing_options {
  std::filesystem::path outdir{"runs/gantry-generate"};
  std::uint64_t seed{0};
  std::size_t count{64};
  std::string seeds;                     ///< the images, instead of `count` ones of `seed`
  std::vector<std::string> interpolate;  ///< none, or the two ends
  std::size_t frames{60};
  std::optional<float> truncation, psi;
  std::optional<int> label;  ///< of all images; else all classes in turn
  bool images{true}, grid{true}, archive{true};
};

/// Inputs of the generator.
struct inputs {
  std::vector<float> latents;  ///< [count][size]
  std::vector<std::uint8_t> labels;
};

/// "0-3,9:2" are the first images of the seeds 0, 1, 2 and 3 and image 2 of seed 9.
/// @throws gantry::usage_error
std::vector<gantry::train::latent_choice> parse_seeds(const std::string& text);

/// @throws gantry::usage_error for images that there are not
inputs inputs_of(const drawing_options& o, const checkpoint_generator& generator);

/// Draws them and writes imageNNNNNN.png (frameNNNNNN.png of an interpolation), grid.png and
/// images.npz into the folder. @returns what was written, for the user
std::string draw(const drawing_options& o, const checkpoint_generator& generator, const inputs& in);
