// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/filter.hpp"

namespace gantry::inline v0::dist {

/// Sends the values of largest magnitude, each with its index; the others arrive as 0. NaN counts
/// as larger than all else, so it arrives. Of equals the first is sent. Without error_feedback the
/// rest is lost (Stich, Cordonnier, Jaggi, "Sparsified SGD with memory", NeurIPS 2018).
class top_k {
 public:
  /// Sends this part of the values, at least one. @throws usage_error unless in (0, 1]
  explicit top_k(double fraction) : fraction_(fraction) {
    expects(fraction > 0 && fraction <= 1,
            "top_k sends a part of the values; give a fraction above 0 and up to 1");
  }

  /// Values that are sent out of n.
  [[nodiscard]] std::size_t kept(std::size_t n) const {
    return std::min(n, static_cast<std::size_t>(std::ceil(fraction_ * static_cast<double>(n))));
  }
  [[nodiscard]] std::size_t wire_size(std::size_t n) const { return 2 * kept(n); }

  void encode(const message_route&, std::span<const float> values, std::span<float> wire) {
    const std::size_t k = kept(values.size());
    order_.resize(values.size());
    std::iota(order_.begin(), order_.end(), 0u);
    // Magnitudes are in the order of their bits, NaN behind infinity.
    const auto magnitude = [&](std::uint32_t i) {
      return std::bit_cast<std::uint32_t>(values[i]) & 0x7FFFFFFFu;
    };
    const auto middle = order_.begin() + static_cast<std::ptrdiff_t>(k);
    std::nth_element(order_.begin(), middle, order_.end(), [&](std::uint32_t a, std::uint32_t b) {
      return magnitude(a) != magnitude(b) ? magnitude(a) > magnitude(b) : a < b;
    });
    std::sort(order_.begin(), middle);
    for (std::size_t i = 0; i < k; ++i) {
      wire[i] = std::bit_cast<float>(order_[i]);
      wire[k + i] = values[order_[i]];
    }
  }

  /// @throws error for an index that cannot be
  void decode(const message_route& route, std::span<const float> wire,
              std::span<float> values) const {
    const std::size_t k = kept(values.size());
    std::ranges::fill(values, 0.0f);
    for (std::size_t i = 0; i < k; ++i) {
      const auto index = std::bit_cast<std::uint32_t>(wire[i]);
      if (index >= values.size())
        throw error("the top_k message of rank " + std::to_string(route.from) +
                    " was expected to hold indices below " + std::to_string(values.size()) +
                    " and holds " + std::to_string(index) +
                    "; make both ends filter the same messages");
      values[index] = wire[k + i];
    }
  }

  template <class Visit>
  void visit_values(Visit&&) const {}

 private:
  double fraction_;
  std::vector<std::uint32_t> order_;
};

static_assert(Filter<top_k>, "top_k must be a filter");

}  // namespace gantry::dist
