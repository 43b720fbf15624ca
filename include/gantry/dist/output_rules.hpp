// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// How the outputs of several discriminators on the same images become one output, and what each of
// them contributes to it. Outputs are logits (or critics' scores): in terms of probabilities
// p = sigmoid(l), the odds p / (1 - p) are exp(l).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>

#include "gantry/base/error.hpp"

namespace gantry::inline v0::dist {

enum class output_rule {
  mean,     ///< of the outputs, in equal parts ("Avg-GAN" of UA-GAN's authors)
  odds,     ///< odds are averaged with weights (UA-GAN, Zhang et al., arXiv 2102.04655)
  maximum,  ///< the most forgiving discriminator alone (F2U, Yonetani et al., arXiv 1905.09684)
  softmax,  ///< outputs weighted by the softmax of lambda times themselves (F2A, same paper)
};

constexpr std::string_view rule_name(output_rule rule) {
  constexpr std::string_view names[] = {"mean", "odds", "max", "softmax"};
  return names[static_cast<std::size_t>(rule)];
}

/// One output for one image.
struct aggregated {
  double value{};   ///< L
  double lambda{};  ///< dL / dlambda; 0 for rules without lambda
};

namespace detail {

/// Turns logarithms of parts into the parts, which sum to 1. @returns the logarithm of their sum
inline double normalise_logarithms(std::span<double> parts) {
  const double most = *std::max_element(parts.begin(), parts.end());
  double sum = 0;
  for (double& p : parts) {
    p = std::exp(p - most);
    sum += p;
  }
  for (double& p : parts) p /= sum;
  return most + std::log(sum);
}

}  // namespace detail

/// Weights of the rule odds. A shard is its size and, where classes matter, the numbers of its
/// samples of class 0, 1, ...; `column` 0 gives the shares pi_k of all samples, 1 + y those of the
/// samples of class y (pi_k omega_k(y) divided by its sum), or pi_k if nobody has counted any.
inline void odds_weights(std::span<const std::span<const float>> shards, std::size_t column,
                         std::span<double> weights) {
  double sum = 0;
  for (std::size_t k = 0; k < shards.size(); ++k) {
    weights[k] = static_cast<double>(shards[k][column]);
    sum += weights[k];
  }
  if (!(sum > 0) && column > 0) return odds_weights(shards, 0, weights);
  for (double& w : weights) w /= sum;
}

/// Aggregates the outputs of all discriminators on one image and writes the derivative of the
/// result by each of them to `slopes`.
///
///   mean      L = 1/K sum_k l_k                       dL/dl_k = 1/K
///   odds      L = log sum_k w_k exp(l_k)              dL/dl_k = w_k exp(l_k) / sum
///   maximum   L = max_k l_k                           dL/dl_k = 1 for the first that has it
///   softmax   L = sum_k S_k l_k,                      dL/dl_k = S_k (1 + lambda (l_k - L)),
///             S_k = exp(lambda l_k) / sum             dL/dlambda = sum_k S_k (l_k - L)^2
///
/// `weights` are those of the rule odds, not negative and with the sum 1.
/// @throws usage_error for no outputs, or spans of different length
inline aggregated aggregate(output_rule rule, std::span<const float> outputs,
                            std::span<const double> weights, double lambda,
                            std::span<double> slopes) {
  const std::size_t k = outputs.size();
  expects(k > 0 && slopes.size() == k && (rule != output_rule::odds || weights.size() == k),
          "an aggregation needs at least one output, and a weight and room for a slope for each; "
          "correct the lengths");
  aggregated all;
  switch (rule) {
    case output_rule::mean:
      std::ranges::fill(slopes, 1.0 / static_cast<double>(k));
      break;
    case output_rule::odds:
      for (std::size_t i = 0; i < k; ++i)
        slopes[i] = std::log(weights[i]) + static_cast<double>(outputs[i]);
      all.value = detail::normalise_logarithms(slopes);
      return all;
    case output_rule::maximum:
      std::ranges::fill(slopes, 0.0);
      slopes[static_cast<std::size_t>(std::ranges::max_element(outputs) - outputs.begin())] = 1;
      break;
    case output_rule::softmax:
      for (std::size_t i = 0; i < k; ++i) slopes[i] = lambda * static_cast<double>(outputs[i]);
      (void)detail::normalise_logarithms(slopes);
      break;
  }
  // Zeros are not left out, so that an output that is no number is seen by every rule.
  for (std::size_t i = 0; i < k; ++i) all.value += slopes[i] * static_cast<double>(outputs[i]);
  if (rule == output_rule::softmax)
    for (std::size_t i = 0; i < k; ++i) {
      const double above = static_cast<double>(outputs[i]) - all.value;
      all.lambda += slopes[i] * above * above;
      slopes[i] *= 1 + lambda * above;
    }
  return all;
}

}  // namespace gantry::dist
