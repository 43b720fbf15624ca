// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace gantry::inline v0 {

/// Extents of one sample: height, width, channels. Structural, so it can be a template argument.
struct hwc {
  int h{1}, w{1}, c{1};
  [[nodiscard]] constexpr int size() const { return h * w * c; }
  [[nodiscard]] constexpr int pixels() const { return h * w; }
  friend constexpr bool operator==(const hwc&, const hwc&) = default;
};

/// Input of a network: an image of H x W pixels with C channels.
template <int H, int W, int C>
struct image {
  static_assert(H > 0 && W > 0 && C > 0,
                "image<H, W, C>: height, width and channels must be positive");
  static constexpr hwc shape{H, W, C};
};

/// Input of a network: a vector of N numbers (a latent, or features).
template <int N>
struct latent {
  static_assert(N > 0, "latent<N>: the number of components must be positive");
  static constexpr hwc shape{1, 1, N};
};

}  // namespace gantry
