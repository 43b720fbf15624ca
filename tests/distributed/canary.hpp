// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Private images whose bytes are in no message by chance, and the search for them.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

namespace gantry::canary {

/// The bytes of a private image, and the constant one of every other sample: as files and programs
/// hold them, 0 to 255.
constexpr std::array<std::uint8_t, 8> pattern{0x5B, 0xC7, 0x1E, 0x93, 0x68, 0xE2, 0x2D, 0xB4};
constexpr std::uint8_t constant = 0xA7;

inline float scaled(std::uint8_t byte) { return static_cast<float>(byte) / 127.5f - 1.0f; }

/// Samples of every worker, as every::run_settings::draw wants them.
inline void draw(int, std::uint32_t, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = scaled(i / pattern.size() % 2 == 0 ? pattern[i % pattern.size()] : constant);
}

/// Runs of bytes that are in no message by chance: three neighbouring values of the pattern, or of
/// the constant image, in each way to write them.
inline std::vector<std::vector<std::uint8_t>> needles() {
  std::vector<std::vector<std::uint8_t>> all;
  const auto add = [&](std::span<const std::uint8_t> bytes) {
    for (const auto& write : {+[](std::uint8_t v) { return scaled(v); },
                              +[](std::uint8_t v) { return static_cast<float>(v) / 255.0f; },
                              +[](std::uint8_t v) { return static_cast<float>(v); }}) {
      std::vector<std::uint8_t> floats;
      for (const std::uint8_t v : bytes) {
        const auto parts = std::bit_cast<std::array<std::uint8_t, 4>>(write(v));
        floats.insert(floats.end(), parts.begin(), parts.end());
      }
      all.push_back(floats);
    }
  };
  for (std::size_t i = 0; i + 3 <= pattern.size(); ++i) add(std::span(pattern).subspan(i, 3));
  add(std::array{constant, constant, constant});
  // Three bytes alone may be there by chance, those of a whole image are not.
  all.emplace_back(pattern.begin(), pattern.end());
  all.emplace_back(pattern.size(), constant);
  return all;
}

inline bool is_in(std::span<const float> message) {
  static const auto all = needles();
  const auto* first = reinterpret_cast<const std::uint8_t*>(message.data());
  const auto* last = first + message.size_bytes();
  return std::ranges::any_of(all, [&](const auto& needle) {
    return std::search(first, last, needle.begin(), needle.end()) != last;
  });
}

}  // namespace gantry::canary
