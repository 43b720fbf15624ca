// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A feature network behind one type, for programs that learn at run time which one it is.
#pragma once

#include <limits>
#include <span>
#include <string>

#include "gantry/tensor/shape.hpp"

class feature_extractor {
 public:
  virtual ~feature_extractor() = default;
  [[nodiscard]] virtual int feature_count() const = 0;
  /// Of its class probabilities; 0 if it has none.
  [[nodiscard]] virtual int classes() const = 0;
  /// Features, [n][feature_count], and class probabilities, [n][classes], of images of any extents,
  /// [n][h][w][c] in [-1, 1]; an empty span of results is skipped.
  virtual void evaluate(std::span<const float> images, gantry::hwc shape, std::span<float> features,
                        std::span<float> probabilities) = 0;
  [[nodiscard]] virtual std::string name() const = 0;
  /// SHA-256 of its weights.
  [[nodiscard]] virtual std::string hash() const = 0;
  /// On real test images; NaN where it was not measured.
  [[nodiscard]] virtual double accuracy() const { return std::numeric_limits<double>::quiet_NaN(); }
  /// How images come to its extents, for manifests.
  [[nodiscard]] virtual std::string resize() const = 0;
};
