// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// IDX, the format of MNIST and its relatives: a big-endian magic number, the extents, the bytes.
// Files may be gzip. Sizes in a header are believed only as far as the file has bytes for them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/data/byte_reader.hpp"
#include "gantry/data/image_set.hpp"

namespace gantry::inline v0::data {

/// Images as they are in an IDX file.
struct idx_images {
  std::uint32_t count{};
  int height{}, width{};
  std::vector<std::uint8_t> pixels;  ///< [count][height][width]
};

/// What a caller knows about a data set; files that disagree are refused. 0 accepts any extent.
struct idx_rules {
  std::uint32_t height{}, width{};
  std::uint32_t classes{256};  ///< labels are below this
};

namespace detail {

inline constexpr std::uint32_t idx_image_magic = 0x00000803, idx_label_magic = 0x00000801;

inline std::string hex(std::uint32_t value) {
  std::string text = "0x00000000";
  for (std::size_t i = text.size(); value != 0; value >>= 4)
    text[--i] = "0123456789abcdef"[value & 15];
  return text;
}

inline std::string extents(std::uint32_t height, std::uint32_t width) {
  return std::to_string(height) + " x " + std::to_string(width);
}

/// Reads `Words` big-endian words of which the first has to be `magic`.
template <std::size_t Words>
std::array<std::uint32_t, Words> read_idx_header(byte_reader& in, std::uint32_t magic) {
  const bool images = magic == idx_image_magic;
  std::array<std::uint8_t, 4 * Words> bytes{};
  const std::size_t got = in.read(bytes);
  std::array<std::uint32_t, Words> words{};
  for (std::size_t i = 0; i < bytes.size(); ++i) words[i / 4] = words[i / 4] << 8 | bytes[i];
  if (got >= 4 && words[0] != magic) {
    const bool exchanged = words[0] == (images ? idx_label_magic : idx_image_magic);
    refuse(in.file(), "magic number " + hex(magic) + (images ? " of IDX images" : " of IDX labels"),
           hex(words[0]),
           exchanged ? "the image and the label file seem to be exchanged"
                     : "check that this is an IDX file and download it again");
  }
  if (got < bytes.size())
    refuse(in.file(), "an IDX header of " + std::to_string(bytes.size()) + " bytes",
           "only " + std::to_string(got), "download it again");
  return words;
}

/// Reads the `size` bytes that a header announces as `what`, and checks that nothing follows them.
/// Grows with what really comes, so a false header cannot make it allocate.
inline std::vector<std::uint8_t> read_idx_body(byte_reader& in, std::uint64_t size,
                                               const std::string& what) {
  const std::string expected = what + " (" + std::to_string(size) + " bytes after the header)";
  if (size > in.upper_bound())
    refuse(in.file(), expected, "a file too small for them", "download it again");
  std::vector<std::uint8_t> body;
  while (body.size() < size) {
    const std::size_t done = body.size();
    const std::uint64_t next = std::max<std::uint64_t>(2 * done, 1 << 16);
    body.resize(static_cast<std::size_t>(std::min(size, next)));
    const std::size_t got = in.read(std::span(body).subspan(done));
    if (done + got < body.size())
      refuse(in.file(), expected, "only " + std::to_string(done + got), "download it again");
  }
  std::array<std::uint8_t, 1> beyond{};
  if (in.read(beyond) != 0)
    refuse(in.file(), expected, "more bytes after them", "download it again");
  return body;
}

}  // namespace detail

/// Reads images (magic 0x00000803), plain or gzip.
/// @throws data_error if the file is damaged, of another kind or against the rules
inline idx_images read_idx_images(byte_reader& in, const idx_rules& rules = {}) {
  const std::filesystem::path& file = in.file();
  const auto [magic, count, height, width] =
      detail::read_idx_header<4>(in, detail::idx_image_magic);
  const std::uint32_t rule_height = rules.height == 0 ? height : rules.height;
  const std::uint32_t rule_width = rules.width == 0 ? width : rules.width;
  if (height != rule_height || width != rule_width)
    refuse(file, "images of " + detail::extents(rule_height, rule_width),
           detail::extents(height, width), "use the files of the data set that was asked for");
  constexpr std::uint32_t largest = 1 << 16;  // count * height * width stays within 64 bits
  if (count == 0 || height == 0 || width == 0 || height > largest || width > largest / 2)
    refuse(file, "at least one image of 1 x 1 to 65536 x 32768",
           std::to_string(count) + " images of " + detail::extents(height, width),
           "download it again");
  const std::string what = std::to_string(count) + " images of " + detail::extents(height, width);
  return {count, static_cast<int>(height), static_cast<int>(width),
          detail::read_idx_body(in, std::uint64_t{count} * height * width, what)};
}

/// The same of a file. @throws data_error as above, and if it is missing
inline idx_images read_idx_images(const std::filesystem::path& file, const idx_rules& rules = {}) {
  byte_reader in(file);
  return read_idx_images(in, rules);
}

/// Reads labels (magic 0x00000801), plain or gzip.
/// @throws data_error if the file is damaged, of another kind or against the rules
inline std::vector<std::uint8_t> read_idx_labels(byte_reader& in, const idx_rules& rules = {}) {
  const auto [magic, count] = detail::read_idx_header<2>(in, detail::idx_label_magic);
  std::vector<std::uint8_t> labels =
      detail::read_idx_body(in, count, std::to_string(count) + " labels");
  const auto bad = std::find_if(labels.begin(), labels.end(),
                                [&](std::uint8_t label) { return label >= rules.classes; });
  if (bad != labels.end())
    refuse(in.file(), "labels below " + std::to_string(rules.classes),
           std::to_string(*bad) + " at position " + std::to_string(bad - labels.begin()),
           "use the label file that belongs to this data set");
  return labels;
}

/// The same of a file. @throws data_error as above, and if it is missing
inline std::vector<std::uint8_t> read_idx_labels(const std::filesystem::path& file,
                                                 const idx_rules& rules = {}) {
  byte_reader in(file);
  return read_idx_labels(in, rules);
}

/// Reads grey images and their labels. @throws data_error as above, and if the counts differ
inline image_set read_idx_set(const std::filesystem::path& images_file,
                              const std::filesystem::path& labels_file, std::string name,
                              const idx_rules& rules = {}) {
  // Labels first: they are small, so a wrong pair is refused before the pixels are read in vain.
  std::vector<std::uint8_t> labels = read_idx_labels(labels_file, rules);
  idx_images images = read_idx_images(images_file, rules);
  if (labels.size() != images.count)
    refuse(labels_file,
           std::to_string(images.count) + " labels, one per image of " + images_file.string(),
           std::to_string(labels.size()), "use the two files of the same split");
  return {images.height,
          images.width,
          1,
          std::move(images.pixels),
          std::move(labels),
          std::move(name),
          {images_file, labels_file}};
}

}  // namespace gantry::data
