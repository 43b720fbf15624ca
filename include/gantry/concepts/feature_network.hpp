// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <span>
#include <string_view>
#include <type_traits>

#include "gantry/tensor/shape.hpp"

namespace gantry::inline v0 {

/// A trained network in whose features images are compared.
///   input_shape    constexpr hwc: extents of the images that it takes
///   feature_count  constexpr int: numbers in one feature vector, at least 1
///   classes        constexpr int: of its softmax, 0 if it has none
///   evaluate(images, n, features, probabilities)
///                  n images, [n][h][w][c] in [-1, 1], to features, [n][feature_count], and class
///                  probabilities, [n][classes], rows that add up to 1; an empty span of results is
///                  skipped. Each image is seen by itself: its results do not depend on n or on the
///                  images beside it. @throws numeric_error if a pixel is not finite, usage_error
///                  if the sizes do not fit
///   name()         what it is, as a word for tables and names of files
///   hash()         SHA-256 of its weights in hexadecimal; figures can be compared where it is
///   equal
template <class N>
concept FeatureNetwork = requires(N& n, const N& cn, std::span<const float> images, int count,
                                  std::span<float> results) {
  requires std::same_as<std::remove_cvref_t<decltype(N::input_shape)>, hwc>;
  requires std::same_as < std::remove_cvref_t<decltype(N::feature_count)>,
  int > ;
  requires std::same_as < std::remove_cvref_t<decltype(N::classes)>,
  int > ;
  requires(N::input_shape.size() >= 1 && N::feature_count >= 1 && N::classes >= 0);
  { n.evaluate(images, count, results, results) } -> std::same_as<void>;
  { cn.name() } -> std::convertible_to<std::string_view>;
  { cn.hash() } -> std::convertible_to<std::string_view>;
};

}  // namespace gantry
