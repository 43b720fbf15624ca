// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Penalties on the gradient of a discriminator by its input, for loss::penalised. A penalty of your
// own is a struct like these (concepts/loss.hpp); its gradient by the weights follows from the
// layers' passes. Weights may change with the discriminator's steps (base/schedule.hpp).
#pragma once

#include <cstdint>
#include <string_view>

#include "gantry/base/schedule.hpp"
#include "gantry/concepts/loss.hpp"
#include "gantry/ops/penalty.hpp"

namespace gantry::inline v0::loss {

/// weight E (|dD/dx| - 1)^2 at points between real and generated samples (Gulrajani et al., arXiv
/// 1704.00028, Alg. 1).
struct wgan_gp {
  static constexpr std::string_view name = "wgan_gp";
  static constexpr penalty_point point = penalty_point::interpolates;
  schedule weight{10.0f};
  int every{1};
  static constexpr gradient_norm::distance_from_one function() { return {}; }
  [[nodiscard]] float coefficient(std::int64_t step) const { return weight.at(step); }
  [[nodiscard]] constexpr bool is_on() const { return !weight.always_zero(); }
};

/// gamma / 2 E |dD/dx|^2 at real samples (Mescheder et al., arXiv 1801.04406, eq. 9).
struct r1 {
  static constexpr std::string_view name = "r1";
  static constexpr penalty_point point = penalty_point::real;
  schedule gamma{10.0f};
  int every{1};
  static constexpr gradient_norm::squared function() { return {}; }
  [[nodiscard]] float coefficient(std::int64_t step) const { return gamma.at(step) / 2; }
  [[nodiscard]] constexpr bool is_on() const { return !gamma.always_zero(); }
};

/// gamma / 2 E |dD/dx|^2 at generated samples (arXiv 1801.04406, eq. 10).
struct r2 {
  static constexpr std::string_view name = "r2";
  static constexpr penalty_point point = penalty_point::fake;
  schedule gamma{10.0f};
  int every{1};
  static constexpr gradient_norm::squared function() { return {}; }
  [[nodiscard]] float coefficient(std::int64_t step) const { return gamma.at(step) / 2; }
  [[nodiscard]] constexpr bool is_on() const { return !gamma.always_zero(); }
};

/// weight E |dD/dx|^2 at points between real and generated samples (Thanh-Tung et al., arXiv
/// 1902.03984, eq. 4).
struct zero_centred {
  static constexpr std::string_view name = "zero_centred";
  static constexpr penalty_point point = penalty_point::interpolates;
  schedule weight{10.0f};
  int every{1};
  static constexpr gradient_norm::squared function() { return {}; }
  [[nodiscard]] float coefficient(std::int64_t step) const { return weight.at(step); }
  [[nodiscard]] constexpr bool is_on() const { return !weight.always_zero(); }
};

/// weight E (|dD/dx| - 1)^2 around real samples (Kodali et al., arXiv 1705.07215, eq. 4, noise as
/// in the authors' code).
struct dragan {
  static constexpr std::string_view name = "dragan";
  static constexpr penalty_point point = penalty_point::perturbed;
  schedule weight{10.0f};
  int every{1};
  float radius{0.5f};  ///< of the noise, in standard deviations of the batch
  static constexpr gradient_norm::distance_from_one function() { return {}; }
  [[nodiscard]] float coefficient(std::int64_t step) const { return weight.at(step); }
  [[nodiscard]] constexpr bool is_on() const { return !weight.always_zero(); }
};

}  // namespace gantry::loss
