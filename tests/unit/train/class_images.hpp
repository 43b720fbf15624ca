// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A tiny data set of 10 classes, and folders, for the tests of the classifier and the evaluator.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/base/rng.hpp"
#include "gantry/data/image_set.hpp"
#include "gantry/train/classifier.hpp"

#include "support/scratch_folder.hpp"

namespace class_images {

/// n images of 28 x 28 whose class i % 10 is the place of a bright square on a dark, noisy ground.
inline gantry::data::image_set make(std::size_t n, std::uint64_t seed, std::string name) {
  gantry::data::image_set set{28, 28, 1, {}, {}, std::move(name)};
  gantry::random_sequence draw({.seed = seed, .use = gantry::purpose::user});
  for (std::size_t i = 0; i < n; ++i) {
    const auto label = static_cast<std::uint8_t>(i % 10);
    const int top = 2 + 13 * (label / 5), left = 1 + 5 * (label % 5);
    for (int y = 0; y < 28; ++y)
      for (int x = 0; x < 28; ++x) {
        const bool inside = y >= top && y < top + 11 && x >= left && x < left + 6;
        set.pixels.push_back(static_cast<std::uint8_t>((inside ? 150 : 0) + draw.below(100)));
      }
    set.labels.push_back(label);
  }
  return set;
}

/// Enough for the set above.
inline constexpr gantry::train::classifier_settings quick{.passes = 5, .batch = 20, .rate = 3e-3};

inline gantry::train::classifier_weights<> trained(
    int threads, const gantry::train::classifier_settings& s = quick) {
  gantry::backend::cpu b(threads);
  const auto set = make(200, 1, "squares train");
  return gantry::train::classifier_training<gantry::backend::cpu>(b, set, s).run();
}

/// Images of a set as floats in [-1, 1].
inline std::vector<float> floats(const gantry::data::image_set& set) {
  std::vector<float> all;
  for (const std::uint8_t pixel : set.pixels) all.push_back(gantry::data::pixel_to_float[pixel]);
  return all;
}

using temporary_directory = gantry::test::scratch_folder;

}  // namespace class_images
