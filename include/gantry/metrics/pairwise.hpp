// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Inner products of all pairs of feature vectors, in double and in memory that does not grow with
// their number.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include <Eigen/Core>

#include "gantry/metrics/feature_rows.hpp"

namespace gantry::inline v0::metrics {

/// Which pairs are visited: all, or, of a sample with itself, at least those with i <= j.
enum class pairs { all, upper };

namespace detail {

/// Vectors in double, eight side by side: [tile][dimension][lane]. Lanes without a vector are 0, so
/// that every product is computed by the same instructions and has the same bits wherever its
/// vectors stand, and for (x, y) as for (y, x).
class packed_rows {
 public:
  static constexpr std::size_t lanes = 8;
  using tile = Eigen::Array<double, static_cast<int>(lanes), 1>;

  void pack(const feature_rows& rows, std::size_t first, std::size_t count) {
    dimension_ = rows.dimension;
    count_ = count;
    values_.assign(tiles() * dimension_ * lanes, 0.0);
    for (std::size_t i = 0; i < count; ++i) {
      const std::span<const float> row = rows.row(first + i);
      double* to = values_.data() + i / lanes * dimension_ * lanes + i % lanes;
      for (std::size_t k = 0; k < dimension_; ++k) to[k * lanes] = row[k];
    }
  }

  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] std::size_t tiles() const { return (count_ + lanes - 1) / lanes; }

  /// Products of two vectors in double with all of these, [tiles x lanes] each.
  void products(const double* x0, const double* x1, double* to0, double* to1) const {
    const double* y = values_.data();
    for (std::size_t t = 0; t < tiles(); ++t, to0 += lanes, to1 += lanes) {
      tile sum0 = tile::Zero(), sum1 = tile::Zero();
      for (std::size_t k = 0; k < dimension_; ++k, y += lanes) {
        const Eigen::Map<const tile> column(y);
        sum0 += x0[k] * column;
        sum1 += x1[k] * column;
      }
      Eigen::Map<tile>{to0} = sum0;
      Eigen::Map<tile>{to1} = sum1;
    }
  }

 private:
  std::size_t dimension_{}, count_{};
  std::vector<double> values_;
};

}  // namespace detail

/// Calls visit(i, first, products) with products[j] = x_i . y_(first + j), for each row i of x and
/// each block of rows of y; with pairs::upper blocks that lie before i are left out.
template <class Visit>
void for_each_product(const feature_rows& x, const feature_rows& y, pairs which, Visit&& visit) {
  constexpr std::size_t block = 256;
  const std::size_t d = x.dimension;
  detail::packed_rows columns;
  std::vector<double> two(2 * d), products(2 * block);
  for (std::size_t first = 0; first < y.count(); first += block) {
    columns.pack(y, first, std::min(block, y.count() - first));
    const std::size_t rows =
        which == pairs::upper ? std::min(x.count(), first + columns.count()) : x.count();
    for (std::size_t i = 0; i < rows; i += 2) {
      const bool both = i + 1 < rows;
      std::ranges::copy(x.row(i), two.begin());
      std::ranges::copy(x.row(both ? i + 1 : i), two.begin() + static_cast<std::ptrdiff_t>(d));
      columns.products(two.data(), two.data() + d, products.data(), products.data() + block);
      for (std::size_t k = 0; k < (both ? 2U : 1U); ++k)
        visit(i + k, first, std::span<const double>(products).subspan(k * block, columns.count()));
    }
  }
}

/// x_i . x_i with the bits that for_each_product gives it, so that the distance of a vector to
/// itself is exactly 0.
inline std::vector<double> squared_norms(const feature_rows& x) {
  constexpr std::size_t lanes = detail::packed_rows::lanes;
  std::vector<double> norms(x.count()), row(x.dimension);
  detail::packed_rows columns;
  double products[2][lanes];
  for (std::size_t first = 0; first < x.count(); first += lanes) {
    columns.pack(x, first, std::min(lanes, x.count() - first));
    for (std::size_t i = 0; i < columns.count(); ++i) {
      std::ranges::copy(x.row(first + i), row.begin());
      columns.products(row.data(), row.data(), products[0], products[1]);
      norms[first + i] = products[0][i];
    }
  }
  return norms;
}

}  // namespace gantry::metrics
