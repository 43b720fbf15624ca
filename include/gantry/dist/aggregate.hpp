// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Many vectors into one: the mean, and rules that survive some vectors that are wrong on purpose.
//
//   mean           sum w_i x_i / sum w_i, added in double in the order given
//   median         of each coordinate (Yin, Chen, Ramchandran, Bartlett, "Byzantine-robust
//                  distributed learning", ICML 2018); of an even number the mean of the middle two
//   trimmed_mean   of each coordinate without its f lowest and f highest values (the same paper)
//   krum           the vector with the least sum of squared distances to its n - f - 2 nearest
//                  others (Blanchard, El Mhamdi, Guerraoui, Stainer, "Machine learning with
//                  adversaries", NeurIPS 2017); the first of several
//   multi_krum     the mean of the vectors with the least such sums
//
// Every rule leaves equal vectors as they are, bit for bit.
//
// Not finite: a vector with a NaN or an infinity is no candidate of a robust rule. It counts as one
// of the f wrong ones; more than f of them are a numeric_error. The mean throws at the first.
// Weights: only the mean scales by them. A robust rule that believed the sizes that workers claim
// would not be robust. A vector of weight 0 takes part in no rule.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gantry/base/error.hpp"

namespace gantry::inline v0::dist {

enum class aggregation_rule : int { mean, median, trimmed_mean, krum, multi_krum };
inline constexpr std::array<std::string_view, 5> aggregation_names{"mean", "median", "trimmed_mean",
                                                                   "krum", "multi_krum"};

/// How vectors are brought together; a value of a strategy's config.
struct aggregation {
  aggregation_rule rule{aggregation_rule::mean};
  int wrong{0};   ///< f: vectors that may be anything; the mean survives none
  int chosen{0};  ///< vectors that multi_krum averages; 0: all but f

  [[nodiscard]] bool is_robust() const { return rule != aggregation_rule::mean; }
  [[nodiscard]] std::string_view name() const {
    return aggregation_names[static_cast<std::size_t>(rule)];
  }
  /// The least number of vectors with which the rule keeps its promise.
  [[nodiscard]] int needs() const {
    if (!is_robust()) return 1;
    const bool by_distance = rule == aggregation_rule::krum || rule == aggregation_rule::multi_krum;
    return 2 * wrong + (by_distance ? 3 : 1);
  }
};

/// One of the vectors that are brought together.
struct contribution {
  std::span<const float> values;
  int worker{};      ///< named in errors
  double weight{1};  ///< of the mean, such as the size of a shard; need not sum to 1
};

/// @throws usage_error for settings that no number of vectors can serve
inline void check(const aggregation& how) {
  expects(how.wrong >= 0, "the number of wrong vectors that a rule survives must be 0 or more");
  expects(!(how.rule == aggregation_rule::mean && how.wrong > 0),
          "the mean survives no wrong vector; take a robust rule, or give 0 wrong vectors");
  expects(how.chosen >= 0, "the number of vectors that multi_krum averages must be 0 or more");
}

inline bool all_finite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float x) { return std::isfinite(x); });
}

/// @throws numeric_error that names the worker
inline void require_finite(std::span<const float> values, int worker) {
  if (!all_finite(values))
    throw numeric_error("expected finite numbers of worker " + std::to_string(worker) +
                        ", found a NaN or an infinity; lower the learning rates, or choose a "
                        "robust aggregation that leaves such a worker out");
}

namespace detail {

/// Coordinates that are added up at a time; their sums stay in the cache.
inline constexpr std::size_t aggregation_block = 512;

/// Weighted mean in double. Starts with the first term, not with 0, so that -0 stays -0.
inline void mean_of(std::span<const contribution> all, std::span<float> out) {
  double total = 0;
  for (const contribution& c : all) total += c.weight;
  std::array<double, aggregation_block> sum{};
  for (std::size_t first = 0; first < out.size(); first += aggregation_block) {
    const std::size_t count = std::min(aggregation_block, out.size() - first);
    for (std::size_t v = 0; v < all.size(); ++v) {
      const float* x = all[v].values.data() + first;
      for (std::size_t i = 0; i < count; ++i) {
        const double term = all[v].weight * static_cast<double>(x[i]);
        sum[i] = v == 0 ? term : sum[i] + term;
      }
    }
    for (std::size_t i = 0; i < count; ++i) out[first + i] = static_cast<float>(sum[i] / total);
  }
}

/// The mean of each coordinate's values in ascending order, without `cut` at either end.
inline void trimmed_mean_of(std::span<const contribution> all, std::size_t cut,
                            std::span<float> out) {
  std::vector<float> column(all.size());
  const std::size_t kept = all.size() - 2 * cut;
  for (std::size_t i = 0; i < out.size(); ++i) {
    for (std::size_t v = 0; v < all.size(); ++v) column[v] = all[v].values[i];
    std::ranges::sort(column);
    double sum = static_cast<double>(column[cut]);
    for (std::size_t v = 1; v < kept; ++v) sum += static_cast<double>(column[cut + v]);
    out[i] = static_cast<float>(sum / static_cast<double>(kept));
  }
}

/// Krum's score of each vector: the sum of its squared distances to the `neighbours` nearest.
inline std::vector<double> krum_scores(std::span<const contribution> all, std::size_t neighbours) {
  const std::size_t n = all.size();
  std::vector<double> distance(n * n), scores(n);
  for (std::size_t a = 0; a < n; ++a)
    for (std::size_t b = a + 1; b < n; ++b) {
      double sum = 0;
      for (std::size_t i = 0; i < all[a].values.size(); ++i) {
        const double d =
            static_cast<double>(all[a].values[i]) - static_cast<double>(all[b].values[i]);
        sum += d * d;
      }
      distance[a * n + b] = distance[b * n + a] = sum;
    }
  for (std::size_t a = 0; a < n; ++a) {
    const std::span row = std::span(distance).subspan(a * n, n);
    row[a] = std::numeric_limits<double>::infinity();  // not its own neighbour
    std::ranges::sort(row);
    for (std::size_t b = 0; b < neighbours; ++b) scores[a] += row[b];
  }
  return scores;
}

/// The `count` vectors with the lowest scores, in the order given.
inline std::vector<contribution> lowest(std::span<const contribution> all,
                                        const std::vector<double>& scores, std::size_t count) {
  std::vector<std::size_t> order(all.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t v) { return scores[v]; });
  order.resize(count);
  std::ranges::sort(order);
  std::vector<contribution> best;
  for (const std::size_t v : order) best.push_back({all[v].values, all[v].worker, 1.0});
  return best;
}

/// The contributions that a rule may use, and how many of them may still be wrong.
struct candidates {
  std::vector<contribution> finite;
  std::size_t wrong{};
};

/// @throws as aggregate
inline candidates select_candidates(const aggregation& how, std::span<const contribution> all,
                                    std::size_t length) {
  std::vector<contribution> present, finite;
  for (const contribution& c : all) {
    if (c.values.size() != length)
      throw usage_error("aggregation expected " + std::to_string(length) + " values of worker " +
                        std::to_string(c.worker) + ", found " + std::to_string(c.values.size()) +
                        "; give vectors of one length");
    expects(c.weight >= 0 && std::isfinite(c.weight),
            "the weights of an aggregation must be finite numbers that are not negative");
    if (c.weight > 0) present.push_back(c);
  }
  const auto n = static_cast<int>(present.size());
  if (n < how.needs())
    throw workers_lost("the aggregation " + std::string(how.name()) + " that survives " +
                       std::to_string(how.wrong) + " wrong vectors expected at least " +
                       std::to_string(how.needs()) + ", found " + std::to_string(n) +
                       "; let more workers take part, or lower the number of wrong ones");
  for (const contribution& c : present) {
    if (!how.is_robust()) require_finite(c.values, c.worker);
    if (!how.is_robust() || all_finite(c.values)) finite.push_back(c);
  }
  const int lost = n - static_cast<int>(finite.size());
  const int survives = how.rule == aggregation_rule::median ? (n - 1) / 2 : how.wrong;
  if (lost > survives)
    throw numeric_error("the aggregation " + std::string(how.name()) + " of " + std::to_string(n) +
                        " vectors expected at most " + std::to_string(survives) +
                        " with a NaN or an infinity, found " + std::to_string(lost) +
                        "; lower the learning rates and start anew");
  return {finite, static_cast<std::size_t>(std::max(0, how.wrong - lost))};
}

}  // namespace detail

/// Writes the aggregate of `all` to `out`, which may be one of them; the head of this file is the
/// contract. @throws usage_error for vectors of different lengths and weights below 0, workers_lost
/// for fewer vectors than how.needs(), numeric_error for more vectors that are not finite than the
/// rule survives
inline void aggregate(const aggregation& how, std::span<const contribution> all,
                      std::span<float> out) {
  check(how);
  const auto [usable, wrong] = detail::select_candidates(how, all, out.size());
  const std::size_t n = usable.size();
  switch (how.rule) {
    case aggregation_rule::mean:
      return detail::mean_of(usable, out);
    case aggregation_rule::median:
      return detail::trimmed_mean_of(usable, (n - 1) / 2, out);
    case aggregation_rule::trimmed_mean:
      return detail::trimmed_mean_of(usable, wrong, out);
    case aggregation_rule::krum:
      return detail::mean_of(detail::lowest(usable, detail::krum_scores(usable, n - wrong - 2), 1),
                             out);
    case aggregation_rule::multi_krum: {
      const std::size_t most = n - wrong;
      const auto asked = static_cast<std::size_t>(how.chosen);
      const std::size_t count = asked == 0 ? most : std::min(asked, most);
      return detail::mean_of(
          detail::lowest(usable, detail::krum_scores(usable, n - wrong - 2), count), out);
    }
  }
}

}  // namespace gantry::dist
