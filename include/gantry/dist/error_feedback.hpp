// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "gantry/concepts/filter.hpp"
#include "gantry/dist/route_values.hpp"

namespace gantry::inline v0::dist {

/// Adds to each message what the filter took from those before it (Karimireddy, Rebjock, Stich,
/// Jaggi, "Error feedback fixes SignSGD", ICML 2019; for GANs: DQGAN, arXiv 2010.13359):
///   p = x + e,  send C(p),  e <- p - C(p).
/// For streams whose sum matters, such as feedbacks and gradients; not for generated batches. Where
/// p or what arrives of it is not finite, e becomes 0, so that one NaN does not stay for ever.
template <Filter F>
class error_feedback {
 public:
  explicit error_feedback(F filter) : filter_(std::move(filter)), residuals_("residual") {}

  [[nodiscard]] std::size_t wire_size(std::size_t n) const { return filter_.wire_size(n); }

  void encode(const message_route& route, std::span<const float> values, std::span<float> wire) {
    const std::span<float> residual = residuals_.of(route, values.size(), values.size());
    for (std::size_t i = 0; i < values.size(); ++i) residual[i] += values[i];
    filter_.encode(route, residual, wire);
    arrives_.resize(values.size());
    filter_.decode(route, wire, arrives_);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const float left = residual[i] - arrives_[i];
      residual[i] = std::isfinite(left) ? left : 0.0f;
    }
  }
  void decode(const message_route& route, std::span<const float> wire, std::span<float> values) {
    filter_.decode(route, wire, values);
  }

  template <class Visit>
  void visit_values(Visit&& visit) {
    residuals_.visit_values(visit);
    filter_.visit_values(visit);
  }

 private:
  F filter_;
  route_values residuals_;
  std::vector<float> arrives_;
};

}  // namespace gantry::dist
