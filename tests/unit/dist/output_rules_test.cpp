// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/dist/output_rules.hpp"

using gantry::usage_error;
using namespace gantry::dist;

namespace {

constexpr output_rule rules[] = {output_rule::mean, output_rule::odds,
                                      output_rule::maximum, output_rule::softmax};

struct result {
  aggregated all;
  std::vector<double> slopes;
};

result aggregate_all(output_rule rule, const std::vector<float>& outputs,
                     const std::vector<double>& weights, double lambda) {
  result r{{}, std::vector<double>(outputs.size())};
  r.all = aggregate(rule, outputs, weights, lambda, r.slopes);
  return r;
}

const std::vector<float> outputs{0.5f, -1.25f, 2.0f, 1.75f};
const std::vector<double> weights{0.1, 0.4, 0.2, 0.3};

}  // namespace

TEST_CASE("aggregation: derivatives agree with finite differences") {
  constexpr float step = 1.0f / 256;
  for (const output_rule rule : rules)
    for (const double lambda : {0.0, 0.3, 2.0}) {
      CAPTURE(rule_name(rule));
      CAPTURE(lambda);
      const result at = aggregate_all(rule, outputs, weights, lambda);
      for (std::size_t k = 0; k < outputs.size(); ++k) {
        std::vector<float> above = outputs, below = outputs;
        above[k] += step;
        below[k] -= step;
        const double difference = (aggregate_all(rule, above, weights, lambda).all.value -
                                   aggregate_all(rule, below, weights, lambda).all.value) /
                                  (2.0 * static_cast<double>(step));
        CHECK(at.slopes[k] == doctest::Approx(difference).epsilon(1e-4));
      }
      const double h = 1e-5;
      const double by_lambda = (aggregate_all(rule, outputs, weights, lambda + h).all.value -
                                aggregate_all(rule, outputs, weights, lambda - h).all.value) /
                               (2 * h);
      CHECK(at.all.lambda == doctest::Approx(by_lambda).epsilon(1e-5));
    }
}

TEST_CASE("aggregation: UA-GAN's formula in probabilities") {
  double odds = 0;
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    const double p = 1 / (1 + std::exp(-static_cast<double>(outputs[k])));
    odds += weights[k] * p / (1 - p);
  }
  const double logit = aggregate_all(output_rule::odds, outputs, weights, 0).all.value;
  CHECK(1 / (1 + std::exp(-logit)) == doctest::Approx(odds / (1 + odds)));
}

TEST_CASE("aggregation: one discriminator, and identical ones, are that discriminator") {
  for (const output_rule rule : rules) {
    const result one = aggregate_all(rule, {0.7f}, {1.0}, 3);
    CHECK(one.all.value == static_cast<double>(0.7f));
    CHECK(one.slopes[0] == 1);
    const result same = aggregate_all(rule, {0.7f, 0.7f, 0.7f}, {0.2, 0.5, 0.3}, 3);
    CHECK(same.all.value == doctest::Approx(0.7));
    CHECK(same.slopes[0] + same.slopes[1] + same.slopes[2] == doctest::Approx(1));
  }
}

TEST_CASE("aggregation: F2A lies between the mean and F2U") {
  const result mean = aggregate_all(output_rule::mean, outputs, {}, 0);
  const result forgiving = aggregate_all(output_rule::maximum, outputs, {}, 0);
  CHECK(mean.all.value == 0.75);
  CHECK(forgiving.all.value == 2.0);
  CHECK(forgiving.slopes == std::vector<double>{0, 0, 1, 0});
  const result zero = aggregate_all(output_rule::softmax, outputs, {}, 0);
  CHECK(zero.all.value == mean.all.value);
  CHECK(zero.slopes == mean.slopes);
  const result infinite = aggregate_all(output_rule::softmax, outputs, {}, 1e9);
  CHECK(infinite.all.value == forgiving.all.value);
  CHECK(infinite.slopes == forgiving.slopes);
  const double between = aggregate_all(output_rule::softmax, outputs, {}, 1).all.value;
  CHECK(between > mean.all.value);
  CHECK(between < forgiving.all.value);
}

TEST_CASE("aggregation: extreme outputs, and outputs that are no numbers") {
  for (const output_rule rule : rules) {
    CAPTURE(rule_name(rule));
    const result extreme = aggregate_all(rule, {1e30f, -1e30f}, {0.5, 0.5}, 2);
    CHECK(std::isfinite(extreme.all.value));
    CHECK(std::isfinite(extreme.slopes[0]));
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (const auto& bad : {std::vector<float>{nan, 1}, std::vector<float>{1, nan}})
      CHECK(std::isnan(aggregate_all(rule, bad, {0.5, 0.5}, 2).all.value));
    CHECK_THROWS_AS((void)aggregate_all(rule, {}, {}, 1), usage_error);
  }
  // A discriminator without samples of a class has no say in it.
  CHECK(aggregate_all(output_rule::odds, {50, 1}, {0.0, 1.0}, 0).all.value == 1);
  CHECK_THROWS_AS((void)aggregate_all(output_rule::odds, outputs, {1.0}, 0), usage_error);
}

TEST_CASE("aggregation: weights by size and by class") {
  const std::vector<float> a{30, 10, 20, 0}, b{10, 10, 0, 0};
  const std::vector<std::span<const float>> shards{a, b};
  std::vector<double> w(2);
  odds_weights(shards, 0, w);
  CHECK(w == std::vector<double>{0.75, 0.25});
  odds_weights(shards, 1, w);
  CHECK(w == std::vector<double>{0.5, 0.5});
  odds_weights(shards, 2, w);
  CHECK(w == std::vector<double>{1, 0});
  odds_weights(shards, 3, w);
  CHECK(w == std::vector<double>{0.75, 0.25});
}
