// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include "gantry/metrics/classifier_score.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

using doctest::Approx;
using gantry::numeric_error;
using gantry::usage_error;
using namespace gantry::metrics;

namespace {

/// Certain of class i % classes for sample i.
std::vector<float> one_hot(int n, int classes) {
  std::vector<float> p(static_cast<std::size_t>(n * classes));
  for (int i = 0; i < n; ++i) p[static_cast<std::size_t>(i * classes + i % classes)] = 1;
  return p;
}

classifier_score scored(const std::vector<float>& p, int classes) {
  classifier_score s(classes);
  s.update(p, p.size() / static_cast<std::size_t>(classes));
  return s;
}

}  // namespace

TEST_CASE("classifier_score: knowing nothing scores 1") {
  const score s = scored(std::vector<float>(50, 0.1f), 10).value();
  CHECK(s.mean == Approx(1).epsilon(1e-6));
  CHECK(s.deviation == 0);
}

TEST_CASE("classifier_score: certain and balanced scores the number of classes") {
  for (const int classes : {1, 2, 10})
    CHECK(scored(one_hot(20 * classes, classes), classes).value().mean == Approx(classes));
}

TEST_CASE("classifier_score: certain of one class only scores 1") {
  CHECK(scored({0, 1, 0, 0, 1, 0}, 3).value().mean == Approx(1));
}

TEST_CASE("classifier_score: the definition, term by term") {
  const std::vector<float> p{0.5f, 0.25f, 0.25f, 0.125f, 0.75f, 0.125f};
  double divergence = 0;
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t c = 0; c < 3; ++c) {
      const double marginal = (double{p[c]} + double{p[3 + c]}) / 2;
      divergence += p[3 * i + c] * std::log(p[3 * i + c] / marginal) / 2;
    }
  CHECK(scored(p, 3).value().mean == Approx(std::exp(divergence)).epsilon(1e-12));
}

TEST_CASE("classifier_score: splits are contiguous; mean and deviation over them") {
  // Halves that know 2 and 1 of 2 classes.
  const classifier_score s = scored({1, 0, 0, 1, 1, 0, 1, 0}, 2);
  const score two = s.value(2);
  CHECK(two.mean == Approx(1.5));
  CHECK(two.deviation == Approx(0.5));
  const score one_each = s.value(4);
  CHECK(one_each.mean == Approx(1));
  CHECK(one_each.deviation == Approx(0));
  // Five samples in two splits: 0, 1 and 2, 3, 4.
  CHECK(scored({1, 0, 0, 1, 1, 0, 1, 0, 1, 0}, 2).value(2).mean == Approx(1.5));
}

TEST_CASE("classifier_score: batches and nodes add up") {
  const std::vector<float> p = one_hot(30, 4);
  classifier_score whole = scored(p, 4), pieces(4), other(4);
  const std::span<const float> all(p);
  pieces.update(all.first(4), 1);
  pieces.update(all.subspan(4, 40), 10);
  other.update(all.subspan(44), 19);
  pieces.merge(other);
  CHECK(pieces.count() == 30);
  for (const int splits : {1, 3, 10}) {
    CHECK(pieces.value(splits).mean == whole.value(splits).mean);
    CHECK(pieces.value(splits).deviation == whole.value(splits).deviation);
  }
  const double before = whole.value().mean;
  whole.merge(whole);
  CHECK(whole.count() == 60);
  CHECK(whole.value().mean == Approx(before));
  CHECK_THROWS_AS(whole.merge(classifier_score(5)), usage_error);
}

TEST_CASE("classifier_score: what is no distribution is refused and leaves no trace") {
  classifier_score s(2);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(s.update(std::vector<float>{1, 0, nan, 1}, 2), numeric_error);
  CHECK_THROWS_AS(s.update(std::vector<float>{1, std::numeric_limits<float>::infinity()}, 1),
                  numeric_error);
  CHECK_THROWS_WITH_AS(s.update(std::vector<float>{3, 2}, 1), doctest::Contains("apply softmax"),
                       usage_error);
  CHECK_THROWS_AS(s.update(std::vector<float>{2, -1}, 1), usage_error);
  CHECK_THROWS_WITH_AS(s.update(std::vector<float>{1, 0, 1}, 2),
                       doctest::Contains("4 probabilities but got 3"), usage_error);
  CHECK(s.count() == 0);
  CHECK_THROWS_AS((void)s.value(), usage_error);
  CHECK_THROWS_AS((void)scored({1, 0}, 2).value(2), usage_error);
  CHECK_THROWS_AS((void)scored({1, 0}, 2).value(0), usage_error);
  CHECK_THROWS_AS(classifier_score(0), usage_error);
}
