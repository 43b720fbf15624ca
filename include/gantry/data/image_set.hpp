// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace gantry::inline v0::data {

/// The two published parts of a data set.
enum class split { train, test };

/// Pixels that a set only looks at, such as those of a mapped file; `owner` keeps them in place.
struct borrowed_pixels {
  std::shared_ptr<const void> owner{};
  std::span<const std::uint8_t> bytes{};
};

/// Images of one size in memory, 8 bits per channel, with one label each or none at all.
struct image_set {
  int height{}, width{}, channels{};
  std::vector<std::uint8_t> pixels;            ///< [n][height][width][channels], unless borrowed
  std::vector<std::uint8_t> labels;            ///< [n], or empty
  std::string name;                            ///< for logs and messages
  std::vector<std::filesystem::path> files{};  ///< where they were read from, if from files
  borrowed_pixels borrowed{};                  ///< in place of `pixels`, where it has any

  /// The images one after the other, [n][height][width][channels], owned or borrowed.
  [[nodiscard]] std::span<const std::uint8_t> all_pixels() const {
    return borrowed.bytes.empty() ? std::span<const std::uint8_t>(pixels) : borrowed.bytes;
  }
  /// Bytes, and later floats, that one image takes.
  [[nodiscard]] std::size_t sample_size() const {
    return static_cast<std::size_t>(height) * static_cast<std::size_t>(width) *
           static_cast<std::size_t>(channels);
  }
  /// Number of images.
  [[nodiscard]] std::size_t size() const {
    return sample_size() == 0 ? 0 : all_pixels().size() / sample_size();
  }
  /// Image i, [height][width][channels]; i < size().
  [[nodiscard]] std::span<const std::uint8_t> image(std::size_t i) const {
    return all_pixels().subspan(i * sample_size(), sample_size());
  }
};

/// What a pixel x becomes for a network: x / 127.5 - 1, so 0 .. 255 fills [-1, 1].
inline constexpr std::array<float, 256> pixel_to_float = [] {
  std::array<float, 256> table{};
  for (std::size_t x = 0; x < table.size(); ++x)
    table[x] = static_cast<float>(static_cast<double>(x) / 127.5 - 1.0);
  return table;
}();

}  // namespace gantry::data
