// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/rng.hpp"
#include "gantry/concepts/dataset.hpp"

namespace gantry::inline v0::data {

/// Parameters of `gaussian_mixture`; the defaults are the ring of 8 on which mode collapse is
/// usually shown (Metz et al., "Unrolled generative adversarial networks", arXiv 1611.02163).
struct gaussian_mixture_config {
  int modes{8};
  float radius{2.0f};
  float sigma{0.02f};
  std::int64_t samples{50'000};  ///< what counts as one epoch; the stream itself never repeats
};

/// Points of the plane around equally spaced, equally likely centres on a circle, as 1 x 1 images
/// of 2 channels, not scaled to [-1, 1]. A point is a pure function of (seed, worker, position).
class gaussian_mixture {
 public:
  /// @throws usage_error for a mode or sample count below 1, or a negative or non-finite extent
  gaussian_mixture(std::uint64_t seed, std::uint32_t worker,
                   const gaussian_mixture_config& config = {})
      : config_(config), seed_(seed), worker_(worker) {
    expects(config.modes >= 1 && config.samples >= 1,
            "a Gaussian mixture needs at least 1 mode and 1 sample; set both to 1 or more");
    expects(std::isfinite(config.radius) && std::isfinite(config.sigma) && config.radius >= 0 &&
                config.sigma >= 0,
            "a Gaussian mixture needs a finite radius and sigma of at least 0; correct them");
    for (int k = 0; k < config.modes; ++k) {
      const double angle = 2.0 * std::numbers::pi * k / config.modes;
      modes_.push_back({static_cast<float>(config.radius * std::cos(angle)),
                        static_cast<float>(config.radius * std::sin(angle))});
    }
  }

  [[nodiscard]] std::int64_t size() const { return config_.samples; }
  [[nodiscard]] const gaussian_mixture_config& config() const { return config_; }
  /// Centres, counter-clockwise from the positive x axis.
  [[nodiscard]] const std::vector<std::array<float, 2>>& modes() const { return modes_; }

  /// Writes [batch][2] coordinates. @throws usage_error if batch < 1 or `out` has another size
  void read(std::uint32_t step, std::span<float> out, int batch) const {
    expects(batch >= 1 && out.size() == 2 * static_cast<std::size_t>(batch),
            "a batch of points needs at least 1 sample and 2 floats per sample; match the "
            "network's input to 1 x 1 x 2");
    const std::uint64_t first = std::uint64_t{step} * static_cast<std::uint64_t>(batch);
    for (std::size_t r = 0; r < out.size() / 2; ++r) {
      const std::uint64_t position = first + r;
      const stream_id id{seed_, static_cast<std::uint32_t>(position >> 32), worker_,
                         purpose::shuffle};
      const philox::block words = philox::at(id, static_cast<std::uint32_t>(position));
      const auto& centre = modes_[std::uint64_t{words[0]} * modes_.size() >> 32];
      const double radius = std::sqrt(-2.0 * std::log(philox::to_unit(words[1])));
      const double angle = 2.0 * std::numbers::pi * philox::to_unit(words[2]);
      out[2 * r] = static_cast<float>(centre[0] + config_.sigma * radius * std::cos(angle));
      out[2 * r + 1] = static_cast<float>(centre[1] + config_.sigma * radius * std::sin(angle));
    }
  }

 private:
  gaussian_mixture_config config_;
  std::uint64_t seed_;
  std::uint32_t worker_;
  std::vector<std::array<float, 2>> modes_;
};

static_assert(BatchSource<gaussian_mixture>, "a Gaussian mixture has to feed a worker");

}  // namespace gantry::data
