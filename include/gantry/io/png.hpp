// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// 8-bit PNG files (ISO/IEC 15948) and grids of samples to put into them.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <zlib.h>

#include "gantry/base/error.hpp"
#include "gantry/io/file.hpp"

namespace gantry::inline v0::io {

/// 8-bit pixels, row by row, channels innermost: 1 channel is grey, 3 are red, green, blue.
struct raster {
  int width{};
  int height{};
  int channels{};
  std::vector<std::uint8_t> pixels;
};

/// Assembles the chunks of one PNG file; used through encode_png().
class png_encoder {
 public:
  explicit png_encoder(const raster& image)
      : image_(image), row_bytes_(image.width * image.channels) {}

  std::vector<std::byte> encode() {
    constexpr std::array<std::uint8_t, 8> signature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    put(signature);
    std::vector<std::uint8_t> header;
    put_number(header, static_cast<std::uint32_t>(image_.width));
    put_number(header, static_cast<std::uint32_t>(image_.height));
    const std::uint8_t colour_type = image_.channels == 3 ? 2 : 0;
    header.insert(header.end(), {8, colour_type, 0, 0, 0});
    put_chunk("IHDR", header);
    put_chunk("IDAT", compressed_rows());
    put_chunk("IEND", {});
    return std::move(out_);
  }

 private:
  using bytes = std::vector<std::uint8_t>;

  void put(std::span<const std::uint8_t> from) {
    for (const std::uint8_t b : from) out_.push_back(std::byte{b});
  }

  static void put_number(bytes& to, std::uint32_t number) {
    for (int shift = 24; shift >= 0; shift -= 8)
      to.push_back(static_cast<std::uint8_t>(number >> shift));
  }

  void put_chunk(std::string_view type, std::span<const std::uint8_t> content) {
    bytes chunk;
    put_number(chunk, static_cast<std::uint32_t>(content.size()));
    chunk.insert(chunk.end(), type.begin(), type.end());
    chunk.insert(chunk.end(), content.begin(), content.end());
    put_number(chunk, static_cast<std::uint32_t>(::crc32_z(0, chunk.data() + 4, chunk.size() - 4)));
    put(chunk);
  }

  [[nodiscard]] bytes compressed_rows() const {
    const bytes rows = filtered_rows();
    uLongf size = ::compressBound(static_cast<uLong>(rows.size()));
    bytes packed(size);
    if (::compress2(packed.data(), &size, rows.data(), static_cast<uLong>(rows.size()), 9) !=
        Z_OK) {
      throw error("zlib could not compress a picture; free some memory and try again");
    }
    packed.resize(size);
    return packed;
  }

  /// Each row begins with the number of its filter: none, left or up, whichever leaves the smallest
  /// differences (the heuristic that the PNG specification recommends in 12.8).
  [[nodiscard]] bytes filtered_rows() const {
    bytes rows;
    rows.reserve((static_cast<std::size_t>(row_bytes_) + 1) *
                 static_cast<std::size_t>(image_.height));
    std::array<bytes, 3> tried;
    for (int y = 0; y < image_.height; ++y) {
      std::size_t best = 0;
      long best_cost = std::numeric_limits<long>::max();
      for (std::size_t filter = 0; filter < tried.size(); ++filter) {
        const long cost = filter_row(y, filter, tried[filter]);
        if (cost < best_cost) {
          best_cost = cost;
          best = filter;
        }
      }
      rows.push_back(static_cast<std::uint8_t>(best));
      rows.insert(rows.end(), tried[best].begin(), tried[best].end());
    }
    return rows;
  }

  long filter_row(int y, std::size_t filter, bytes& row) const {
    const std::uint8_t* here = image_.pixels.data() + static_cast<std::ptrdiff_t>(y) * row_bytes_;
    long cost = 0;
    row.resize(static_cast<std::size_t>(row_bytes_));
    for (int i = 0; i < row_bytes_; ++i) {
      const int left = i < image_.channels ? 0 : here[i - image_.channels];
      const int up = y == 0 ? 0 : here[i - row_bytes_];
      const int predicted = filter == 0 ? 0 : filter == 1 ? left : up;
      const auto difference = static_cast<std::uint8_t>(here[i] - predicted);
      row[static_cast<std::size_t>(i)] = difference;
      cost += std::abs(static_cast<std::int8_t>(difference));
    }
    return cost;
  }

  const raster& image_;
  int row_bytes_;
  std::vector<std::byte> out_;
};

/// The bytes of a PNG file. @throws usage_error if the extents are not positive, above 2^30 bytes
/// in all, or do not fit the pixels, or if there are neither 1 nor 3 channels
inline std::vector<std::byte> encode_png(const raster& image) {
  expects(image.channels == 1 || image.channels == 3,
          "a PNG picture needs 1 or 3 channels; convert it");
  const std::int64_t area = std::int64_t{image.width} * image.height;
  expects(image.width > 0 && image.height > 0 && area <= (std::int64_t{1} << 30) / image.channels,
          "a PNG picture needs a width and a height above 0 and at most 2^30 bytes; choose another "
          "size");
  expects(std::cmp_equal(image.pixels.size(), area * image.channels),
          "a PNG picture needs width x height x channels pixel values; correct its extents");
  return png_encoder(image).encode();
}

/// Writes a PNG file atomically. @throws usage_error as encode_png, error if it cannot be written
inline void write_png(const std::filesystem::path& path, const raster& image) {
  write_file_atomic(path, encode_png(image));
}

/// [-1, 1] to 0..255, rounded and clamped; NaN is 0.
inline std::uint8_t to_uint8(float x) {
  const float scaled = (x + 1.0F) * 127.5F;
  if (!(scaled > 0.0F)) return 0;
  return scaled >= 255.0F ? 255 : static_cast<std::uint8_t>(std::lround(scaled));
}

/// What image_grid() arranges, and how. `columns` 0 means as square as possible.
struct grid_options {
  int count{};
  int height{};
  int width{};
  int channels{};
  int columns = 0;
  int zoom = 1;                   ///< each pixel becomes zoom x zoom
  int border = 2;                 ///< pixels between and around the images
  std::uint8_t background = 128;  ///< grey of the border and of places without an image
};

/// Arranges images [count][height][width][channels] with values in [-1, 1] row by row.
/// @throws usage_error if the extents are not positive or do not fit the values
inline raster image_grid(std::span<const float> images, const grid_options& o) {
  expects(
      o.count > 0 && o.height > 0 && o.width > 0 && o.columns >= 0 && o.zoom > 0 && o.border >= 0,
      "an image grid needs positive extents; correct its options");
  expects(o.channels == 1 || o.channels == 3,
          "an image grid needs images of 1 or 3 channels; convert them");
  expects(std::cmp_equal(images.size(), std::int64_t{o.count} * o.height * o.width * o.channels),
          "an image grid needs count x height x width x channels values; correct its options");
  const int square = static_cast<int>(std::ceil(std::sqrt(static_cast<double>(o.count))));
  const int columns = o.columns > 0 ? o.columns : square;
  const int rows = (o.count + columns - 1) / columns;
  const int cell_h = o.height * o.zoom + o.border;
  const int cell_w = o.width * o.zoom + o.border;
  raster grid{columns * cell_w + o.border, rows * cell_h + o.border, o.channels, {}};
  const auto stride = static_cast<std::size_t>(grid.width) * static_cast<std::size_t>(o.channels);
  grid.pixels.assign(stride * static_cast<std::size_t>(grid.height), o.background);
  const auto sample_size =
      static_cast<std::size_t>(o.height) * static_cast<std::size_t>(o.width * o.channels);
  for (int i = 0; i < o.count; ++i) {
    const float* sample = images.data() + static_cast<std::size_t>(i) * sample_size;
    const int top = o.border + i / columns * cell_h;
    const int left = o.border + i % columns * cell_w;
    for (int y = 0; y < o.height * o.zoom; ++y) {
      const float* row = sample + static_cast<std::ptrdiff_t>(y / o.zoom) * o.width * o.channels;
      std::uint8_t* to =
          grid.pixels.data() + static_cast<std::size_t>(top + y) * stride + left * o.channels;
      for (int x = 0; x < o.width * o.zoom; ++x) {
        for (int c = 0; c < o.channels; ++c) *to++ = to_uint8(row[x / o.zoom * o.channels + c]);
      }
    }
  }
  return grid;
}

}  // namespace gantry::io
