// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// PNG and JPEG against Pillow (tests/golden/make_images.py wrote the archive), and damaged files.
#include <cstdlib>
#include <filesystem>

#include <doctest/doctest.h>

#include "gantry/io/image_codec.hpp"
#include "gantry/io/installed_codecs.hpp"
#include "gantry/io/npy_header.hpp"
#include "gantry/io/zip.hpp"

#include "archive_files.hpp"

namespace gantry::inline v0::io {
namespace {

using namespace test;

const zip_archive& archive() {
  static const zip_archive opened(
      random_reader(std::filesystem::path(GANTRY_SOURCE_DIR) / "tests/golden/images.zip"));
  return opened;
}
bytes file(const std::string& name) { return archive().read(*archive().find(name), 1 << 26); }

/// False, and a note, where the decoder of a file is not built in.
bool can_read(const std::string& name) {
  const bool png = kind_of_name(name) == image_kind::png;
  const bool built = (png ? installed_codecs.png : installed_codecs.jpeg) != nullptr;
  if (!built) MESSAGE("skipped: " << name << ", built without its library");
  return built;
}
std::string refusal(const bytes& contents, std::int64_t most_pixels = 1 << 20) {
  return message_of<data_error>([&] {
    image_codecs codecs = installed_codecs;
    codecs.most_pixels = most_pixels;
    image8 out;
    decode_image(codecs, contents, "some.file", out);
  });
}
std::uint32_t crc_of(const bytes& b) {
  return static_cast<std::uint32_t>(crc32_z(0, b.data(), b.size()));
}
bytes big_endian(std::uint32_t value) {
  return {static_cast<std::uint8_t>(value >> 24), static_cast<std::uint8_t>(value >> 16),
          static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
}
/// The PNG with other extents in its header, whose check sum is right.
bytes with_extents(bytes png, std::uint32_t width, std::uint32_t height) {
  put(png, 16, big_endian(width) + big_endian(height));
  put(png, 29, big_endian(crc_of({png.begin() + 12, png.begin() + 29})));
  return png;
}

TEST_CASE("decode_image: every kind of file as Pillow reads it") {
  int compared = 0;
  for (const zip_entry& entry : archive().entries()) {
    const zip_entry* pixels = archive().find(entry.name + ".npy");
    if (pixels == nullptr || !can_read(entry.name)) continue;
    CAPTURE(entry.name);
    const random_reader in(archive().read(*pixels, 1 << 26), "pixels");
    const npy_header header = read_npy_header(in, 0, in.size(), "pixels");
    const bytes expected = in.read(header.data, header.count);
    image8 out;
    decode_image(installed_codecs, archive().read(entry, 1 << 26), entry.name, out);
    CHECK(out.height == 20);
    CHECK(out.width == 27);
    CHECK(std::cmp_equal(out.channels, header.shape[2]));
    REQUIRE(out.pixels.size() == expected.size());
    // Other versions of libjpeg may round in another way.
    const int most = kind_of_name(entry.name) == image_kind::jpeg ? 2 : 0;
    int difference = 0;
    for (std::size_t i = 0; i < expected.size(); ++i)
      difference = std::max(difference, std::abs(int{out.pixels[i]} - int{expected[i]}));
    CHECK(difference <= most);
    ++compared;
  }
  MESSAGE(compared << " files compared");
}

TEST_CASE("decode_png: cut, changed and oversized files are refused") {
  if (!can_read("x.png")) return;
  const bytes good = file("colour.png");
  CHECK(refusal(good) == "[no error]");
  for (std::size_t n = 0; n < good.size(); ++n) REQUIRE(says(refusal(cut(good, n)), {"some.file"}));
  bytes changed = good;
  changed[100] ^= 0x40;
  CHECK(says(refusal(changed), {"an intact PNG file", "damage (", "copy it again"}));
  CHECK(says(refusal(with_extents(good, 0, 20)), {"an intact PNG file"}));
  CHECK(says(refusal(with_extents(good, 0x80000000, 20)), {"an intact PNG file"}));
  CHECK(says(refusal(with_extents(good, 27, 21)), {"an intact PNG file"}));
  CHECK(says(refusal(with_extents(good, 2000, 2000)), {"at most 1048576 pixels", "2000 x 2000"}));
  CHECK(says(refusal(with_extents(good, 0x7FFFFFFF, 0x7FFFFFFF)), {"at most 1048576 pixels"}));
  // 1000 x 1000 x 3 bytes cannot come out of 1.5 kB of deflate data.
  CHECK(says(refusal(with_extents(good, 1000, 1000)), {"data for 1000 x 1000", "bytes of file"}));
  CHECK(says(refusal(cut(good, 8) + bytes(200, 0xFF)), {"an intact PNG file"}));
  CHECK(says(refusal(file("palette.png"), 539), {"at most 539 pixels"}));
}

TEST_CASE("decode_jpeg: cut, changed and oversized files are refused") {
  if (!can_read("x.jpg")) return;
  for (const char* name : {"colour.jpg", "progressive.jpg", "grey.JPG"}) {
    CAPTURE(name);
    const bytes good = file(name);
    CHECK(refusal(good) == "[no error]");
    for (std::size_t n = 0; n + 2 < good.size(); ++n)
      REQUIRE(says(refusal(cut(good, n)), {"some.file"}));
    for (std::size_t at = 2; at < good.size(); at += 7) {
      bytes changed = good;
      changed[at] ^= 0x5A;
      const std::string said = refusal(changed);  // or other pixels: JPEG has no check sums
      REQUIRE((said == "[no error]" || says(said, {"some.file"})));
    }
    CHECK(says(refusal(good, 539), {"at most 539 pixels", "27 x 20"}));
  }
  CHECK(says(refusal(file("cmyk.jpg")), {"a grey or RGB JPEG image", "CMYK", "convert it"}));
  CHECK(says(refusal(bytes{0xFF, 0xD8, 0xFF} + bytes(100, 'x')), {"an intact JPEG file"}));
}

TEST_CASE("decode_jpeg: a file of very many scans is refused") {
  if (!can_read("x.jpg")) return;
  const bytes good = file("progressive.jpg");
  std::size_t last = 0;
  for (std::size_t i = 0; i + 1 < good.size(); ++i)
    if (good[i] == 0xFF && good[i + 1] == 0xDA) last = i;
  const bytes scan(good.begin() + static_cast<std::ptrdiff_t>(last), good.end() - 2);
  bytes many(good.begin(), good.end() - 2);
  for (int i = 0; i < 200; ++i) many = many + scan;
  CHECK(says(refusal(many + bytes{0xFF, 0xD9}), {"an intact JPEG file", "damage ("}));
}

}  // namespace
}  // namespace gantry::io
