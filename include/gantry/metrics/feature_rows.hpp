// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <string>

#include "gantry/base/error.hpp"

namespace gantry::inline v0::metrics {

/// Feature vectors of samples, [count][dimension]; the numbers belong to the caller.
struct feature_rows {
  std::span<const float> values;
  std::size_t dimension{};

  [[nodiscard]] std::size_t count() const { return dimension == 0 ? 0 : values.size() / dimension; }
  [[nodiscard]] std::span<const float> row(std::size_t i) const {
    return values.subspan(i * dimension, dimension);
  }
  [[nodiscard]] feature_rows first(std::size_t n) const {
    return {values.first(n * dimension), dimension};
  }
};

/// @throws usage_error if there are fewer than `least` whole vectors, numeric_error if a number is
/// not finite
inline void require_features(const feature_rows& rows, std::size_t least) {
  expects(
      rows.dimension >= 1 && rows.values.size() % rows.dimension == 0,
      "features are whole vectors of a dimension of at least 1; pass the output of one network");
  if (rows.count() < least)
    throw usage_error("at least " + std::to_string(least) + " feature vectors were expected and " +
                      std::to_string(rows.count()) + " found; score more samples");
  for (std::size_t i = 0; i < rows.values.size(); ++i)
    if (!std::isfinite(rows.values[i]))
      throw numeric_error(
          "features have to be finite and feature " + std::to_string(i % rows.dimension) +
          " of sample " + std::to_string(i / rows.dimension) + " is " +
          std::to_string(rows.values[i]) + "; check the samples and the network for NaN");
}

/// As above for samples that are compared. @throws usage_error also if the dimensions differ
inline void require_features(const feature_rows& a, const feature_rows& b, std::size_t least) {
  require_features(a, least);
  require_features(b, least);
  if (a.dimension != b.dimension)
    throw usage_error("features of one dimension were expected and " + std::to_string(a.dimension) +
                      " and " + std::to_string(b.dimension) +
                      " found; use one feature network for both");
}

}  // namespace gantry::metrics
