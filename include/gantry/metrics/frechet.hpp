// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of the Frechet inception distance (Heusel et al., "GANs trained by a two
// time-scale update rule", arXiv 1706.08500, equation 6), from features on, in double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>

#include <Eigen/Core>
#include <Eigen/Eigenvalues>

#include "gantry/base/error.hpp"

namespace gantry::inline v0::metrics {

/// Mean and covariance: what the distance compares.
struct gaussian {
  Eigen::VectorXd mean;
  Eigen::MatrixXd covariance;
};

/// Running mean and covariance of feature vectors. Blocks are combined pairwise (Chan, Golub,
/// LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979), so
/// objects filled on different nodes merge to what one object would hold, up to rounding.
class feature_statistics {
 public:
  /// @throws usage_error for a dimension below 1
  explicit feature_statistics(int dimension) {
    expects(
        dimension >= 1,
        "feature statistics need a dimension of at least 1; pass the length of a feature vector");
    mean_ = Eigen::VectorXd::Zero(dimension);
    scatter_ = Eigen::MatrixXd::Zero(dimension, dimension);
  }
  /// Rebuilds statistics that were sent as count, mean and scatter. @throws usage_error
  feature_statistics(std::int64_t count, Eigen::VectorXd mean, Eigen::MatrixXd scatter)
      : count_(count), mean_(std::move(mean)), scatter_(std::move(scatter)) {
    expects(count_ >= 0 && mean_.size() >= 1 && scatter_.rows() == mean_.size() &&
                scatter_.cols() == mean_.size(),
            "feature statistics need a count of at least 0, a mean and a square scatter matrix of "
            "the same dimension; pass the three values of one object");
  }

  [[nodiscard]] int dimension() const { return static_cast<int>(mean_.size()); }
  /// Number of feature vectors seen.
  [[nodiscard]] std::int64_t count() const { return count_; }
  [[nodiscard]] const Eigen::VectorXd& mean() const { return mean_; }
  /// Sum of (x - mean)(x - mean)^T, [dimension][dimension]; only the lower triangle is defined.
  [[nodiscard]] const Eigen::MatrixXd& scatter() const { return scatter_; }

  /// Adds n feature vectors, [n][dimension]. @throws usage_error if `features` has another size
  void update(std::span<const float> features, std::size_t n) {
    const std::size_t d = static_cast<std::size_t>(dimension());
    if (features.size() != n * d)
      throw usage_error(std::to_string(n) + " feature vectors of dimension " + std::to_string(d) +
                        " have " + std::to_string(n * d) + " numbers but got " +
                        std::to_string(features.size()) + "; pass the output of the same network");
    // Blocks bound the copy in double; their size does not depend on how the caller batches.
    constexpr std::size_t rows = 256;
    for (std::size_t first = 0; first < n; first += rows)
      update_block(features.data() + first * d, std::min(rows, n - first));
  }

  /// Adds what another object has seen. @throws usage_error if the dimensions differ
  void merge(const feature_statistics& other) {
    if (other.dimension() != dimension())
      throw usage_error("statistics of dimension " + std::to_string(dimension()) +
                        " cannot take in those of dimension " + std::to_string(other.dimension()) +
                        "; use one feature network for both");
    if (other.count_ == 0) return;
    scatter_ += other.scatter_;
    combine(other.count_, other.mean_);
  }

  /// Covariance with divisor n - 1. @throws usage_error for fewer than 2 samples
  [[nodiscard]] Eigen::MatrixXd covariance() const {
    if (count_ < 2)
      throw usage_error("a covariance needs at least 2 samples but got " + std::to_string(count_) +
                        "; score more samples");
    return Eigen::MatrixXd(scatter_.selfadjointView<Eigen::Lower>()) /
           static_cast<double>(count_ - 1);
  }
  /// Mean and covariance. @throws usage_error for fewer than 2 samples
  [[nodiscard]] gaussian fit() const { return {mean_, covariance()}; }

 private:
  void update_block(const float* features, std::size_t n) {
    using rows_of_float = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    Eigen::MatrixXd columns =
        Eigen::Map<const rows_of_float>(features, static_cast<Eigen::Index>(n), mean_.size())
            .cast<double>()
            .transpose();
    const Eigen::VectorXd mean = columns.rowwise().mean();
    columns.colwise() -= mean;
    scatter_.selfadjointView<Eigen::Lower>().rankUpdate(columns);
    combine(static_cast<std::int64_t>(n), mean);
  }

  /// Moves mean and count on to the union with a block whose scatter has been added already.
  void combine(std::int64_t block_count, const Eigen::VectorXd& block_mean) {
    const double ours = static_cast<double>(count_), theirs = static_cast<double>(block_count);
    const double all = ours + theirs;
    const Eigen::VectorXd difference = block_mean - mean_;
    scatter_.selfadjointView<Eigen::Lower>().rankUpdate(difference, ours * theirs / all);
    mean_ += difference * (theirs / all);
    count_ += block_count;
  }

  std::int64_t count_{};
  Eigen::VectorXd mean_;
  Eigen::MatrixXd scatter_;
};

namespace detail {

using symmetric_solver = Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>;

/// Eigenvalues, ascending, and on demand eigenvectors; reads the lower triangle.
inline symmetric_solver solve(const Eigen::MatrixXd& matrix, int what) {
  if (!matrix.allFinite())
    throw numeric_error(
        "a matrix root needs finite numbers but the matrix holds NaN or infinity; check the "
        "features it was computed from");
  symmetric_solver solver(matrix, what);
  if (solver.info() != Eigen::Success)
    throw numeric_error(
        "an eigendecomposition was expected to converge but did not; check the features that the "
        "covariance was computed from");
  return solver;
}

/// F with F F^T = the matrix: its eigenvectors times the roots of their eigenvalues, leaving out
/// eigenvalues that are 0 to working precision.
struct psd_factor {
  Eigen::MatrixXd columns;
  Eigen::VectorXd roots;
};

inline psd_factor factor_psd(const Eigen::MatrixXd& matrix) {
  expects(matrix.rows() == matrix.cols() && matrix.rows() >= 1,
          "a matrix root needs a square matrix; pass a covariance");
  const symmetric_solver solver = solve(matrix, Eigen::ComputeEigenvectors);
  const Eigen::VectorXd& values = solver.eigenvalues();
  const double largest = values.cwiseAbs().maxCoeff();
  // A covariance that was stored in single precision can be this far from semidefinite.
  constexpr double tolerance = 1e-6;
  if (values[0] < -tolerance * largest)
    throw numeric_error("a positive semidefinite matrix was expected but its eigenvalues go from " +
                        std::to_string(values[0]) + " to " +
                        std::to_string(values[values.size() - 1]) +
                        "; check that it is a covariance");
  const double rounding =
      largest * static_cast<double>(values.size()) * std::numeric_limits<double>::epsilon();
  const Eigen::Index rank = (values.array() > rounding).count();
  psd_factor factor;
  factor.roots = values.tail(rank).cwiseSqrt();
  factor.columns = solver.eigenvectors().rightCols(rank) * factor.roots.asDiagonal();
  return factor;
}

}  // namespace detail

/// Symmetric square root of a positive semidefinite matrix; reads the lower triangle. Eigenvalues
/// that are negative within rounding count as 0.
/// @throws numeric_error for NaN, infinity or a matrix with clearly negative eigenvalues
[[nodiscard]] inline Eigen::MatrixXd matrix_sqrt_psd(const Eigen::MatrixXd& matrix) {
  const detail::psd_factor factor = detail::factor_psd(matrix);
  return factor.columns * factor.roots.cwiseInverse().asDiagonal() * factor.columns.transpose();
}

/// |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), the squared 2-Wasserstein distance of two Gaussians
/// (Dowson, Landau, "The Frechet distance between multivariate normal distributions", 1982).
///
/// The product has the eigenvalues of the symmetric S1^(1/2) S2 S1^(1/2). With S1 = F F^T and
/// S2 = G G^T those that are not zero are the squared singular values of F^T G, which has the ranks
/// as its extents: fewer samples than dimensions do not turn rounding noise into a distance.
/// @throws usage_error if the dimensions differ, numeric_error if a number is not finite
[[nodiscard]] inline double frechet_distance(const gaussian& a, const gaussian& b) {
  const Eigen::Index d = a.mean.size();
  if (b.mean.size() != d)
    throw usage_error("a Frechet distance needs features of one dimension but got " +
                      std::to_string(d) + " and " + std::to_string(b.mean.size()) +
                      "; use one feature network for both");
  expects(a.covariance.rows() == d && a.covariance.cols() == d && b.covariance.rows() == d &&
              b.covariance.cols() == d,
          "a Frechet distance needs covariances as large as the means; pass fitted statistics");
  const Eigen::MatrixXd cross = detail::factor_psd(a.covariance).columns.transpose() *
                                detail::factor_psd(b.covariance).columns;
  double overlap = 0;
  if (cross.size() > 0) {
    const bool wide = cross.rows() < cross.cols();
    const Eigen::MatrixXd squared = wide ? Eigen::MatrixXd(cross * cross.transpose())
                                         : Eigen::MatrixXd(cross.transpose() * cross);
    const auto solver = detail::solve(squared, Eigen::EigenvaluesOnly);
    overlap = solver.eigenvalues().cwiseMax(0.0).cwiseSqrt().sum();
  }
  const double distance =
      (a.mean - b.mean).squaredNorm() + a.covariance.trace() + b.covariance.trace() - 2.0 * overlap;
  if (!std::isfinite(distance))
    throw numeric_error("a Frechet distance has to be finite but is " + std::to_string(distance) +
                        "; check the features for NaN and infinity");
  return std::max(0.0, distance);
}

/// The same for the features seen. @throws usage_error also for fewer than 2 samples on a side
[[nodiscard]] inline double frechet_distance(const feature_statistics& a,
                                             const feature_statistics& b) {
  return frechet_distance(a.fit(), b.fit());
}

}  // namespace gantry::metrics
