// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// How much each worker counts in an average, and who takes part.
//
// By labels (FeGAN: Guerraoui, Guirguis, Kermarrec, Le Merrer, Middleware 2020): worker i with n_i
// of all n samples scores u_i = KL(its labels || all labels) n_i / n. In the authors' code a worker
// whose labels differ MORE from the whole weighs MORE: e^(u_i). That makes rare classes heard, and
// is what kl_exp does; who wants far-off workers to weigh less takes kl_exp_inverse, e^(-u_i).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string_view>
#include <vector>

#include "gantry/base/rng.hpp"

namespace gantry::inline v0::dist {

enum class weight_rule : int {
  uniform,         ///< FL-GAN
  size,            ///< samples of the shard: FedGAN
  kl_exp,          ///< e^u
  kl_exp_inverse,  ///< e^-u
  kl_linear,       ///< u
  kl_dirac,        ///< u where it is at least half of the sum, 0 elsewhere
};
inline constexpr std::array<std::string_view, 6> weight_names{
    "uniform", "size", "kl_exp", "kl_exp_inverse", "kl_linear", "kl_dirac"};

constexpr bool needs_labels(weight_rule rule) {
  return rule != weight_rule::uniform && rule != weight_rule::size;
}

/// Samples by label: the counts of one shard.
inline constexpr std::size_t label_values = 256;
using label_histogram = std::span<const float>;

/// KL(p || q) of two histograms by natural logarithm; infinite where p has a label that q lacks.
inline double label_divergence(label_histogram p, label_histogram q) {
  const double all_p = std::accumulate(p.begin(), p.end(), 0.0);
  const double all_q = std::accumulate(q.begin(), q.end(), 0.0);
  double sum = 0;
  for (std::size_t c = 0; c < p.size(); ++c) {
    if (p[c] == 0) continue;
    const double a = static_cast<double>(p[c]) / all_p, b = static_cast<double>(q[c]) / all_q;
    sum += a * std::log(a / b);
  }
  return std::max(0.0, sum);  // rounding
}

/// Scales weights to the sum 1. @returns false, and leaves them, if the sum is not above 0
inline bool normalise(std::vector<double>& weights) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (!(sum > 0) || !std::isfinite(sum)) return false;
  for (double& w : weights) w /= sum;
  return true;
}

/// Weights of the workers of a round from their sizes and scores u, with sum 1. Rules by scores
/// that leave nobody a weight (every shard has the same labels; no u reaches half of the sum) fall
/// back to sizes.
inline std::vector<double> average_weights(weight_rule rule, std::span<const double> sizes,
                                           std::span<const double> scores) {
  std::vector<double> weights(sizes.size(), 1.0);
  if (needs_labels(rule)) weights.assign(scores.begin(), scores.end());
  if (rule == weight_rule::size) weights.assign(sizes.begin(), sizes.end());
  if (rule == weight_rule::kl_exp)
    for (double& w : weights) w = std::exp(w);
  if (rule == weight_rule::kl_exp_inverse)
    for (double& w : weights) w = std::exp(-w);
  bool found = normalise(weights);
  if (found && rule == weight_rule::kl_dirac) {
    for (double& w : weights) w = w < 0.5 ? 0.0 : w;
    found = normalise(weights);
  }
  if (!found) {
    weights.assign(sizes.begin(), sizes.end());
    normalise(weights);
  }
  return weights;
}

/// How an asynchronous server trusts an upload (AsyncFedGAN: Manu et al., IEEE TPDS 36(3), 2025):
/// theta <- (1 - a) theta + a theta_k with a = alpha s(staleness).
struct staleness_weight {
  enum class rule : int {
    constant,     ///< s = 1
    exponential,  ///< s = e^(-decay staleness)
    hinge,        ///< s = 1 up to `free` and 1 / (decay (staleness - free) + 1) beyond
  } by{rule::constant};
  double alpha{0.5};
  double decay{0.5};
  double free{4};  ///< merges that an upload may lag behind at no cost

  [[nodiscard]] double operator()(double staleness) const {
    switch (by) {
      case rule::constant:
        return alpha;
      case rule::exponential:
        return alpha * std::exp(-decay * staleness);
      case rule::hinge:
        return staleness <= free ? alpha : alpha / (decay * (staleness - free) + 1);
    }
    return alpha;
  }
};

/// FeGAN's balanced sampling: as often as `count` says, the class of which the fewest samples have
/// been taken so far picks one of its owners that is not in yet, and all the samples of that worker
/// count as taken. Owners of a class queue in an order that is drawn from the stream; a class
/// without free owners is passed over. `histograms` has label_values counts per worker, `taken` as
/// many in all and is carried from round to round. @returns workers in ascending order
inline std::vector<int> balanced_workers(std::span<const int> workers, int count,
                                         std::span<const float> histograms, std::span<float> taken,
                                         const stream_id& id) {
  const auto of = [&](int n) {
    return histograms.subspan(static_cast<std::size_t>(n - 1) * label_values, label_values);
  };
  std::vector<int> queue, chosen;
  for (const std::uint32_t i : random_permutation(static_cast<std::uint32_t>(workers.size()), id))
    queue.push_back(workers[i]);
  while (static_cast<int>(chosen.size()) < count) {
    auto next = queue.end();
    double fewest = std::numeric_limits<double>::infinity();
    for (std::size_t c = 0; c < label_values; ++c) {
      if (!(static_cast<double>(taken[c]) < fewest)) continue;
      const auto owner = std::ranges::find_if(queue, [&](int n) { return of(n)[c] > 0; });
      if (owner == queue.end()) continue;
      fewest = static_cast<double>(taken[c]);
      next = owner;
    }
    if (next == queue.end()) break;
    for (std::size_t c = 0; c < label_values; ++c) taken[c] += of(*next)[c];
    chosen.push_back(*next);
    queue.erase(next);
  }
  std::ranges::sort(chosen);
  return chosen;
}

/// How many of `all` workers are a fraction of them: at least one.
inline int part_of(double fraction, int all) {
  return std::clamp(static_cast<int>(std::lround(fraction * all)), 1, std::max(1, all));
}

/// A random part of the workers, in ascending order.
inline std::vector<int> random_workers(std::span<const int> workers, int count,
                                       const stream_id& id) {
  std::vector<int> chosen;
  for (const std::uint32_t i : random_permutation(static_cast<std::uint32_t>(workers.size()), id))
    if (static_cast<int>(chosen.size()) < count) chosen.push_back(workers[i]);
  std::ranges::sort(chosen);
  return chosen;
}

}  // namespace gantry::dist
