// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// How well the neighbourhoods of real and generated samples overlap, from features on.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/metrics/feature_rows.hpp"
#include "gantry/metrics/pairwise.hpp"

namespace gantry::inline v0::metrics {

/// k of the k-th nearest neighbours; the defaults are those of the papers.
struct neighbourhood_settings {
  int precision{3};  ///< for precision and recall
  int density{5};    ///< for density and coverage
};

/// Let B_k(z) be the ball around a sample z that reaches to its k-th nearest neighbour among the
/// other samples of its side.
struct neighbourhood_score {
  double precision{};  ///< share of generated samples within B_k of a real one
  double recall{};     ///< share of real samples within B_k of a generated one
  double density{};    ///< mean number of real B_k around a generated sample, divided by k
  double coverage{};   ///< share of real samples with a generated one within their B_k
};

namespace detail {

/// Squared distances of a sample to the nearest few others, ascending.
class nearest_few {
 public:
  nearest_few(std::size_t samples, std::size_t few)
      : few_(few), distances_(samples * few, std::numeric_limits<double>::infinity()) {}

  void offer(std::size_t sample, double distance) {
    double* own = distances_.data() + sample * few_;
    if (!(distance < own[few_ - 1])) return;
    std::size_t at = few_ - 1;
    for (; at > 0 && own[at - 1] > distance; --at) own[at] = own[at - 1];
    own[at] = distance;
  }
  /// To the k-th nearest, k = 1, 2, ...
  [[nodiscard]] double at(std::size_t sample, int k) const {
    return distances_[sample * few_ + static_cast<std::size_t>(k) - 1];
  }

 private:
  std::size_t few_;
  std::vector<double> distances_;
};

/// A difference of rounded numbers, so it can come out below 0.
inline double squared_distance(double norm_x, double norm_y, double product) {
  return std::max(0.0, norm_x + norm_y - 2.0 * product);
}

inline nearest_few neighbours_of(const feature_rows& x, std::span<const double> norms, int k) {
  nearest_few nearest(x.count(), static_cast<std::size_t>(k));
  for_each_product(
      x, x, pairs::upper, [&](std::size_t i, std::size_t first, std::span<const double> products) {
        for (std::size_t j = i < first ? 0 : i + 1 - first; j < products.size(); ++j) {
          const double distance = squared_distance(norms[i], norms[first + j], products[j]);
          nearest.offer(i, distance);
          nearest.offer(first + j, distance);
        }
      });
  return nearest;
}

inline double share(const std::vector<bool>& flags) {
  return static_cast<double>(std::ranges::count(flags, true)) / static_cast<double>(flags.size());
}

}  // namespace detail

/// Improved precision and recall (Kynkaanniemi et al., arXiv 1904.06991, equations 1 and 2; balls
/// with their surface) and density and coverage (Naeem et al., arXiv 2002.09797, equations 3 and 4;
/// balls without their surface, as in the authors' code, so that a sample compared with itself has
/// density 1). Needs memory for the nearest neighbours of each sample, but not for all pairs.
/// @throws usage_error for no neighbours, no more vectors than neighbours or other dimensions,
/// numeric_error if a number is not finite
[[nodiscard]] inline neighbourhood_score neighbourhood_scores(
    const feature_rows& real, const feature_rows& generated,
    const neighbourhood_settings& settings = {}) {
  const int p = settings.precision, d = settings.density, most = std::max(p, d);
  expects(p >= 1 && d >= 1,
          "precision and density need at least 1 neighbour; correct the settings");
  require_features(real, generated, static_cast<std::size_t>(most) + 1);
  const std::vector<double> real_norms = squared_norms(real), norms = squared_norms(generated);
  const detail::nearest_few of_real = detail::neighbours_of(real, real_norms, most),
                            of_generated = detail::neighbours_of(generated, norms, p);
  std::vector<bool> precise(generated.count()), recalled(real.count()), covered(real.count());
  std::size_t balls = 0;
  for_each_product(real, generated, pairs::all,
                   [&](std::size_t i, std::size_t first, std::span<const double> products) {
                     const double near = of_real.at(i, p), dense = of_real.at(i, d);
                     for (std::size_t j = 0; j < products.size(); ++j) {
                       const double distance =
                           detail::squared_distance(real_norms[i], norms[first + j], products[j]);
                       if (distance <= near) precise[first + j] = true;
                       if (distance <= of_generated.at(first + j, p)) recalled[i] = true;
                       if (distance < dense) {
                         ++balls;
                         covered[i] = true;
                       }
                     }
                   });
  return {.precision = detail::share(precise),
          .recall = detail::share(recalled),
          .density = static_cast<double>(balls) / d / static_cast<double>(generated.count()),
          .coverage = detail::share(covered)};
}

}  // namespace gantry::metrics
