// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Fewer bits per value. Both round to nearest, which is biased; error_feedback makes up for it.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "gantry/base/error.hpp"
#include "gantry/concepts/filter.hpp"

namespace gantry::inline v0::dist {

/// A byte per value and a float per block: x becomes round(x / s) with s = max |x| / 127 over the
/// finite values of its block. NaN and infinities have a code of their own and arrive as NaN.
class int8_blocks {
 public:
  /// @throws usage_error if block < 1
  explicit int8_blocks(int block = 64) : block_(static_cast<std::size_t>(std::max(block, 0))) {
    expects(block >= 1, "the blocks of int8_blocks must have at least one value");
  }

  [[nodiscard]] std::size_t wire_size(std::size_t n) const { return blocks(n) + (n + 3) / 4; }

  void encode(const message_route&, std::span<const float> values, std::span<float> wire) const {
    std::ranges::fill(wire, 0.0f);  // the bytes behind the last code
    const std::span<std::byte> codes = std::as_writable_bytes(wire.subspan(blocks(values.size())));
    for (std::size_t first = 0; first < values.size(); first += block_) {
      const auto block = values.subspan(first, std::min(block_, values.size() - first));
      float largest = 0;
      for (const float x : block)
        if (std::isfinite(x)) largest = std::max(largest, std::abs(x));
      const float scale = largest / 127;
      wire[first / block_] = scale;
      for (std::size_t i = 0; i < block.size(); ++i)
        codes[first + i] = static_cast<std::byte>(code(block[i], scale));
    }
  }

  void decode(const message_route&, std::span<const float> wire, std::span<float> values) const {
    const auto codes = std::as_bytes(wire.subspan(blocks(values.size())));
    constexpr float most = std::numeric_limits<float>::max();
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto c = static_cast<std::int8_t>(codes[i]);
      // 127 (max / 127) may round to infinity.
      const float x = std::clamp(static_cast<float>(c) * wire[i / block_], -most, most);
      values[i] = c == not_finite ? std::numeric_limits<float>::quiet_NaN() : x;
    }
  }

  template <class Visit>
  void visit_values(Visit&&) const {}

 private:
  static constexpr std::int8_t not_finite = -128;
  [[nodiscard]] std::size_t blocks(std::size_t n) const { return (n + block_ - 1) / block_; }
  /// A scale of 0 has only values next to 0.
  static std::int8_t code(float x, float scale) {
    if (!std::isfinite(x)) return not_finite;
    return scale > 0
               ? static_cast<std::int8_t>(std::clamp(std::nearbyint(x / scale), -127.0f, 127.0f))
               : std::int8_t{0};
  }

  std::size_t block_;
};

/// The upper half of each float, rounded to nearest even: 8 bits of precision, the range of float.
/// NaN and infinities stay what they are; a finite number stays finite.
struct bf16 {
  [[nodiscard]] constexpr std::size_t wire_size(std::size_t n) const { return (n + 1) / 2; }

  void encode(const message_route&, std::span<const float> values, std::span<float> wire) const {
    std::ranges::fill(wire, 0.0f);
    const std::span<std::byte> halves = std::as_writable_bytes(wire);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::uint16_t h = half(values[i]);
      halves[2 * i] = static_cast<std::byte>(h & 0xFF);
      halves[2 * i + 1] = static_cast<std::byte>(h >> 8);
    }
  }

  void decode(const message_route&, std::span<const float> wire, std::span<float> values) const {
    const auto halves = std::as_bytes(wire);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = std::bit_cast<float>(std::to_integer<std::uint32_t>(halves[2 * i]) << 16 |
                                       std::to_integer<std::uint32_t>(halves[2 * i + 1]) << 24);
  }

  template <class Visit>
  void visit_values(Visit&&) const {}

 private:
  static std::uint16_t half(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const auto upper = static_cast<std::uint16_t>(bits >> 16);
    if (std::isnan(x)) return upper | 0x40;  // a NaN whose payload is in the lower half stays one
    if (std::isinf(x)) return upper;
    const std::uint32_t rounded = bits + 0x7FFF + (upper & 1);
    const auto result = static_cast<std::uint16_t>(rounded >> 16);
    return (result & 0x7F80) == 0x7F80 ? upper : result;
  }
};

static_assert(Filter<int8_blocks> && Filter<bf16>, "quantisers must be filters");

}  // namespace gantry::dist
