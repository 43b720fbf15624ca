// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/base/rng.hpp"
#include "gantry/dist/aggregate.hpp"

using namespace gantry;
using dist::aggregation;
using dist::aggregation_rule;
using dist::contribution;
using vectors = std::vector<std::vector<float>>;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float inf = std::numeric_limits<float>::infinity();

constexpr aggregation mean{};
constexpr aggregation median{.rule = aggregation_rule::median};
constexpr aggregation trimmed(int f) {
  return {.rule = aggregation_rule::trimmed_mean, .wrong = f};
}
constexpr aggregation krum(int f) { return {.rule = aggregation_rule::krum, .wrong = f}; }
constexpr aggregation multi_krum(int f, int m = 0) {
  return {.rule = aggregation_rule::multi_krum, .wrong = f, .chosen = m};
}

std::vector<contribution> of(const vectors& all, const std::vector<double>& weights = {}) {
  std::vector<contribution> c;
  for (std::size_t v = 0; v < all.size(); ++v)
    c.push_back({all[v], static_cast<int>(v) + 1, weights.empty() ? 1 : weights[v]});
  return c;
}

std::vector<float> result(const aggregation& how, const vectors& all,
                          const std::vector<double>& weights = {}) {
  std::vector<float> out(all.front().size(), -7.0f);
  dist::aggregate(how, of(all, weights), out);
  return out;
}

std::vector<float> noise(std::size_t n, std::uint32_t worker) {
  std::vector<float> x(n);
  fill_normal(std::span<float>(x), {.seed = 8, .worker = worker});
  return x;
}

/// n honest vectors close to (1, 1, ...), then the wrong ones.
vectors with_wrong(int honest, const vectors& wrong, std::size_t length = 700) {
  vectors all;
  for (int v = 0; v < honest; ++v) {
    all.push_back(noise(length, static_cast<std::uint32_t>(v)));
    for (float& x : all.back()) x = 1 + 0.1f * x;
  }
  all.insert(all.end(), wrong.begin(), wrong.end());
  return all;
}

}  // namespace

TEST_CASE("each rule of aggregation on numbers worked out by hand") {
  const vectors five{{1, 10}, {2, 20}, {4, 30}, {8, -40}, {100, 0}};
  CHECK(result(mean, five) == std::vector<float>{23, 4});
  CHECK(result(mean, {{1, 2}, {4, -1}}, {1, 2}) == std::vector<float>{3, 0});
  CHECK(result(median, five) == std::vector<float>{4, 10});
  CHECK(result(median, {{1}, {7}, {2}, {4}}) == std::vector<float>{3});
  CHECK(result(trimmed(1), five) == std::vector<float>{14.0f / 3, 10});
  CHECK(result(trimmed(2), five) == std::vector<float>{4, 10});
  CHECK(result(trimmed(0), five) == std::vector<float>{23, 4});
  // On a line: with f = 1 each of 0, 1, 3, 7, 8 counts its 2 nearest: 10, 5, 13, 17, 26.
  const vectors line{{0}, {1}, {3}, {7}, {8}};
  CHECK(result(krum(1), line) == std::vector<float>{1});
  CHECK(result(multi_krum(1, 2), line) == std::vector<float>{0.5f});
  CHECK(result(multi_krum(1, 3), line) == std::vector<float>{4.0f / 3});
  CHECK(result(multi_krum(1), line) == std::vector<float>{11.0f / 4});
  // Of two that are equally good the first counts.
  CHECK(result(krum(0), {{5}, {9}, {5}}) == std::vector<float>{5});
}

TEST_CASE("equal vectors stay as they are under every rule, bit for bit") {
  std::vector<float> x = noise(1500, 3);
  x[0] = -0.0f;
  x[1] = 0.0f;
  x[2] = std::numeric_limits<float>::denorm_min();
  x[3] = std::numeric_limits<float>::max();
  x[4] = std::numeric_limits<float>::lowest();
  for (const std::size_t n : {1u, 2u, 3u, 5u, 7u, 10u}) {
    const vectors all(n, x);
    std::vector<double> weights(n);
    for (std::size_t v = 0; v < n; ++v) weights[v] = 0.1 + 977.3 * static_cast<double>(v);
    for (const aggregation& how : {mean, median, trimmed(0), trimmed(2), krum(0), krum(1),
                                   multi_krum(2), multi_krum(1, 3)}) {
      if (static_cast<int>(n) < how.needs()) continue;
      CAPTURE(how.name());
      const std::vector<float> out = result(how, all, weights);
      CHECK(std::memcmp(out.data(), x.data(), x.size() * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("a robust rule stays with the honest vectors, whatever the wrong ones are") {
  const std::size_t length = 700;
  const auto filled = [&](float value) { return std::vector<float>(length, value); };
  const vectors attacks{filled(-1), filled(100), filled(-1e30f), filled(inf), filled(not_a_number)};
  for (const auto& first : attacks)
    for (const auto& second : attacks)
      for (const aggregation& how : {median, trimmed(2), krum(2), multi_krum(2)}) {
        CAPTURE(how.name());
        CAPTURE(first[0]);
        CAPTURE(second[0]);
        const std::vector<float> out = result(how, with_wrong(6, {first, second}));
        CHECK(std::ranges::all_of(out, [](float x) { return std::abs(x - 1) < 0.5f; }));
      }
  // A single NaN among honest numbers is enough to be left out as a whole.
  std::vector<float> one_nan = filled(50);
  one_nan[17] = not_a_number;
  const vectors all = with_wrong(6, {one_nan, filled(1)});
  const vectors without = with_wrong(6, {filled(1)});
  CHECK(result(median, all) == result(median, without));
  CHECK(result(trimmed(1), all) == result(trimmed(0), without));
}

TEST_CASE("what cannot be aggregated is refused by name") {
  std::vector<float> out(2);
  const vectors bad{{1, 2}, {3, 4}, {5, not_a_number}, {inf, 1}};
  CHECK_THROWS_WITH_AS(dist::aggregate(mean, of(bad), out), doctest::Contains("worker 3"),
                       numeric_error);
  // Half of the vectors are not finite: nothing can be said about the other half.
  CHECK_THROWS_AS(dist::aggregate(median, of(bad), out), numeric_error);
  CHECK_THROWS_AS(dist::aggregate(trimmed(1), of(bad), out), numeric_error);
  const vectors four(4, std::vector<float>(2));
  CHECK_THROWS_WITH_AS(dist::aggregate(krum(1), of(four), out),
                       doctest::Contains("at least 5, found 4"), workers_lost);
  CHECK_THROWS_AS(dist::aggregate(trimmed(2), of(four), out), workers_lost);
  CHECK_THROWS_AS(dist::aggregate(mean, {}, out), workers_lost);
  CHECK_THROWS_AS(dist::aggregate(mean, of(four, {0, 0, 0, 0}), out), workers_lost);
  CHECK_THROWS_AS(dist::aggregate(mean, of(four, {1, -1, 1, 1}), out), usage_error);
  CHECK_THROWS_AS(dist::aggregate(mean, of({{1, 2}, {1, 2, 3}}), out), usage_error);
  CHECK_THROWS_AS(dist::aggregate({.wrong = 1}, of(four), out), usage_error);
  CHECK_THROWS_AS(dist::aggregate(trimmed(-1), of(four), out), usage_error);
}

TEST_CASE("a vector of weight 0 takes no part, and the result may lie in one of the vectors") {
  const vectors all{{1, 2}, {not_a_number, 3}, {3, 6}};
  CHECK(result(mean, all, {2, 0, 2}) == std::vector<float>{2, 4});
  CHECK(result(trimmed(0), all, {2, 0, 7}) == std::vector<float>{2, 4});
  vectors own{{1, 2}, {3, 6}, {4, 0}};
  dist::aggregate(median, of(own), own[1]);
  CHECK(own[1] == std::vector<float>{3, 2});
}
