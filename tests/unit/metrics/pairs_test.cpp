// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What compares pairs of samples: KID, precision, recall, density and coverage.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/metrics/kernel_distance.hpp"
#include "gantry/metrics/neighbourhoods.hpp"
#include "gantry/metrics/pairwise.hpp"

using namespace gantry;
using namespace gantry::metrics;
using doctest::Approx;

namespace {

/// Numbers in [0, 1) from a linear congruential generator, [n][d].
std::vector<float> numbers(std::size_t n, std::size_t d, std::uint32_t seed) {
  std::vector<float> out;
  for (std::size_t i = 0; i < n * d; ++i) {
    seed = seed * 1664525U + 1013904223U;
    out.push_back(static_cast<float>(seed >> 8) / 16777216.0f);
  }
  return out;
}

}  // namespace

TEST_CASE("pairwise: every product has the bits of its vectors, wherever they stand") {
  const std::size_t n = 519, d = 7;  // two blocks and an odd rest
  const std::vector<float> values = numbers(n, d, 1);
  const feature_rows x{values, d};
  std::vector<double> all(n * n);
  for_each_product(x, x, pairs::all,
                   [&](std::size_t i, std::size_t first, std::span<const double> products) {
                     std::ranges::copy(products, all.begin() + static_cast<long>(i * n + first));
                   });
  const std::vector<double> norms = squared_norms(x);
  bool symmetric = true, upper = true, close = true;
  for (std::size_t i = 0; i < n; ++i) {
    CHECK_UNARY(all[i * n + i] == norms[i]);
    for (std::size_t j = 0; j < n; ++j) {
      double product = 0;
      for (std::size_t k = 0; k < d; ++k) product += double{x.row(i)[k]} * double{x.row(j)[k]};
      close = close && std::abs(all[i * n + j] - product) < 1e-13;
      symmetric = symmetric && all[i * n + j] == all[j * n + i];
    }
  }
  std::size_t visited = 0;
  for_each_product(x, x, pairs::upper,
                   [&](std::size_t i, std::size_t first, std::span<const double> products) {
                     for (std::size_t j = 0; j < products.size(); ++j) {
                       upper = upper && products[j] == all[i * n + first + j];
                       visited += i < first + j;
                     }
                   });
  CHECK(close);
  CHECK(symmetric);
  CHECK(upper);
  CHECK(visited == n * (n - 1) / 2);
}

TEST_CASE("kernel distance: by hand") {
  // One feature: k(x, y) = (x y + 1)^3.
  const std::vector<float> x{0, 1}, y{1, 2};
  // Within x: k(0, 1) = 1; within y: k(1, 2) = 27; across: 1, 1, 8, 27.
  CHECK(kernel_distance({x, 1}, {y, 1}) == Approx(1.0 + 27.0 - 2.0 * 37.0 / 4.0));
}

TEST_CASE("kernel distance: one subset of everything is the distance itself") {
  const std::vector<float> x = numbers(40, 3, 1), y = numbers(30, 3, 2);
  const score kid = kernel_inception_distance({x, 3}, {x, 3}, {.subsets = 3, .subset_size = 40});
  const double itself = kernel_distance({x, 3}, {x, 3});
  CHECK(kid.mean == Approx(itself));
  CHECK(kid.deviation < 1e-12);
  const score smaller = kernel_inception_distance({x, 3}, {y, 3}, {.subsets = 5});
  CHECK(smaller.deviation > 0);  // 30 of the 40
  const score again = kernel_inception_distance({x, 3}, {y, 3}, {.subsets = 5});
  CHECK(smaller.mean == again.mean);
}

TEST_CASE("neighbourhoods: a sample beside itself, beside a far one and collapsed onto a point") {
  const std::vector<float> real = numbers(600, 4, 3);
  const feature_rows r{real, 4};
  const neighbourhood_score itself = neighbourhood_scores(r, r);
  CHECK(itself.precision == 1);
  CHECK(itself.recall == 1);
  CHECK(itself.density == 1);
  CHECK(itself.coverage == 1);

  std::vector<float> far = numbers(300, 4, 4);
  for (float& x : far) x += 50;
  const neighbourhood_score missed = neighbourhood_scores(r, {far, 4});
  CHECK(missed.precision == 0);
  CHECK(missed.recall == 0);
  CHECK(missed.density == 0);
  CHECK(missed.coverage == 0);

  std::vector<float> one;
  for (int i = 0; i < 100; ++i) one.insert(one.end(), real.begin(), real.begin() + 4);
  const neighbourhood_score collapsed = neighbourhood_scores(r, {one, 4});
  CHECK(collapsed.precision == 1);
  CHECK(collapsed.recall == Approx(1.0 / 600));  // of its own size 0
  CHECK(collapsed.coverage < 0.05);
}

TEST_CASE("neighbourhoods: by hand on a line") {
  const std::vector<float> real{0, 1, 3, 7}, generated{0.5f, 2, 6, 20};
  // Radii for k = 1: real 1, 1, 2, 4; generated 1.5, 1.5, 4, 14.
  const neighbourhood_score s =
      neighbourhood_scores({real, 1}, {generated, 1}, {.precision = 1, .density = 1});
  CHECK(s.precision == 0.75);  // 20 is in no ball
  CHECK(s.recall == 1);
  // Open balls: 0 and 1 around 0.5; 3 around 2 (1 reaches it with its surface only); 7 around 6.
  CHECK(s.density == 4.0 / 4);
  CHECK(s.coverage == 1);
}

TEST_CASE("pairs of samples: NaN, other dimensions and too few samples are refused") {
  std::vector<float> x = numbers(6, 2, 1);
  const std::vector<float> y = numbers(6, 2, 2);
  CHECK_THROWS_WITH_AS(static_cast<void>(neighbourhood_scores({y, 2}, {x, 3})),
                       "at least 6 feature vectors were expected and 4 found; score more samples",
                       usage_error);
  CHECK_THROWS_AS(static_cast<void>(kernel_distance({x, 2}, {y, 3})), usage_error);
  CHECK_THROWS_AS(static_cast<void>(kernel_distance({std::span(x).first(2), 2}, {y, 2})),
                  usage_error);
  CHECK_THROWS_AS(static_cast<void>(kernel_inception_distance({x, 2}, {y, 2}, {.subsets = 0})),
                  usage_error);
  x[5] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH_AS(static_cast<void>(kernel_distance({y, 2}, {x, 2})),
                       "features have to be finite and feature 1 of sample 2 is nan; check the "
                       "samples and the network for NaN",
                       numeric_error);
  CHECK_THROWS_AS(static_cast<void>(neighbourhood_scores({x, 2}, {y, 2})), numeric_error);
}
