// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The networks behind FID and classifier score, small relatives of LeNet-5 (LeCun et al.,
// "Gradient-based learning applied to document recognition", 1998), and how they are trained.
#pragma once

#include <cstdint>

#include "gantry/nn/layers.hpp"

namespace gantry::inline v0::train {

/// How a classifier is trained.
struct classifier_settings {
  int passes{3};  ///< over the training images
  int batch{64};
  double rate{4e-3};      ///< of Adam, at its highest
  std::uint64_t seed{0};  ///< not the seed of a run: one classifier serves all runs
  int shift{0};           ///< above 0: half of the images are shown mirrored, and all of them moved
                          ///< by up to so many pixels
  friend bool operator==(const classifier_settings&, const classifier_settings&) = default;
};

/// For grey images of 28 x 28, 10 classes; settings for 60,000 images.
struct grey_classifier {
  /// From an image to 64 features.
  struct features : sequential<image<28, 28, 1>, conv2d<16, 4, 2, 1>, relu, conv2d<32, 4, 2, 1>,
                               relu, linear<64>, relu> {};
  /// From the features to one logit per class.
  struct head : sequential<latent<64>, linear<10>> {};
  static constexpr classifier_settings settings{};
  static constexpr const char* images = "grey images of 28 x 28";
};

/// For colour images of 32 x 32; settings for 10,000 to 50,000 images.
template <int Classes>
struct colour_classifier {
  /// From an image to 64 features.
  struct features : sequential<image<32, 32, 3>, conv2d<32, 4, 2, 1>, relu, conv2d<64, 4, 2, 1>,
                               relu, linear<64>, relu> {};
  /// From the features to one logit per class.
  struct head : sequential<latent<64>, linear<Classes>> {};
  static constexpr classifier_settings settings{.passes = 12, .rate = 2e-3, .shift = 2};
  static constexpr const char* images = "colour images of 32 x 32";
};

}  // namespace gantry::train
