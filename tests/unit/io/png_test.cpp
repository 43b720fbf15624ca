// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/io/png.hpp"

#include "scratch.hpp"

namespace gantry::inline v0::io {
namespace {

std::uint32_t number_at(const std::vector<std::uint8_t>& bytes, std::size_t at) {
  return std::uint32_t{bytes[at]} << 24 | std::uint32_t{bytes[at + 1]} << 16 |
         std::uint32_t{bytes[at + 2]} << 8 | bytes[at + 3];
}

/// Checks every chunk and gives back the picture.
raster decode(const std::vector<std::byte>& file) {
  std::vector<std::uint8_t> bytes(file.size());
  std::memcpy(bytes.data(), file.data(), file.size());
  REQUIRE(std::memcmp(bytes.data(), "\x89PNG\r\n\x1a\n", 8) == 0);
  raster image;
  std::vector<std::uint8_t> packed;
  std::string order;
  for (std::size_t at = 8; at < bytes.size();) {
    const std::uint32_t length = number_at(bytes, at);
    REQUIRE(at + 12 + length <= bytes.size());
    const std::string type(bytes.begin() + long(at) + 4, bytes.begin() + long(at) + 8);
    CHECK(number_at(bytes, at + 8 + length) == ::crc32(0, &bytes[at + 4], length + 4));
    order += type + " ";
    if (type == "IHDR") {
      image.width = static_cast<int>(number_at(bytes, at + 8));
      image.height = static_cast<int>(number_at(bytes, at + 12));
      CHECK(bytes[at + 16] == 8);
      image.channels = bytes[at + 17] == 2 ? 3 : 1;
    } else if (type == "IDAT") {
      packed.assign(&bytes[at + 8], &bytes[at + 8] + length);
    }
    at += 12 + length;
  }
  CHECK(order == "IHDR IDAT IEND ");
  const int row_bytes = image.width * image.channels;
  std::vector<std::uint8_t> rows(static_cast<std::size_t>((row_bytes + 1) * image.height));
  uLongf size = rows.size();
  REQUIRE(::uncompress(rows.data(), &size, packed.data(), packed.size()) == Z_OK);
  REQUIRE(size == rows.size());
  image.pixels.resize(static_cast<std::size_t>(row_bytes * image.height));
  for (int y = 0; y < image.height; ++y) {
    const std::uint8_t* from = rows.data() + y * (row_bytes + 1);
    std::uint8_t* to = image.pixels.data() + y * row_bytes;
    REQUIRE(from[0] <= 2);
    for (int i = 0; i < row_bytes; ++i) {
      const int left = i < image.channels ? 0 : to[i - image.channels];
      const int up = y == 0 ? 0 : to[i - row_bytes];
      to[i] = static_cast<std::uint8_t>(from[i + 1] + (from[0] == 1   ? left
                                                       : from[0] == 2 ? up
                                                                      : 0));
    }
  }
  return image;
}

raster pattern(int width, int height, int channels) {
  raster image{width, height, channels, {}};
  std::uint32_t state = 1;
  for (int y = 0; y < height; ++y) {
    for (int i = 0; i < width * channels; ++i) {
      state = state * 1664525U + 1013904223U;
      // Rows that favour each of the filters: a slope, a copy of the row above, noise.
      const std::size_t above =
          image.pixels.size() - static_cast<std::size_t>(y > 0 ? width * channels : 0);
      const int value = y % 3 == 0   ? 3 * i
                        : y % 3 == 1 ? image.pixels[above]
                                     : static_cast<int>(state >> 24);
      image.pixels.push_back(static_cast<std::uint8_t>(value));
    }
  }
  return image;
}

TEST_CASE("png files decode to the same pixels") {
  for (const int channels : {1, 3}) {
    for (const auto& [width, height] : {std::pair{1, 1}, {1, 7}, {9, 1}, {37, 23}, {300, 200}}) {
      const raster image = pattern(width, height, channels);
      const raster back = decode(encode_png(image));
      CHECK(back.width == width);
      CHECK(back.height == height);
      CHECK(back.channels == channels);
      CHECK(back.pixels == image.pixels);
    }
  }
}

TEST_CASE("png encoding is deterministic and writes atomically") {
  const test::scratch_folder folder;
  const raster image = pattern(16, 16, 3);
  CHECK(encode_png(image) == encode_png(image));
  write_png(folder / "x.png", image);
  CHECK(read_file(folder / "x.png") == encode_png(image));
  CHECK(folder.files() == 1);
}

TEST_CASE("png encoding refuses impossible pictures") {
  CHECK_THROWS_AS(encode_png({0, 1, 1, {}}), usage_error);
  CHECK_THROWS_AS(encode_png({1, -1, 1, {}}), usage_error);
  CHECK_THROWS_AS(encode_png({1, 1, 2, {1, 2}}), usage_error);
  CHECK_THROWS_AS(encode_png({2, 2, 1, {1, 2, 3}}), usage_error);
  CHECK_THROWS_AS(encode_png({1 << 30, 1 << 30, 3, {}}), usage_error);
}

TEST_CASE("to_uint8 rounds, clamps and maps NaN to 0") {
  CHECK(to_uint8(-1.0F) == 0);
  CHECK(to_uint8(1.0F) == 255);
  CHECK(to_uint8(0.0F) == 128);
  CHECK(to_uint8(-1.0F + 0.6F / 127.5F) == 1);
  CHECK(to_uint8(-1.0F + 0.4F / 127.5F) == 0);
  CHECK(to_uint8(-7.0F) == 0);
  CHECK(to_uint8(7.0F) == 255);
  constexpr float infinity = std::numeric_limits<float>::infinity();
  CHECK(to_uint8(infinity) == 255);
  CHECK(to_uint8(-infinity) == 0);
  CHECK(to_uint8(std::numeric_limits<float>::quiet_NaN()) == 0);
  for (int v = 0; v < 256; ++v) CHECK(to_uint8(static_cast<float>(v) / 127.5F - 1.0F) == v);
}

TEST_CASE("image_grid places every pixel") {
  constexpr int n = 5, h = 2, w = 3, zoom = 2, border = 1, columns = 3;
  for (const int c : {1, 3}) {
    std::vector<float> images;
    for (int i = 0; i < n * h * w * c; ++i) images.push_back(static_cast<float>(i) / 127.5F - 1.0F);
    const raster grid = image_grid(images, {.count = n,
                                            .height = h,
                                            .width = w,
                                            .channels = c,
                                            .columns = columns,
                                            .zoom = zoom,
                                            .border = border,
                                            .background = 200});
    REQUIRE(grid.width == columns * (w * zoom + border) + border);
    REQUIRE(grid.height == 2 * (h * zoom + border) + border);
    for (int y = 0; y < grid.height; ++y) {
      for (int x = 0; x < grid.width; ++x) {
        const int cell_y = (y - border) / (h * zoom + border),
                  in_y = (y - border) % (h * zoom + border);
        const int cell_x = (x - border) / (w * zoom + border),
                  in_x = (x - border) % (w * zoom + border);
        const int image = cell_y * columns + cell_x;
        const bool inside =
            y >= border && x >= border && in_y < h * zoom && in_x < w * zoom && image < n;
        for (int k = 0; k < c; ++k) {
          const int expected = inside ? ((image * h + in_y / zoom) * w + in_x / zoom) * c + k : 200;
          CHECK(grid.pixels[static_cast<std::size_t>((y * grid.width + x) * c + k)] == expected);
        }
      }
    }
  }
}

TEST_CASE("image_grid chooses a square and refuses bad options") {
  const std::vector<float> images(10 * 4, 0.0F);
  const raster grid =
      image_grid(images, {.count = 10, .height = 2, .width = 2, .channels = 1, .border = 0});
  CHECK(grid.width == 8);
  CHECK(grid.height == 6);
  CHECK_THROWS_AS(image_grid(images, {.count = 9, .height = 2, .width = 2, .channels = 1}),
                  usage_error);
  CHECK_THROWS_AS(image_grid(images, {.count = 10, .height = 2, .width = 1, .channels = 2}),
                  usage_error);
  CHECK_THROWS_AS(image_grid({}, {.count = 0, .height = 2, .width = 2, .channels = 1}),
                  usage_error);
  CHECK_THROWS_AS(
      image_grid(images, {.count = 10, .height = 2, .width = 2, .channels = 1, .zoom = 0}),
      usage_error);
}

}  // namespace
}  // namespace gantry::io
