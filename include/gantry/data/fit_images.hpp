// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Images of many extents brought to those of a network: crop, channels, resize, in this order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/image_source.hpp"
#include "gantry/data/resize.hpp"

namespace gantry::inline v0::data {

/// What images become. CelebA's usual preparation is {.height = 64, .width = 64, .crop = 178}.
struct image_fit {
  int height{}, width{};
  int channels = 3;
  int crop = 0;  ///< side of the square in the middle that is kept; 0 for the largest part that has
                 ///< the proportions of height x width
  resize_filter filter = resize_filter::lanczos;  ///< as StyleGAN's dataset_tool.py
};

/// Grey as Pillow's convert("L") (ITU-R 601-2 luma), or a grey channel repeated.
/// @throws usage_error for any other conversion
inline image8 to_channels(image8 image, int channels) {
  if (image.channels == channels) return image;
  if (image.channels != 1 && channels != 1)
    throw usage_error("images of " + std::to_string(image.channels) +
                      " channels cannot become images of " + std::to_string(channels) +
                      "; ask for 1 or 3");
  image8 out{image.height, image.width, channels, {}};
  const std::size_t pixels =
      static_cast<std::size_t>(image.height) * static_cast<std::size_t>(image.width);
  out.pixels.reserve(pixels * static_cast<std::size_t>(channels));
  if (image.channels == 1) {
    for (const std::uint8_t grey : image.pixels)
      out.pixels.insert(out.pixels.end(), static_cast<std::size_t>(channels), grey);
    return out;
  }
  if (image.channels != 3)
    throw usage_error("only images of 3 channels become grey ones but got " +
                      std::to_string(image.channels) + " channels; convert the images");
  for (std::size_t p = 0; p < pixels; ++p) {
    const std::uint8_t* rgb = image.pixels.data() + 3 * p;
    const std::uint32_t luma = rgb[0] * 19595U + rgb[1] * 38470U + rgb[2] * 7471U + 0x8000U;
    out.pixels.push_back(static_cast<std::uint8_t>(luma >> 16));
  }
  return out;
}

/// One image, brought to the extents of `fit`. @throws usage_error if an extent is not positive,
/// data_error as resize()
inline image8 fit_image(image8 image, const image_fit& fit) {
  expects(
      fit.height > 0 && fit.width > 0 && fit.crop >= 0,
      "fitting images needs a positive height and width and a crop of at least 0; correct them");
  int height = fit.crop, width = fit.crop;
  if (fit.crop == 0) {
    // The largest part with the proportions asked for, rounded down, but never to nothing.
    const auto part = [](int whole, int numerator, int denominator) {
      return static_cast<int>(
          std::clamp<std::int64_t>(std::int64_t{whole} * numerator / denominator, 1, 1 << 30));
    };
    height = std::min(image.height, part(image.width, fit.height, fit.width));
    width = std::min(image.width, part(image.height, fit.width, fit.height));
  }
  height = std::min(height, image.height);
  width = std::min(width, image.width);
  if (height != image.height || width != image.width) image = centre_crop(image, height, width);
  return resize(to_channels(std::move(image), fit.channels), fit.height, fit.width, fit.filter);
}

/// A source whose images all have the extents of a fit.
template <ImageSource S>
class fitted_images {
 public:
  fitted_images(S source, const image_fit& fit) : source_(std::move(source)), fit_(fit) {}

  [[nodiscard]] const image_fit& fit() const { return fit_; }
  [[nodiscard]] std::size_t size() const { return source_.size(); }
  [[nodiscard]] std::size_t classes() const { return source_.classes(); }
  [[nodiscard]] std::uint16_t label(std::size_t i) const { return source_.label(i); }
  [[nodiscard]] std::string class_name(std::size_t c) const { return source_.class_name(c); }
  [[nodiscard]] std::string name(std::size_t i) const { return source_.name(i); }
  void decode(std::size_t i, image8& out) const {
    source_.decode(i, out);
    try {
      out = fit_image(std::move(out), fit_);
    } catch (const data_error& e) {
      throw data_error(name(i) + ": " + e.what());
    }
  }

 private:
  S source_;
  image_fit fit_;
};

}  // namespace gantry::data
