// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The kernel inception distance (Binkowski et al., "Demystifying MMD GANs", arXiv 1801.01401,
// section 4), from features on, in double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/metrics/classifier_score.hpp"
#include "gantry/metrics/feature_rows.hpp"
#include "gantry/metrics/pairwise.hpp"

namespace gantry::inline v0::metrics {

/// How often and on how many samples the distance is estimated; the defaults are torch-fidelity's.
struct kid_settings {
  int subsets{100};
  std::size_t subset_size{1000};
  std::uint32_t seed{2020};
};

namespace detail {

/// Sum of the kernel ((x . y) / d + 1)^3 over the pairs x_i, y_j; `upper`: over i < j.
inline double kernel_sum(const feature_rows& x, const feature_rows& y, pairs which) {
  const double scale = 1.0 / static_cast<double>(x.dimension);
  double sum = 0;
  for_each_product(x, y, which,
                   [&](std::size_t i, std::size_t first, std::span<const double> products) {
                     const std::size_t begin = which == pairs::all || i < first ? 0 : i + 1 - first;
                     double row = 0;
                     for (std::size_t j = begin; j < products.size(); ++j) {
                       const double base = products[j] * scale + 1.0;
                       row += base * base * base;
                     }
                     sum += row;
                   });
  return sum;
}

/// The choices without repetition of numpy.random.RandomState(seed), which torch-fidelity draws
/// its subsets with.
class numpy_choice {
 public:
  explicit numpy_choice(std::uint32_t seed) : engine_(seed) {}

  /// RandomState.choice(n, k, replace=False): the first k of a shuffled 0 .. n - 1.
  std::vector<std::uint32_t> operator()(std::size_t n, std::size_t k) {
    std::vector<std::uint32_t> all(n);
    std::iota(all.begin(), all.end(), 0U);
    for (std::size_t i = n - 1; i > 0; --i)
      std::swap(all[i], all[up_to(static_cast<std::uint32_t>(i))]);
    all.resize(k);
    return all;
  }

 private:
  /// 0 .. most, by rejection under the smallest mask of ones.
  std::uint32_t up_to(std::uint32_t most) {
    std::uint32_t mask = most;
    for (const int shift : {1, 2, 4, 8, 16}) mask |= mask >> shift;
    for (;;)
      if (const auto value = static_cast<std::uint32_t>(engine_()) & mask; value <= most)
        return value;
  }

  std::mt19937 engine_;
};

inline std::vector<float> chosen_rows(const feature_rows& rows,
                                      std::span<const std::uint32_t> chosen) {
  std::vector<float> out;
  out.reserve(chosen.size() * rows.dimension);
  for (const std::uint32_t i : chosen) {
    const auto row = rows.row(i);
    out.insert(out.end(), row.begin(), row.end());
  }
  return out;
}

}  // namespace detail

/// The unbiased estimate of the squared maximum mean discrepancy with the kernel
/// k(x, y) = ((x . y) / d + 1)^3: mean of k over pairs i != j within x, plus that within y, less
/// twice the mean of k(x_i, y_j) (Gretton et al., "A kernel two-sample test", 2012, lemma 6). Can
/// be below 0.
/// @throws usage_error for fewer than 2 vectors on a side or other dimensions, numeric_error if a
/// number is not finite
[[nodiscard]] inline double kernel_distance(const feature_rows& x, const feature_rows& y) {
  require_features(x, y, 2);
  const auto m = static_cast<double>(x.count()), n = static_cast<double>(y.count());
  const double distance = 2.0 * detail::kernel_sum(x, x, pairs::upper) / (m * (m - 1)) +
                          2.0 * detail::kernel_sum(y, y, pairs::upper) / (n * (n - 1)) -
                          2.0 * detail::kernel_sum(x, y, pairs::all) / (m * n);
  if (!std::isfinite(distance))
    throw numeric_error("a kernel distance has to be finite and is " + std::to_string(distance) +
                        "; check the features, which are too large");
  return distance;
}

/// KID: mean and population standard deviation of kernel_distance over subsets drawn from both
/// sides. Subsets are those that torch-fidelity draws for the same seed from as many samples, x its
/// first input. Where fewer than subset_size samples are there, subsets are as large as the smaller
/// side.
/// @throws as kernel_distance, usage_error for fewer than 1 subset or subsets of fewer than 2
[[nodiscard]] inline score kernel_inception_distance(const feature_rows& x, const feature_rows& y,
                                                     const kid_settings& settings = {}) {
  require_features(x, y, 2);
  expects(settings.subsets >= 1 && settings.subset_size >= 2,
          "KID needs at least 1 subset of at least 2 samples; correct its settings");
  const std::size_t size = std::min({settings.subset_size, x.count(), y.count()});
  if (size == x.count() && size == y.count()) return {kernel_distance(x, y), 0};
  detail::numpy_choice choose(settings.seed);
  std::vector<double> distances;
  for (int s = 0; s < settings.subsets; ++s) {
    const std::vector<float> a = detail::chosen_rows(x, choose(x.count(), size));
    const std::vector<float> b = detail::chosen_rows(y, choose(y.count(), size));
    distances.push_back(kernel_distance({a, x.dimension}, {b, y.dimension}));
  }
  const double n = static_cast<double>(distances.size());
  score result{std::accumulate(distances.begin(), distances.end(), 0.0) / n, 0};
  for (const double d : distances) result.deviation += (d - result.mean) * (d - result.mean) / n;
  result.deviation = std::sqrt(result.deviation);
  return result;
}

}  // namespace gantry::metrics
