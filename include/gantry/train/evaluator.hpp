// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "gantry/base/rng.hpp"
#include "gantry/metrics/classifier_score.hpp"
#include "gantry/metrics/frechet.hpp"
#include "gantry/train/classifier.hpp"
#include "gantry/train/evaluation.hpp"
#include "gantry/train/shrink.hpp"

namespace gantry::inline v0::train {

struct evaluator_options {
  int latent{100};                ///< numbers in a latent vector of the generator
  std::size_t reference_limit{};  ///< use so many reference images from the first on; 0: all
  shrink_rule rule{shrink_rule::automatic};
  /// Gets the features of every batch, [n][features]: those of the reference once, at the start.
  std::function<void(std::span<const float> features, bool real)> observe{};
};

/// Scores a generator while it trains: FID against reference images and the classifier score.
///
/// The reference is usually the test set. It must have the extents of the generated images and be
/// made like the training set (padded, enlarged), because both are brought to the classifier's
/// extents in the same way; statistics of its features are computed once.
template <Backend B, class Networks = grey_classifier>
class evaluator {
 public:
  using classifier_type = classifier<B, Networks>;

  /// @throws usage_error for fewer than 2 reference images or images smaller than the classifier's
  evaluator(classifier_type network, const data::image_set& reference,
            const evaluator_options& options = {})
      : network_(std::move(network)),
        options_(options),
        shrink_({reference.height, reference.width, reference.channels}, options.rule) {
    const std::size_t all = reference.size();
    const std::size_t count =
        options.reference_limit > 0 ? std::min(options.reference_limit, all) : all;
    expects(count >= 2 && options.latent >= 1,
            "an evaluation needs at least 2 reference images and a latent size of at least 1; "
            "correct its options");
    std::vector<float> images;
    for (std::size_t first = 0; first < count; first += chunk) {
      const std::size_t n = std::min<std::size_t>(chunk, count - first);
      detail::read_images(reference, first, n, images);
      reference_.update(features_of(images, {}), n);
    }
  }

  /// Scores `count` images. `sample(latents, images)` turns [n][latent] into [n][h][w][c] in [-1,
  /// 1]; it is called for up to 256 at a time. Latents are a pure function of seed and count, so
  /// that evaluations along a run differ by the weights only.
  /// @throws usage_error for a count below 2, numeric_error if a pixel is not finite
  template <std::invocable<std::span<const float>, std::span<float>> Sample>
  evaluation evaluate(Sample&& sample, int count, std::uint64_t seed) {
    expects(count >= 2, "an evaluation needs at least 2 generated images; raise their number");
    const auto begin = std::chrono::steady_clock::now();
    metrics::feature_statistics generated(classifier_type::feature_count);
    metrics::classifier_score score(classifier_type::classes);
    std::vector<float> latents, images, probabilities;
    for (int first = 0; first < count; first += chunk) {
      const auto n = static_cast<std::size_t>(std::min(chunk, count - first));
      latents.resize(n * static_cast<std::size_t>(options_.latent));
      images.resize(n * static_cast<std::size_t>(shrink_.input().size()));
      probabilities.resize(n * classifier_type::classes);
      fill_normal(std::span(latents), {.seed = seed,
                                       .step = static_cast<std::uint32_t>(first / chunk),
                                       .use = purpose::evaluation});
      sample(std::span<const float>(latents), std::span<float>(images));
      generated.update(features_of(images, probabilities), n);
      score.update(probabilities, n);
    }
    evaluation result{.fid = metrics::frechet_distance(reference_, generated),
                      .classifier_score = score.value().mean,
                      .generated = count,
                      .reference = reference_.count(),
                      .feature_network = network_.name(),
                      .feature_hash = network_.hash()};
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return result;
  }

  [[nodiscard]] const classifier_type& network() const { return network_; }

 private:
  static constexpr int chunk = 256;

  /// Features of images with the reference's extents, valid until the next call.
  std::span<const float> features_of(std::span<const float> images,
                                     std::span<float> probabilities) {
    const std::size_t n = images.size() / static_cast<std::size_t>(shrink_.input().size());
    shrunk_.resize(n * static_cast<std::size_t>(classifier_type::input_shape.size()));
    features_.resize(n * classifier_type::feature_count);
    shrink_(images, shrunk_);
    network_.evaluate(shrunk_, static_cast<int>(n), features_, probabilities);
    if (options_.observe) options_.observe(features_, probabilities.empty());
    return features_;
  }

  classifier_type network_;
  evaluator_options options_;
  shrink_to<classifier_type::input_shape> shrink_;
  metrics::feature_statistics reference_{classifier_type::feature_count};
  std::vector<float> shrunk_, features_;
};

}  // namespace gantry::train
