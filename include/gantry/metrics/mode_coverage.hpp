// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "gantry/base/error.hpp"

namespace gantry::inline v0::metrics {

/// When a sample and when a mode counts.
struct mode_coverage_rules {
  double sigma{0.02};      ///< standard deviation of each mode
  double within{3.0};      ///< a sample is good within this many sigma of its nearest centre
  double min_share{0.01};  ///< of all samples: what a mode needs in good ones to be covered
};

/// How samples are spread over the modes of a mixture.
struct mode_coverage_result {
  int covered{};                       ///< modes with min_share of the samples and at least one
  double good_share{};                 ///< share of samples that are good
  std::vector<std::int64_t> per_mode;  ///< good samples nearest to each mode
};

/// Counts modes and good samples in the plane (Srivastava et al., "VEEGAN", arXiv 1705.07761, where
/// one good sample covers a mode: min_share = 0). `samples` is [n][2]. NaN is never good.
/// @throws usage_error for no samples, an odd number of coordinates, no centres or impossible rules
[[nodiscard]] inline mode_coverage_result mode_coverage(
    std::span<const float> samples, std::span<const std::array<float, 2>> centres,
    const mode_coverage_rules& rules = {}) {
  expects(!samples.empty() && samples.size() % 2 == 0 && !centres.empty(),
          "mode coverage needs at least one centre and one sample of two coordinates; pass points "
          "of the plane");
  const double limit = rules.within * rules.sigma;
  expects(limit > 0 && std::isfinite(limit) && rules.min_share >= 0 && rules.min_share <= 1,
          "mode coverage needs a positive sigma and radius and a share from 0 to 1; correct the "
          "rules");
  mode_coverage_result result;
  result.per_mode.resize(centres.size());
  const std::size_t n = samples.size() / 2;
  std::int64_t good = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::size_t nearest = 0;
    double distance = std::numeric_limits<double>::infinity();
    for (std::size_t k = 0; k < centres.size(); ++k) {
      const double to_centre = std::hypot(double{samples[2 * i]} - double{centres[k][0]},
                                          double{samples[2 * i + 1]} - double{centres[k][1]});
      if (to_centre < distance) {
        distance = to_centre;
        nearest = k;
      }
    }
    if (distance <= limit) {
      ++result.per_mode[nearest];
      ++good;
    }
  }
  const double total = static_cast<double>(n);
  for (const std::int64_t count : result.per_mode)
    if (count > 0 && static_cast<double>(count) >= rules.min_share * total) ++result.covered;
  result.good_share = static_cast<double>(good) / total;
  return result;
}

}  // namespace gantry::metrics
