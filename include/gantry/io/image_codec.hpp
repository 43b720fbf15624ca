// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Which functions decode the image files of strangers. Readers of folders and archives take them as
// values, so that none of these headers needs libpng or libjpeg.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "gantry/concepts/image_source.hpp"
#include "gantry/io/refuse.hpp"

namespace gantry::inline v0::io {

/// Decodes the contents of one image file into 1 or 3 channels of 8 bits. `name` stands in
/// messages; a header that announces more than `most_pixels` is refused before memory is taken.
/// Throws data_error for what is damaged or of another kind.
using image_decoder = void (*)(std::span<const std::uint8_t> file, const std::string& name,
                               std::int64_t most_pixels, image8& out);

/// Image files above this are refused before they are read.
inline constexpr std::uint64_t most_image_bytes = std::uint64_t{1} << 30;

/// The decoders of a program; null for a kind that it was built without.
struct image_codecs {
  image_decoder png{}, jpeg{};
  /// Images above this are taken for decompression bombs (8192 x 8192).
  std::int64_t most_pixels = std::int64_t{1} << 26;
};

enum class image_kind { unknown, png, jpeg };

/// Kind of an image file by its first bytes.
inline image_kind kind_of_image(std::span<const std::uint8_t> file) {
  constexpr std::array<std::uint8_t, 8> png{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  constexpr std::array<std::uint8_t, 3> jpeg{0xFF, 0xD8, 0xFF};
  const auto begins = [&](std::span<const std::uint8_t> magic) {
    return file.size() >= magic.size() && std::ranges::equal(magic, file.first(magic.size()));
  };
  return begins(png) ? image_kind::png : begins(jpeg) ? image_kind::jpeg : image_kind::unknown;
}

/// Kind that a file name promises by its ending, in small or capital letters.
inline image_kind kind_of_name(std::string name) {
  std::ranges::transform(name, name.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  if (name.ends_with(".png")) return image_kind::png;
  return name.ends_with(".jpg") || name.ends_with(".jpeg") ? image_kind::jpeg : image_kind::unknown;
}

/// Decodes by what the bytes are, whatever the name says.
/// @throws data_error if they are no image, a damaged one, or this program cannot read the kind
inline void decode_image(const image_codecs& codecs, std::span<const std::uint8_t> file,
                         const std::string& name, image8& out) {
  const image_kind kind = kind_of_image(file);
  if (kind == image_kind::unknown)
    refuse_file(name, "a PNG or JPEG image", file.empty() ? "an empty file" : "other contents",
                "remove it or convert it");
  const bool png = kind == image_kind::png;
  const image_decoder decoder = png ? codecs.png : codecs.jpeg;
  if (decoder == nullptr)
    refuse_file(
        name, "an image that this program can read",
        std::string("a ") + (png ? "PNG" : "JPEG") + " file, which it was built without",
        png ? "install libpng-dev and build again" : "install libjpeg62-turbo-dev and build again");
  decoder(file, name, codecs.most_pixels, out);
}

}  // namespace gantry::io
