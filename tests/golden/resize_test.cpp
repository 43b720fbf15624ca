// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Resizing against Pillow: make_resize.py wrote the file.
#include <cstdlib>
#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#include "gantry/data/fit_images.hpp"
#include "gantry/io/npy_header.hpp"
#include "gantry/io/zip.hpp"

using namespace gantry;

namespace {

/// The array of this name as an image.
image8 image_of(const io::zip_archive& archive, const std::string& name) {
  const io::zip_entry* entry = archive.find(name + ".npy");
  REQUIRE_MESSAGE(entry != nullptr, name);
  const io::random_reader in(archive.read(*entry, 1 << 26), name);
  const io::npy_header header = io::read_npy_header(in, 0, in.size(), name);
  return {static_cast<int>(header.shape[0]), static_cast<int>(header.shape[1]),
          header.shape.size() == 3 ? 3 : 1, in.read(header.data, header.count)};
}

/// Largest difference of two images of the same extents.
int difference(const image8& a, const image8& b) {
  REQUIRE(a.height == b.height);
  REQUIRE(a.width == b.width);
  REQUIRE(a.channels == b.channels);
  REQUIRE(a.pixels.size() == b.pixels.size());
  int most = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i)
    most = std::max(most, std::abs(int{a.pixels[i]} - int{b.pixels[i]}));
  return most;
}

}  // namespace

TEST_CASE("resize: every filter to one grey level as Pillow") {
  const io::zip_archive archive(
      io::random_reader(std::filesystem::path(GANTRY_SOURCE_DIR) / "tests/golden/resize.npz"));
  int compared = 0;
  for (const std::string image : {"colour", "grey"}) {
    const image8 from = image_of(archive, image);
    for (const std::string filter : {"box", "bilinear", "bicubic", "lanczos"})
      for (const io::zip_entry& entry : archive.entries()) {
        const std::string start = image + "_" + filter + "_";
        if (!entry.name.starts_with(start)) continue;
        const image8 expected = image_of(archive, entry.name.substr(0, entry.name.size() - 4));
        CAPTURE(entry.name);
        const image8 resized =
            data::resize(from, expected.height, expected.width, data::parse_resize_filter(filter));
        CHECK(difference(resized, expected) <= 1);
        ++compared;
      }
  }
  CHECK(compared == 56);
}

TEST_CASE("to_channels: grey as Pillow") {
  const io::zip_archive archive(
      io::random_reader(std::filesystem::path(GANTRY_SOURCE_DIR) / "tests/golden/resize.npz"));
  CHECK(data::to_channels(image_of(archive, "colour"), 1) == image_of(archive, "colour_L"));
}
