// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/data/image_fitter.hpp"
#include "gantry/data/packed.hpp"
#include "gantry/io/sha256.hpp"
#include "gantry/train/pack_images.hpp"

#include "support/scratch_folder.hpp"

namespace fs = std::filesystem;
using namespace gantry;

namespace {

/// Plain pictures of different sizes, whose colour tells which they are.
struct plain_pictures {
  std::size_t count{40}, labels{3}, damaged{~std::size_t{0}};

  [[nodiscard]] std::size_t size() const { return count; }
  [[nodiscard]] std::size_t classes() const { return labels; }
  [[nodiscard]] std::uint16_t label(std::size_t i) const {
    return static_cast<std::uint16_t>(labels == 0 ? 0 : i % labels);
  }
  [[nodiscard]] std::string class_name(std::size_t c) const { return "class " + std::to_string(c); }
  [[nodiscard]] std::string name(std::size_t i) const { return std::to_string(i) + ".jpg"; }
  void decode(std::size_t i, image8& out) const {
    std::this_thread::sleep_for(std::chrono::microseconds(i * 37 % 300));
    if (i >= damaged) throw data_error(name(i) + ": expected an image, found noise; remove it");
    out = {static_cast<int>(5 + i % 7), static_cast<int>(4 + i % 5), i % 2 == 0 ? 1 : 3, {}};
    out.pixels.assign(static_cast<std::size_t>(out.height * out.width * out.channels), value(i));
  }
  static std::uint8_t value(std::size_t i) { return static_cast<std::uint8_t>(3 * i + 1); }
};
static_assert(ImageSource<plain_pictures>);

}  // namespace

TEST_CASE("packing images: every image at its place, the same file for any number of threads") {
  const gantry::test::scratch_folder f;
  std::string first;
  for (const int threads : {1, 2, 5}) {
    const fs::path file = f.path() / (std::to_string(threads) + ".gpack");
    std::size_t last = 0;
    const auto report =
        train::pack_images(plain_pictures{}, data::image_fitter{}, file, {},
                           {.image = {4, 6, 3},
                            .queue = {.threads = threads},
                            .on_progress = [&](std::size_t done, const data::prefetch_counters& c) {
                              CHECK(done == last + 1);
                              CHECK(c.taken == done);
                              last = done;
                            }});
    CHECK(last == 40);
    CHECK(report.images == 40);
    CHECK(report.classes == 3);
    CHECK(report.decoding.threads == threads);
    const data::packed_images packed = data::open_packed(file);
    CHECK(packed.contents() == report.contents);
    CHECK(packed.class_names[2] == "class 2");
    for (std::size_t i = 0; i < 40; ++i) {
      CHECK(std::ranges::count(packed.images->image(i), plain_pictures::value(i)) == 72);
      CHECK(packed.images->labels[i] == i % 3);
    }
    const std::string hash = io::sha256_file(file);
    if (first.empty()) first = hash;
    CHECK(hash == first);
  }
}

TEST_CASE("packing images: no labels, and more classes than a byte has") {
  const gantry::test::scratch_folder f;
  for (const std::size_t classes : {std::size_t{0}, std::size_t{257}}) {
    const auto report = train::pack_images(plain_pictures{.labels = classes}, data::image_fitter{},
                                           f.path() / "a.gpack", {}, {.image = {2, 2, 1}});
    CHECK(report.classes == 0);
    CHECK(data::open_packed(f.path() / "a.gpack").images->labels.empty());
  }
}

TEST_CASE("packing images: the first damaged one is named and no file is left") {
  const gantry::test::scratch_folder f;
  CHECK_THROWS_WITH_AS((void)train::pack_images(plain_pictures{.damaged = 17}, data::image_fitter{},
                                                f.path() / "a.gpack", {},
                                                {.image = {2, 2, 1}, .queue = {.threads = 4}}),
                       "17.jpg: expected an image, found noise; remove it", data_error);
  CHECK(fs::is_empty(f.path()));
}

TEST_CASE("fitting an image: crop, grey and colour") {
  // Columns 0 .. 5 of red, green, blue twice: the middle of a wide image is columns 2 and 3.
  image8 wide{2, 6, 3, {}};
  for (int y = 0; y < 2; ++y)
    for (int x = 0; x < 6; ++x)
      for (int c = 0; c < 3; ++c) wide.pixels.push_back(x % 3 == c ? 255 : 0);
  std::vector<std::uint8_t> out(2 * 2 * 3);
  data::image_fitter{}(wide, {2, 2, 3}, out);
  const std::vector<std::uint8_t> blue_red{0, 0, 255, 255, 0, 0};
  CHECK(std::equal(blue_red.begin(), blue_red.end(), out.begin()));
  CHECK(std::equal(blue_red.begin(), blue_red.end(), out.begin() + 6));
  out.resize(4);
  data::image_fitter{}(wide, {2, 2, 1}, out);
  CHECK(out == std::vector<std::uint8_t>{29, 76, 29, 76});  // Pillow's L of blue and red
  out.resize(2 * 6 * 3);
  data::image_fitter{.crop = data::crop_rule::none}(wide, {2, 6, 3}, out);
  CHECK(out == wide.pixels);
  const image8 grey{1, 1, 1, {77}};
  out.resize(12);
  data::image_fitter{}(grey, {2, 2, 3}, out);
  CHECK(out == std::vector<std::uint8_t>(12, 77));
  CHECK_THROWS_AS(data::image_fitter{}(grey, {2, 2, 1}, out), usage_error);
  CHECK_THROWS_AS((void)data::parse_crop_rule("center"), usage_error);
  CHECK(data::parse_crop_rule("none") == data::crop_rule::none);
  // A sliver: the crop keeps at least one pixel.
  out.resize(4);
  image8 line{1, 900, 1, std::vector<std::uint8_t>(900, 5)};
  data::image_fitter{}(line, {1, 4, 1}, out);
  data::image_fitter{}(line, {4, 1, 1}, out);
  CHECK(out == std::vector<std::uint8_t>(4, 5));
}
