// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include "gantry/metrics/frechet.hpp"

#include <doctest/doctest.h>

#include <Eigen/QR>
#include <limits>
#include <vector>

using doctest::Approx;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using gantry::numeric_error;
using gantry::usage_error;
using namespace gantry::metrics;

namespace {

/// The integers of tests/golden/frechet_golden.py, [n][d].
std::vector<float> features(int n, int d, int offset) {
  std::vector<float> out;
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < d; ++j)
      out.push_back(static_cast<float>(
          (31 * i * i + 17 * i * j + 7 * j * j + 3 * i + offset * (j + 1) * (i + 2)) % 23 - 11));
  return out;
}

feature_statistics statistics(int n, int d, int offset) {
  feature_statistics s(d);
  s.update(features(n, d, offset), static_cast<std::size_t>(n));
  return s;
}

MatrixXd covariance(int n, int d, int offset) { return statistics(n, d, offset).covariance(); }

MatrixXd rotation(int d) {
  return Eigen::HouseholderQR<MatrixXd>(covariance(60, d, 2)).householderQ();
}

double relative_error(const MatrixXd& actual, const MatrixXd& expected) {
  return (actual - expected).norm() / expected.norm();
}

}  // namespace

TEST_CASE("frechet: mean and covariance of a small sample") {
  feature_statistics s(2);
  const std::vector<float> x{1, 10, 2, 10, 6, 16};
  s.update(x, 3);
  CHECK(s.count() == 3);
  CHECK(s.mean()[0] == Approx(3));
  CHECK(s.mean()[1] == Approx(12));
  const MatrixXd c = s.covariance();
  CHECK(c(0, 0) == Approx(7));
  CHECK(c(0, 1) == Approx(9));
  CHECK(c(1, 0) == Approx(9));
  CHECK(c(1, 1) == Approx(12));
}

TEST_CASE("frechet: statistics do not depend on batches, nodes or a large offset") {
  constexpr int n = 700, d = 5;
  std::vector<float> x = features(n, d, 1);
  for (float& value : x) value += 1e6f;  // exact: the sums of squares would not be
  feature_statistics whole(d), pieces(d), node_a(d), node_b(d);
  whole.update(x, n);
  for (int first = 0, size = 1; first < n; first += size, size = std::min(size + 7, n - first)) {
    const std::span<const float> part =
        std::span<const float>(x).subspan(static_cast<std::size_t>(first * d),
                                          static_cast<std::size_t>(std::min(size, n - first) * d));
    pieces.update(part, part.size() / d);
    (first < 300 ? node_a : node_b).update(part, part.size() / d);
  }
  node_a.merge(node_b);
  node_a.merge(feature_statistics(d));
  const MatrixXd expected = covariance(n, d, 1);
  for (const feature_statistics* s : {&whole, &pieces, &node_a}) {
    CHECK(s->count() == n);
    CHECK(relative_error(s->covariance(), expected) <= 1e-10);
    CHECK(relative_error(s->mean(), whole.mean()) <= 1e-14);
  }
  feature_statistics empty(d);
  empty.merge(whole);
  CHECK(empty.covariance() == whole.covariance());
  const feature_statistics sent(whole.count(), whole.mean(), whole.scatter());
  CHECK(sent.covariance() == whole.covariance());
}

TEST_CASE("frechet: the root squared is the matrix, and is symmetric") {
  for (const int d : {1, 2, 8, 33}) {
    const MatrixXd m = covariance(100, d, 3), root = matrix_sqrt_psd(m);
    CHECK(relative_error(root * root, m) <= 1e-13);
    CHECK(relative_error(root.transpose(), root) <= 1e-13);
  }
  const MatrixXd thin = covariance(5, 12, 3);  // rank 4
  const MatrixXd root = matrix_sqrt_psd(thin);
  CHECK(relative_error(root * root, thin) <= 1e-13);
  CHECK(matrix_sqrt_psd(MatrixXd::Zero(3, 3)) == MatrixXd::Zero(3, 3));
}

TEST_CASE("frechet: roots clamp rounding but refuse what is no covariance") {
  MatrixXd m = MatrixXd::Identity(2, 2);
  m(1, 1) = -1e-12;
  CHECK(matrix_sqrt_psd(m)(1, 1) == Approx(0));
  m(1, 1) = -0.5;
  CHECK_THROWS_AS((void)matrix_sqrt_psd(m), numeric_error);
  m(1, 1) = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS((void)matrix_sqrt_psd(m), numeric_error);
  m(1, 1) = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS((void)matrix_sqrt_psd(m), numeric_error);
  CHECK_THROWS_AS((void)matrix_sqrt_psd(MatrixXd::Zero(2, 3)), usage_error);
}

TEST_CASE("frechet: diagonal and commuting covariances have a closed form") {
  const VectorXd variance_a = VectorXd::LinSpaced(6, 0.5, 9), variance_b{{4, 1, 0, 2, 1e-6, 30}};
  gaussian a{VectorXd::LinSpaced(6, -1, 1), variance_a.asDiagonal()};
  gaussian b{VectorXd::LinSpaced(6, 2, -3), variance_b.asDiagonal()};
  const double expected = (a.mean - b.mean).squaredNorm() +
                          (variance_a.cwiseSqrt() - variance_b.cwiseSqrt()).squaredNorm();
  CHECK(frechet_distance(a, b) == Approx(expected).epsilon(1e-12));
  CHECK(frechet_distance(b, a) == Approx(expected).epsilon(1e-12));

  const MatrixXd turn = rotation(6);
  for (gaussian* g : {&a, &b}) g->covariance = turn * g->covariance * turn.transpose();
  CHECK(frechet_distance(a, b) == Approx(expected).epsilon(1e-12));
}

TEST_CASE("frechet: rotating both sides changes nothing") {
  gaussian a = statistics(90, 7, 4).fit(), b = statistics(80, 7, 6).fit();
  const double expected = frechet_distance(a, b);
  CHECK(expected >= 1);
  const MatrixXd turn = rotation(7);
  for (gaussian* g : {&a, &b}) {
    g->mean = turn * g->mean;
    g->covariance = turn * g->covariance * turn.transpose();
  }
  CHECK(frechet_distance(a, b) == Approx(expected).epsilon(1e-12));
  CHECK(frechet_distance(b, a) == Approx(expected).epsilon(1e-12));
}

TEST_CASE("frechet: the distance to itself is 0, with fewer samples than dimensions too") {
  for (const int n : {2, 9, 40, 300}) {
    CAPTURE(n);
    const feature_statistics s = statistics(n, 40, 5);
    CHECK(frechet_distance(s, s) <= 1e-12 * s.covariance().trace());
  }
}

TEST_CASE("frechet: supports that have nothing in common") {
  gaussian a{VectorXd::Zero(2), VectorXd{{4, 0}}.asDiagonal()};
  gaussian b{VectorXd::Zero(2), VectorXd{{0, 9}}.asDiagonal()};
  CHECK(frechet_distance(a, b) == Approx(13).epsilon(1e-12));
  const MatrixXd turn = rotation(2);
  for (gaussian* g : {&a, &b}) g->covariance = turn * g->covariance * turn.transpose();
  CHECK(frechet_distance(a, b) == Approx(13).epsilon(1e-12));
  a.covariance.setZero();
  CHECK(frechet_distance(a, b) == Approx(9).epsilon(1e-12));
  CHECK(frechet_distance(b, a) == Approx(9).epsilon(1e-12));
}

TEST_CASE("frechet: golden values") {
  // tests/golden/frechet_golden.py
  CHECK(frechet_distance(statistics(50, 8, 5), statistics(70, 8, 9)) ==
        Approx(99.1285908021889).epsilon(1e-9));
  CHECK(frechet_distance(statistics(200, 16, 5), statistics(150, 16, 9)) ==
        Approx(304.175189136129).epsilon(1e-9));
}

TEST_CASE("frechet: what cannot be compared is refused") {
  feature_statistics one(3), two(3);
  const std::vector<float> x{1, 2, 3, 4, 5, 7};
  one.update(std::span<const float>(x).first(3), 1);
  two.update(x, 2);
  CHECK_THROWS_WITH_AS((void)frechet_distance(one, two),
                       doctest::Contains("at least 2 samples but got 1"), usage_error);
  CHECK_THROWS_WITH_AS((void)frechet_distance(two, statistics(9, 4, 1)),
                       doctest::Contains("but got 3 and 4"), usage_error);
  CHECK_THROWS_AS(two.merge(feature_statistics(4)), usage_error);
  CHECK_THROWS_WITH_AS(two.update(x, 3), doctest::Contains("have 9 numbers but got 6"),
                       usage_error);
  CHECK_THROWS_AS(feature_statistics(0), usage_error);
  CHECK_THROWS_AS(feature_statistics(2, VectorXd::Zero(3), MatrixXd::Zero(2, 2)), usage_error);
  CHECK_THROWS_AS((void)frechet_distance(gaussian{VectorXd::Zero(2), MatrixXd::Zero(3, 3)},
                                         gaussian{VectorXd::Zero(2), MatrixXd::Zero(2, 2)}),
                  usage_error);
}

TEST_CASE("frechet: NaN and infinity never become a distance") {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    feature_statistics s = statistics(30, 3, 1);
    const feature_statistics good = s;
    s.update(std::vector<float>{1, bad, 2}, 1);
    CHECK_THROWS_AS((void)frechet_distance(s, good), numeric_error);
    CHECK_THROWS_AS((void)frechet_distance(good, s), numeric_error);
    gaussian a = good.fit();
    a.mean[1] = bad;
    CHECK_THROWS_AS((void)frechet_distance(a, good.fit()), numeric_error);
  }
}
