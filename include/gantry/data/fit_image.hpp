// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "gantry/base/error.hpp"
#include "gantry/concepts/image_source.hpp"
#include "gantry/data/resize.hpp"
#include "gantry/tensor/shape.hpp"

namespace gantry::data {

/// What happens to an image whose proportions are not those of the network.
enum class crop_rule {
  centre,  ///< the largest part in the middle that has them is kept
  none,    ///< it is stretched
};

/// A rule by its name. @throws usage_error for another one
inline crop_rule parse_crop_rule(const std::string& name) {
  if (name == "centre") return crop_rule::centre;
  if (name == "none") return crop_rule::none;
  throw usage_error("expected a crop centre or none, found \"" + name + "\"; choose one of them");
}

/// Colour to grey as Pillow's mode L (ITU-R 601 luma in 16 bits of fraction); grey is copied.
inline image8 to_grey(const image8& image) {
  if (image.channels == 1) return image;
  image8 grey{image.height, image.width, 1, {}};
  grey.pixels.resize(image.pixels.size() / 3);
  const std::uint8_t* from = image.pixels.data();
  for (std::uint8_t& to : grey.pixels) {
    to = static_cast<std::uint8_t>((from[0] * 19595 + from[1] * 38470 + from[2] * 7471 + 0x8000) >>
                                   16);
    from += 3;
  }
  return grey;
}

/// Brings images of any extents to those of a network: crop, grey or colour, resize.
struct image_fitter {
  crop_rule crop{crop_rule::centre};
  resize_filter filter{resize_filter::lanczos};

  /// Writes [height][width][channels]. @throws usage_error if `out` has no room for exactly that
  void operator()(const image8& image, hwc extents, std::span<std::uint8_t> out) const {
    expects(extents.h > 0 && extents.w > 0 && (extents.c == 1 || extents.c == 3) &&
                out.size() == static_cast<std::size_t>(extents.size()),
            "images are fitted to positive extents and 1 or 3 channels, with room for all of it; "
            "correct the target");
    const image8 cut = crop == crop_rule::centre ? cropped(image, extents) : image;
    const image8 small = resize(extents.c == 1 ? to_grey(cut) : cut, extents.h, extents.w, filter);
    auto to = out.begin();
    for (const std::uint8_t pixel : small.pixels)
      to = std::fill_n(to, extents.c / small.channels, pixel);
  }

 private:
  static image8 cropped(const image8& image, hwc extents) {
    const auto scaled = [](int length, int part, int whole) {
      return static_cast<int>(std::max<std::int64_t>(1, std::int64_t{length} * part / whole));
    };
    const int height = std::min(image.height, scaled(image.width, extents.h, extents.w));
    const int width = std::min(image.width, scaled(image.height, extents.w, extents.h));
    return height == image.height && width == image.width ? image
                                                          : centre_crop(image, height, width);
  }
};

}  // namespace gantry::data
