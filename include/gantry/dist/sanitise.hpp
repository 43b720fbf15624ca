// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/rng.hpp"
#include "gantry/concepts/filter.hpp"
#include "gantry/dist/route_values.hpp"

namespace gantry::inline v0::dist {

/// What clip_and_noise is made of.
struct sanitise_settings {
  std::size_t sample_size{};  ///< values of one sample, such as those of an image
  double clip{1};             ///< the bound of a sample's norm is clip / samples in the message
  double sigma{1.07};         ///< standard deviation in units of the sensitivity, 2 bounds
  std::uint64_t seed{};       ///< the worker's secret: who knows it can subtract the noise
};

/// Gradient sanitisation of GS-WGAN (Chen, Orekondy, Fritz, NeurIPS 2020, arXiv 2006.08265) for
/// messages of b samples: with the bound c = clip / b, each sample g becomes
///   g min(1, c / (|g|_2 + 1e-10)) + N(0, (2 c sigma)^2).
/// The division by b belongs to feedbacks, whose loss is a mean over the batch. With sigma = 0 and
/// no sample above the bound nothing changes, bit for bit. A sample with a number that is not
/// finite has no norm to clip, so all of it becomes NaN.
///
/// The noise is a pure function of the seed, the rank and the number of messages the rank has sent
/// this way before, which is what visit_values shows.
class clip_and_noise {
 public:
  /// @throws usage_error for a sample size of 0, a clip that is not positive or sigma below 0
  explicit clip_and_noise(const sanitise_settings& settings)
      : settings_(settings), counts_("noise") {
    expects(settings.sample_size > 0,
            "clip_and_noise works sample by sample; give the number of values of one sample");
    expects(settings.clip > 0 && std::isfinite(settings.clip),
            "the clip of clip_and_noise must be a positive number");
    expects(settings.sigma >= 0 && std::isfinite(settings.sigma),
            "the sigma of clip_and_noise must be 0 or a positive number");
  }

  /// @throws usage_error if the message is no whole number of samples
  void apply(const message_route& route, std::span<float> values) {
    const std::size_t size = settings_.sample_size;
    expects(values.size() % size == 0,
            "clip_and_noise expects messages of whole samples; give it the sample size of the "
            "messages it filters");
    if (values.empty()) return;
    const double bound = settings_.clip / static_cast<double>(values.size() / size);
    for (std::size_t first = 0; first < values.size(); first += size)
      clip(values.subspan(first, size), bound);
    const std::uint32_t message_number = count(route, values.size());
    if (settings_.sigma == 0) return;
    noise_.resize(values.size());
    fill_normal(std::span<float>(noise_), {.seed = settings_.seed,
                                           .step = message_number,
                                           .worker = static_cast<std::uint32_t>(route.from),
                                           .use = purpose::noise,
                                           .salt = static_cast<std::uint32_t>(route.kind) |
                                                   static_cast<std::uint32_t>(route.to) << 3});
    const auto deviation = static_cast<float>(2 * bound * settings_.sigma);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += deviation * noise_[i];
  }

  template <class Visit>
  void visit_values(Visit&& visit) {
    counts_.visit_values(visit);
  }

 private:
  static void clip(std::span<float> sample, double bound) {
    double square = 0;
    for (const float g : sample) square += static_cast<double>(g) * static_cast<double>(g);
    const double norm = std::sqrt(square);
    if (!std::isfinite(norm)) {
      std::ranges::fill(sample, std::numeric_limits<float>::quiet_NaN());
      return;
    }
    const double factor = std::min(1.0, bound / (norm + 1e-10));
    if (factor < 1)
      for (float& g : sample) g = static_cast<float>(static_cast<double>(g) * factor);
  }

  /// Messages of this stream so far. A float counts to 2^24, so there are two digits of 24 bits.
  std::uint32_t count(const message_route& route, std::size_t length) {
    constexpr std::uint32_t base = 1u << 24;
    const std::span<float> digits = counts_.of(route, length, 2);
    const std::uint32_t before =
        static_cast<std::uint32_t>(digits[1]) * base + static_cast<std::uint32_t>(digits[0]);
    digits[0] = static_cast<float>((before + 1) % base);
    digits[1] = static_cast<float>((before + 1) / base);
    return before;
  }

  sanitise_settings settings_;
  route_values counts_;
  std::vector<float> noise_;
};

static_assert(ValueFilter<clip_and_noise>, "clip_and_noise must fit into a chain of filters");

}  // namespace gantry::dist
