// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gantry/base/error.hpp"

namespace gantry::inline v0::metrics {

/// Mean and population standard deviation over the splits.
struct score {
  double mean{}, deviation{};
};

/// exp(E_x KL(p(y|x) || p(y))) over the class probabilities that a classifier gives to samples,
/// between 1 and the number of classes (Salimans et al., "Improved techniques for training GANs",
/// arXiv 1606.03498, section 4). With the Inception network it is the Inception score, with an
/// MNIST classifier the MNIST score of MD-GAN (arXiv 1811.03850, section V-A).
///
/// Keeps the probabilities, because the splits are contiguous parts of all samples and their number
/// is known only at the end.
class classifier_score {
 public:
  /// @throws usage_error for fewer than 1 class
  explicit classifier_score(int classes) : classes_(static_cast<std::size_t>(classes)) {
    expects(classes >= 1,
            "a classifier score needs at least 1 class; pass the width of the classifier's output");
  }

  [[nodiscard]] int classes() const { return static_cast<int>(classes_); }
  /// Number of samples seen.
  [[nodiscard]] std::int64_t count() const {
    return static_cast<std::int64_t>(probabilities_.size() / classes_);
  }

  /// Adds n samples, [n][classes], each row a distribution. Nothing is added if one row is not.
  /// @throws usage_error for another size or rows that do not sum to 1, numeric_error for NaN
  void update(std::span<const float> probabilities, std::size_t n) {
    if (probabilities.size() != n * classes_)
      throw usage_error(std::to_string(n) + " samples of " + std::to_string(classes_) +
                        " classes have " + std::to_string(n * classes_) +
                        " probabilities but got " + std::to_string(probabilities.size()) +
                        "; pass the output of a classifier for these classes");
    for (std::size_t i = 0; i < n; ++i) check(probabilities.subspan(i * classes_, classes_));
    probabilities_.insert(probabilities_.end(), probabilities.begin(), probabilities.end());
  }

  /// Appends what another object has seen. @throws usage_error if the number of classes differs
  void merge(const classifier_score& other) {
    expects(other.classes_ == classes_,
            "scores over other numbers of classes cannot be merged; use one classifier for both");
    const std::size_t ours = probabilities_.size(), theirs = other.probabilities_.size();
    probabilities_.resize(ours + theirs);
    std::copy_n(other.probabilities_.data(), theirs, probabilities_.data() + ours);
  }

  /// Score of each of `splits` contiguous parts, [i n / splits, (i + 1) n / splits).
  /// @throws usage_error for splits < 1 or fewer samples than splits
  [[nodiscard]] score value(int splits = 1) const {
    const std::int64_t n = count();
    if (splits < 1 || n < splits)
      throw usage_error("a classifier score needs at least 1 split and 1 sample per split, got " +
                        std::to_string(splits) + " splits and " + std::to_string(n) +
                        " samples; score more samples or use fewer splits");
    double sum = 0;
    std::vector<double> scores;
    for (std::int64_t i = 0; i < splits; ++i) {
      scores.push_back(part(i * n / splits, (i + 1) * n / splits));
      sum += scores.back();
    }
    score result{sum / splits, 0};
    for (const double s : scores)
      result.deviation += (s - result.mean) * (s - result.mean) / splits;
    result.deviation = std::sqrt(result.deviation);
    return result;
  }

 private:
  static void check(std::span<const float> row) {
    double sum = 0;
    for (const float p : row) {
      if (!std::isfinite(p))
        throw numeric_error("class probabilities have to be finite but one is " +
                            std::to_string(p) + "; check the samples and the classifier for NaN");
      expects(p >= 0,
              "class probabilities have to be at least 0 but one is negative; apply softmax to the "
              "classifier's output");
      sum += p;
    }
    constexpr double tolerance = 1e-3;  // wide enough for half precision
    if (std::abs(sum - 1.0) > tolerance)
      throw usage_error("the class probabilities of a sample have to sum to 1 but sum to " +
                        std::to_string(sum) + "; apply softmax to the classifier's output");
  }

  /// exp(mean entropy of p(y) - mean entropy of p(y|x)) over samples first .. last - 1.
  [[nodiscard]] double part(std::int64_t first, std::int64_t last) const {
    const auto p_log_p = [](double p) { return p > 0 ? p * std::log(p) : 0.0; };
    std::vector<double> marginal(classes_);
    double conditional = 0;
    for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(last); ++i)
      for (std::size_t c = 0; c < classes_; ++c) {
        const double p = probabilities_[i * classes_ + c];
        marginal[c] += p;
        conditional += p_log_p(p);
      }
    const double n = static_cast<double>(last - first);
    double divergence = conditional / n;
    for (const double sum : marginal) divergence -= p_log_p(sum / n);
    return std::exp(divergence);
  }

  std::size_t classes_;
  std::vector<float> probabilities_;  ///< [count][classes]
};

}  // namespace gantry::metrics
