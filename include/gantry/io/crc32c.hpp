// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace gantry::inline v0::io {

namespace detail {

inline constexpr std::array<std::uint32_t, 256> crc32c_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t rest = i;
    for (int bit = 0; bit < 8; ++bit) rest = rest >> 1 ^ (rest & 1U ? 0x82F63B78U : 0U);
    table[i] = rest;
  }
  return table;
}();

}  // namespace detail

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4).
constexpr std::uint32_t crc32c(std::span<const std::byte> bytes) {
  std::uint32_t rest = 0xFFFFFFFFU;
  for (const std::byte b : bytes)
    rest = rest >> 8 ^ detail::crc32c_table[(rest ^ std::to_integer<std::uint32_t>(b)) & 0xFFU];
  return ~rest;
}

/// As files of records (TFRecord) store it: turned and shifted, so that the check sum of bytes that
/// hold check sums is no simple one.
constexpr std::uint32_t masked_crc32c(std::span<const std::byte> bytes) {
  const std::uint32_t sum = crc32c(bytes);
  return (sum >> 15 | sum << 17) + 0xA282EAD8U;
}

}  // namespace gantry::io
