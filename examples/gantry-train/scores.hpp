// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The edge to classifiers and figures: they are compiled in scores.cpp only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "gantry/train/evaluation.hpp"

#include "data_sets.hpp"
#include "feature_extractor.hpp"
#include "preset.hpp"

/// Scores a generator against real images in the features of a network.
class scorer {
 public:
  using sample_function = std::function<void(std::span<const float>, std::span<float>)>;

  virtual ~scorer() = default;
  virtual gantry::train::evaluation evaluate(const sample_function& sample, int count,
                                             std::uint64_t seed) = 0;
  [[nodiscard]] virtual std::string network_name() const = 0;
  [[nodiscard]] virtual std::string network_hash() const = 0;
  /// Of the network on real images; NaN where it was not measured.
  [[nodiscard]] virtual double accuracy() const = 0;
};

/// Against the test images, or own images, in the features of `network`, whose features of these
/// are kept in the user's cache; without one in those of make_classifier_extractor. `note` gets
/// sentences for the user.
std::unique_ptr<scorer> make_scorer(const program_options& o, const run_plan& plan,
                                    const data_sets& data,
                                    const std::function<void(const std::string&)>& note,
                                    std::unique_ptr<feature_extractor> network = nullptr);

/// The classifier of the images of --data that was kept, or a new one; where trains_classifier says
/// no, one that is not trained and has no classes.
std::unique_ptr<feature_extractor> make_classifier_extractor(
    const program_options& o, const data_sets& data,
    const std::function<void(const std::string&)>& note);

/// Accuracy on the published test images of a classifier that was trained on these images,
/// [n][h][w] [c] in [-1, 1], and their labels. @throws gantry::usage_error for labels that the set
/// has not
double accuracy_after_synthetic_training(const program_options& o, const data_sets& data,
                                         std::span<const float> images, gantry::hwc shape,
                                         std::span<const std::uint8_t> labels);
