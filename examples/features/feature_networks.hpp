// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Feature networks by name. Programs see no type of them: they are compiled in feature_networks.cpp
// only.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "gantry/tensor/shape.hpp"

/// A FeatureNetwork (gantry/concepts/feature_network.hpp) of a type that is known at run time.
class feature_source {
 public:
  virtual ~feature_source() = default;
  [[nodiscard]] virtual int feature_count() const = 0;
  [[nodiscard]] virtual int classes() const = 0;
  /// What figures have to agree in to be compared: network with its resize, SHA-256 of its weights.
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual std::string hash() const = 0;
  /// Features ([n][feature_count]) and class probabilities ([n][classes]) of n images, [n][h][w][c]
  /// in [-1, 1] with the extents that the source was made for; an empty span is skipped.
  /// @throws numeric_error if a pixel is not finite, usage_error if the sizes do not fit
  virtual void evaluate(std::span<const float> images, int n, std::span<float> features,
                        std::span<float> probabilities) = 0;
};

/// What --help says of the text.
inline constexpr const char* feature_network_texts =
    "lenet, resnet20:FILE, inception:FILE or inception-tf1:FILE (docs/14_feature_networks.md)";

/// @throws usage_error if the text is none of feature_network_texts; files are not looked at
void check_feature_network(const std::string& text);

/// The network with published weights that the text names, for images of these extents; lenet is
/// trained on a program's own data, and the program makes it (gantry/train/classifier.hpp).
/// @throws usage_error for another text, for lenet or extents that do not fit, data_error for a
/// file that is missing, damaged or of another network
std::unique_ptr<feature_source> make_feature_source(const std::string& text, gantry::hwc images,
                                                    int threads);
