// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What the golden file of tests/golden/resize_test.cpp does not say.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/data/fit_images.hpp"

using namespace gantry;
using namespace gantry::data;

namespace {

/// Pixel (y, x) has the value 10 y + x in each channel.
image8 coordinates(int height, int width, int channels) {
  image8 image{height, width, channels, {}};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < channels; ++c)
        image.pixels.push_back(static_cast<std::uint8_t>(10 * y + x));
  return image;
}

struct one_image {
  image8 image;
  [[nodiscard]] std::size_t size() const { return 1; }
  [[nodiscard]] std::size_t classes() const { return 3; }
  [[nodiscard]] std::uint16_t label(std::size_t) const { return 2; }
  [[nodiscard]] std::string class_name(std::size_t c) const { return "class " + std::to_string(c); }
  [[nodiscard]] std::string name(std::size_t) const { return "the image"; }
  void decode(std::size_t, image8& out) const { out = image; }
};

}  // namespace

TEST_CASE("resize: the same extents are a copy, a constant stays, refusals") {
  const image8 image = coordinates(5, 7, 3);
  CHECK(resize(image, 5, 7, resize_filter::lanczos) == image);
  const image8 flat{9, 4, 1, std::vector<std::uint8_t>(36, 201)};
  for (const auto filter : {resize_filter::box, resize_filter::bilinear, resize_filter::bicubic,
                            resize_filter::lanczos})
    for (const std::uint8_t pixel : resize(flat, 3, 11, filter).pixels) REQUIRE(int{pixel} == 201);
  CHECK_THROWS_AS((void)resize(image, 0, 3, resize_filter::box), usage_error);
  CHECK_THROWS_AS((void)resize(image, 3, -1, resize_filter::box), usage_error);
  CHECK_THROWS_AS((void)parse_resize_filter("nearest"), usage_error);
}

TEST_CASE("resize: a thin image with too many rows is refused before memory is taken") {
  const image8 thin{1 << 20, 1, 1, std::vector<std::uint8_t>(1 << 20)};
  CHECK(resize(thin, 2, 1, resize_filter::box).pixels.size() == 2);  // no step between
  const char* sentence =
      "expected an image of at most 1032444 rows to resize to a width of 65, found 1048576; cut it "
      "or remove it";
  CHECK_THROWS_WITH_AS((void)resize(thin, 64, 65, resize_filter::box), sentence, data_error);
  const image8 flat{1, 1 << 20, 1, std::vector<std::uint8_t>(1 << 20)};
  CHECK(resize(flat, 65, 64, resize_filter::box).pixels.size() == 65 * 64);
  const fitted_images crop_none(one_image{thin}, {.height = 64, .width = 65, .crop = 1 << 20});
  image8 out;
  CHECK_THROWS_WITH_AS(crop_none.decode(0, out), ("the image: " + std::string(sentence)).c_str(),
                       data_error);
}

TEST_CASE("centre_crop: the smaller half of an odd margin is above and to the left") {
  const image8 crop = centre_crop(coordinates(6, 5, 1), 3, 2);
  CHECK(crop.pixels == std::vector<std::uint8_t>{11, 12, 21, 22, 31, 32});
  CHECK(centre_crop(coordinates(4, 4, 3), 4, 4) == coordinates(4, 4, 3));
  CHECK_THROWS_AS((void)centre_crop(coordinates(4, 4, 1), 5, 4), usage_error);
}

TEST_CASE("fit_image: crop, then channels, then resize") {
  const image8 wide = coordinates(4, 9, 1);
  // The largest square is 4 x 4 from column 2 on.
  CHECK(fit_image(wide, {.height = 4, .width = 4, .channels = 1}) == centre_crop(wide, 4, 4));
  CHECK(fit_image(wide, {.height = 4, .width = 8, .channels = 1}) == centre_crop(wide, 4, 8));
  const image8 small =
      fit_image(wide, {.height = 1, .width = 1, .crop = 2, .filter = resize_filter::box});
  CHECK(small.channels == 3);
  // Mean of 13, 14, 23, 24, whose rows are rounded first.
  CHECK(small.pixels == std::vector<std::uint8_t>(3, 19));
  CHECK(fit_image(wide, {.height = 4, .width = 4, .channels = 1, .crop = 100}).pixels.size() == 16);
  CHECK(fit_image(coordinates(1, 50, 1), {.height = 50, .width = 1, .channels = 1}).height == 50);
  CHECK_THROWS_AS((void)fit_image(wide, {.height = 0, .width = 4}), usage_error);
  CHECK_THROWS_AS((void)fit_image(coordinates(2, 2, 3), {.height = 2, .width = 2, .channels = 4}),
                  usage_error);
}

TEST_CASE("fitted_images: labels and names of the source, extents of the fit") {
  const any_image_source source(
      fitted_images(any_image_source(one_image{coordinates(6, 8, 1)}), {.height = 3, .width = 3}));
  image8 out;
  source.decode(0, out);
  CHECK(out.height == 3);
  CHECK(out.width == 3);
  CHECK(out.channels == 3);
  CHECK(out.pixels.size() == 27);
  CHECK(source.size() == 1);
  CHECK(source.classes() == 3);
  CHECK(source.label(0) == 2);
  CHECK(source.class_name(1) == "class 1");
  CHECK(source.name(0) == "the image");
}
