// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/dist/device_scheduling.hpp"
#include "gantry/dist/worker_weights.hpp"

namespace {

using namespace gantry;
using namespace gantry::dist;

std::vector<float> histogram(std::initializer_list<float> counts) {
  std::vector<float> all(counts);
  all.resize(label_values);
  return all;
}
double sum(const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0); }

/// Workers' histograms one behind the other.
std::vector<float> joined(const std::vector<std::vector<float>>& all) {
  std::vector<float> flat;
  for (const auto& h : all) flat.insert(flat.end(), h.begin(), h.end());
  return flat;
}

}  // namespace

TEST_CASE("the divergence of label histograms") {
  const auto half = histogram({5, 5}), one = histogram({8, 0}), whole = histogram({13, 5});
  CHECK(label_divergence(half, half) == doctest::Approx(0));
  CHECK(label_divergence(one, half) == doctest::Approx(std::log(2.0)));
  CHECK(label_divergence(half, whole) ==
        doctest::Approx(0.5 * std::log(0.5 * 18 / 13) + 0.5 * std::log(0.5 * 18 / 5)));
  CHECK(std::isinf(label_divergence(half, one)));
}

TEST_CASE("weights sum to 1 and follow their rule") {
  const std::vector<double> sizes{10, 30}, scores{0.2, 0.6};
  using rule = weight_rule;
  for (const rule r : {rule::uniform, rule::size, rule::kl_exp, rule::kl_exp_inverse,
                       rule::kl_linear, rule::kl_dirac})
    CHECK(sum(average_weights(r, sizes, scores)) == doctest::Approx(1).epsilon(1e-14));
  CHECK(average_weights(rule::uniform, sizes, scores) == std::vector{0.5, 0.5});
  CHECK(average_weights(rule::size, sizes, scores) == std::vector{0.25, 0.75});
  CHECK(average_weights(rule::kl_exp, sizes, scores)[1] ==
        doctest::Approx(1 / (1 + std::exp(-0.4))));
  CHECK(average_weights(rule::kl_exp_inverse, sizes, scores)[0] ==
        doctest::Approx(1 / (1 + std::exp(-0.4))));
  CHECK(average_weights(rule::kl_linear, sizes, scores)[0] == doctest::Approx(0.25));
  CHECK(average_weights(rule::kl_dirac, sizes, scores) == std::vector{0.0, 1.0});
}

TEST_CASE("scores that leave nobody a weight fall back to sizes") {
  const std::vector<double> sizes{10, 30, 60}, same{0, 0, 0}, flat{1, 1, 1};
  const std::vector<double> by_size{0.1, 0.3, 0.6};
  CHECK(average_weights(weight_rule::kl_linear, sizes, same) == by_size);
  CHECK(average_weights(weight_rule::kl_dirac, sizes, flat) == by_size);
}

TEST_CASE("balanced sampling takes whoever owns the class that is missing most") {
  // Three owners of class 0 only, one of class 1 only, one of class 2 with a little of class 1.
  const auto all = joined(
      {histogram({9}), histogram({9}), histogram({9}), histogram({0, 9}), histogram({0, 1, 9})});
  const std::vector<int> workers{1, 2, 3, 4, 5};
  std::set<std::vector<int>> seen;
  for (std::uint32_t step = 0; step < 50; ++step) {
    std::vector<float> taken(label_values);
    const auto chosen = balanced_workers(workers, 3, all, taken, {.seed = 1, .step = step});
    REQUIRE(chosen.size() == 3);
    CHECK(chosen[0] <= 3);
    CHECK(chosen[1] == 4);
    CHECK(chosen[2] == 5);
    CHECK(taken[0] == 9);
    CHECK(taken[1] == 10);
    seen.insert(chosen);
  }
  CHECK(seen.size() == 3);
  // What was taken before counts.
  std::vector<float> taken(label_values);
  taken[0] = 100;
  CHECK(balanced_workers(workers, 2, all, taken, {}) == std::vector{4, 5});
  // More than there are: all of them.
  CHECK(balanced_workers(workers, 9, all, taken, {}) == workers);
}

TEST_CASE("what an upload of some staleness weighs") {
  using rule = staleness_weight::rule;
  CHECK(staleness_weight{.by = rule::constant, .alpha = 0.5}(7) == 0.5);
  CHECK(staleness_weight{.by = rule::exponential, .alpha = 0.5, .decay = 0.3}(2) ==
        doctest::Approx(0.5 * std::exp(-0.6)));
  const staleness_weight hinge{.by = rule::hinge, .alpha = 0.8, .decay = 2, .free = 3};
  CHECK(hinge(3) == 0.8);
  CHECK(hinge(5) == doctest::Approx(0.8 / 5));
}

TEST_CASE("who takes part in a round") {
  const std::vector<int> live{1, 2, 4, 5};
  std::vector<float> memory(6);
  const auto round = [&](const device_scheduling& how, std::uint32_t r) {
    return scheduled_workers(how, live, 9, r, memory);
  };
  using policy = scheduling_policy;
  CHECK(round({.policy = policy::all, .fraction = 0.1}, 0) == live);
  CHECK(round({.policy = policy::random, .fraction = 0.1}, 0).size() == 1);
  CHECK(round({.policy = policy::random, .fraction = 0.5}, 3) ==
        round({.policy = policy::random, .fraction = 0.5}, 3));

  SUBCASE("round robin comes back to everybody") {
    const device_scheduling how{.policy = policy::round_robin, .fraction = 0.75};
    CHECK(round(how, 0) == std::vector{1, 2, 4});
    CHECK(round(how, 1) == std::vector{1, 2, 5});
    CHECK(round(how, 2) == std::vector{1, 4, 5});
  }
  SUBCASE("the best channels win") {
    const device_scheduling how{.policy = policy::best_channel, .fraction = 0.25};
    for (std::uint32_t r = 0; r < 20; ++r) {
      const int best = round(how, r)[0];
      for (const int n : live) CHECK(how.rate(9, r, best) >= how.rate(9, r, n));
    }
  }
  SUBCASE("proportional fairness serves everybody") {
    const device_scheduling how{.policy = policy::proportional_fair, .fraction = 0.25};
    std::array<int, 6> served{};
    for (std::uint32_t r = 0; r < 200; ++r) ++served[static_cast<std::size_t>(round(how, r)[0])];
    for (const int n : live) CHECK(served[static_cast<std::size_t>(n)] > 30);
    CHECK(served[3] == 0);
  }
}

TEST_CASE("modelled gains are those of Rayleigh fading") {
  const device_scheduling how{.snr = 4};
  double gains = 0;
  for (std::uint32_t r = 0; r < 4000; ++r) gains += (std::exp2(how.rate(1, r, 2)) - 1) / how.snr;
  CHECK(gains / 4000 == doctest::Approx(1).epsilon(0.05));
  CHECK_THROWS_AS(check(device_scheduling{.fraction = 0}), usage_error);
  CHECK_THROWS_AS(check(device_scheduling{.snr = 0}), usage_error);
}
