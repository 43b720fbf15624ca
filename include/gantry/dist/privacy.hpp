// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// How much privacy noise has cost: Rényi differential privacy of the subsampled Gaussian mechanism
// (Mironov, Talwar, Zhang, "Rényi differential privacy of the sampled Gaussian mechanism", arXiv
// 1908.10530), converted to epsilon at delta by the bound of Balle, Barthe, Gaboardi, Hsu, Sato,
// "Hypothesis testing interpretations and Rényi differential privacy", AISTATS 2020, theorem 21.
// Opacus and TensorFlow Privacy compute the same numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"

namespace gantry::inline v0::dist {

namespace detail {

inline constexpr double minus_infinity = -std::numeric_limits<double>::infinity();

/// log(e^a + e^b)
inline double log_add(double a, double b) {
  if (a == minus_infinity) return b;
  if (b == minus_infinity) return a;
  return std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
}

/// log(e^a - e^b) for a >= b
inline double log_subtract(double a, double b) {
  if (b == minus_infinity) return a;
  return a > b ? a + std::log1p(-std::exp(b - a)) : minus_infinity;
}

/// log(erfc(x)), by its asymptotic series where erfc itself underflows.
inline double log_erfc(double x) {
  const double value = std::erfc(x);
  if (value > 1e-280) return std::log(value);
  const double s = 1 / (x * x);
  return -x * x - std::log(x) - 0.5 * std::log(std::numbers::pi) +
         std::log1p(s * (-0.5 + s * (0.75 + s * (-1.875 + s * 6.5625))));
}

/// The logarithm of A_alpha, the moment of equation (6) of arXiv 1908.10530, for an integer order:
/// a finite sum.
inline double log_moment_integer(double q, double sigma, int alpha) {
  double sum = minus_infinity;
  double log_binomial = 0;
  for (int i = 0; i <= alpha; ++i) {
    sum = log_add(sum, log_binomial + i * std::log(q) + (alpha - i) * std::log1p(-q) +
                           (static_cast<double>(i) * i - i) / (2 * sigma * sigma));
    log_binomial += std::log(alpha - i) - std::log(i + 1);
  }
  return sum;
}

/// The same for any order above 1: two alternating series (section 3.3), summed until their terms
/// are below e^-30.
inline double log_moment_fractional(double q, double sigma, double alpha) {
  const double root = std::numbers::sqrt2 * sigma;
  const double z = sigma * sigma * std::log(1 / q - 1) + 0.5;
  double left = minus_infinity, right = minus_infinity, coefficient = 1;
  for (int i = 0;; ++i) {
    const double j = alpha - i, n = i, log_coefficient = std::log(std::abs(coefficient));
    const auto term = [&](double power, double tail) {
      return log_coefficient + power * std::log(q) + (alpha - power) * std::log1p(-q) +
             (power * power - power) / (2 * sigma * sigma) - std::numbers::ln2 +
             log_erfc(tail / root);
    };
    const double a = term(n, n - z), b = term(j, z - j);
    left = coefficient > 0 ? log_add(left, a) : log_subtract(left, a);
    right = coefficient > 0 ? log_add(right, b) : log_subtract(right, b);
    coefficient *= (alpha - i) / (i + 1);
    if (!(a > -30 || b > -30)) return log_add(left, right);
  }
}

}  // namespace detail

/// Rényi divergence of one order between what one step releases with and without a sample: noise of
/// `sigma` sensitivities, each sample present with probability `rate`. Infinite without noise.
inline double renyi_divergence(double rate, double sigma, double order) {
  if (rate == 0) return 0;
  if (sigma == 0) return std::numeric_limits<double>::infinity();
  if (rate == 1) return order / (2 * sigma * sigma);
  const double moment = order == std::floor(order)
                            ? detail::log_moment_integer(rate, sigma, static_cast<int>(order))
                            : detail::log_moment_fractional(rate, sigma, order);
  return moment / (order - 1);
}

/// (epsilon, delta)-differential privacy, and the order that proves it.
struct privacy_spent {
  double epsilon{}, delta{}, order{};
  /// "epsilon = 7.33 at delta = 1e-05 (order 3.9)"
  [[nodiscard]] std::string text() const {
    std::ostringstream out;
    out.precision(3);
    out << "epsilon = " << epsilon << " at delta = " << delta << " (order " << order << ")";
    return out.str();
  }
};

/// Adds up the privacy that releases of noisy values cost. What it assumes of them: each sample's
/// part is clipped before the noise, `sigma` is in units of the sensitivity, and a step sees each
/// sample with probability `rate` independently of all else (1 if every sample may be in it).
class renyi_accountant {
 public:
  /// Orders 1.1, 1.2, ... 10.9, 12, ... 63, as Opacus.
  renyi_accountant() {
    for (int tenth = 11; tenth < 110; ++tenth) orders_.push_back(tenth / 10.0);
    for (int order = 12; order < 64; ++order) orders_.push_back(order);
    divergences_.resize(orders_.size());
  }
  /// @throws usage_error for an order that is not above 1
  explicit renyi_accountant(std::vector<double> orders)
      : orders_(std::move(orders)), divergences_(orders_.size()) {
    expects(!orders_.empty() && std::ranges::all_of(orders_, [](double a) { return a > 1; }),
            "the orders of a Renyi accountant must be numbers above 1");
  }

  /// `steps` more releases. @throws usage_error for a rate outside [0, 1], or sigma or steps below
  /// 0
  void compose(double rate, double sigma, std::int64_t steps) {
    expects(rate >= 0 && rate <= 1, "the sampling rate of a private step must be from 0 to 1");
    expects(sigma >= 0 && std::isfinite(sigma),
            "the noise of a private step must be 0 or a positive number");
    expects(steps >= 0, "the number of private steps must be 0 or more");
    if (steps == 0) return;
    for (std::size_t i = 0; i < orders_.size(); ++i)
      divergences_[i] += static_cast<double>(steps) * renyi_divergence(rate, sigma, orders_[i]);
  }

  /// The least epsilon that an order proves. @throws usage_error unless 0 < delta < 1
  [[nodiscard]] privacy_spent spent(double delta) const {
    expects(delta > 0 && delta < 1, "delta must be between 0 and 1");
    privacy_spent best{std::numeric_limits<double>::infinity(), delta, orders_.front()};
    for (std::size_t i = 0; i < orders_.size(); ++i) {
      const double a = orders_[i];
      if (divergences_[i] == 0) return {0, delta, a};  // nothing was released
      const double epsilon =
          divergences_[i] - (std::log(delta) + std::log(a)) / (a - 1) + std::log1p(-1 / a);
      if (epsilon < best.epsilon) best = {std::max(0.0, epsilon), delta, a};
    }
    return best;
  }

 private:
  std::vector<double> orders_, divergences_;
};

}  // namespace gantry::dist
