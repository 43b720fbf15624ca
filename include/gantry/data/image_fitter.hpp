// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "gantry/base/error.hpp"
#include "gantry/concepts/image_source.hpp"
#include "gantry/data/fit_images.hpp"
#include "gantry/data/resize.hpp"
#include "gantry/tensor/shape.hpp"

namespace gantry::inline v0::data {

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

/// Writes images of any extents at those of a network into memory of the caller, as
/// train::pack_images asks for them.
struct image_fitter {
  crop_rule crop{crop_rule::centre};
  resize_filter filter{resize_filter::lanczos};

  /// Writes [height][width][channels]. @throws usage_error if `out` has no room for exactly that
  void operator()(const image8& image, hwc extents, std::span<std::uint8_t> out) const {
    expects(extents.h > 0 && extents.w > 0 && (extents.c == 1 || extents.c == 3) &&
                out.size() == static_cast<std::size_t>(extents.size()),
            "images are fitted to positive extents and 1 or 3 channels, with room for all of it; "
            "correct the target");
    const image8 fitted = crop == crop_rule::centre
                              ? fit_image(image, {.height = extents.h,
                                                  .width = extents.w,
                                                  .channels = extents.c,
                                                  .filter = filter})
                              : resize(to_channels(image, extents.c), extents.h, extents.w, filter);
    std::ranges::copy(fitted.pixels, out.begin());
  }
};

}  // namespace gantry::data
