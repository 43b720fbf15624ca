// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/tensor/shape.hpp"

namespace gantry::inline v0::train {

/// How a larger image becomes a smaller one: its middle, for images that data::pad_to has made
/// larger, or averages over areas, for those of data::resize_bilinear.
enum class shrink_rule { automatic, crop, average };

/// Brings images of any extents from Output up to the extents that a classifier knows, so that one
/// classifier scores networks of all sizes. For a grey output channels are averaged, for another
/// there have to be as many. An image that has the extents already is not changed.
template <hwc Output>
class shrink_to {
 public:
  static constexpr hwc output = Output;

  /// `automatic` crops images smaller than twice the output and averages larger ones.
  /// @throws usage_error for extents that are too small, or too few channels
  explicit shrink_to(hwc input, shrink_rule rule = shrink_rule::automatic) : input_(input) {
    if (input.h < output.h || input.w < output.w || input.c < 1 ||
        (output.c > 1 && input.c != output.c))
      throw usage_error("the classifier sees images of " + text(output) + " and was given " +
                        text(input) +
                        "; score images of at least that size or switch the scores off");
    const bool small = input.h < 2 * output.h && input.w < 2 * output.w;
    const bool crop = rule == shrink_rule::crop || (rule == shrink_rule::automatic && small);
    rows_ = crop ? middle(input.h, output.h) : areas(input.h, output.h);
    columns_ = crop ? middle(input.w, output.w) : areas(input.w, output.w);
  }

  [[nodiscard]] hwc input() const { return input_; }

  /// [n][h][w][c] to n images of Output, n = images.size() / (h w c). @throws usage_error if the
  /// sizes do not fit
  void operator()(std::span<const float> images, std::span<float> shrunk) const {
    const auto in = static_cast<std::size_t>(input_.size()),
               out = static_cast<std::size_t>(output.size());
    expects(
        images.size() % in == 0 && shrunk.size() == images.size() / in * out,
        "making images smaller needs whole images and room for as many; check the sizes of both");
    const int mixed = output.c == 1 ? input_.c : 1;  // channels that one of the output is made of
    float* to = shrunk.data();
    for (const float* image = images.data(); image != images.data() + images.size(); image += in)
      for (const taps& y : rows_)
        for (const taps& x : columns_)
          for (int c = 0; c < output.c; ++c) *to++ = blend(image + c, y, x, mixed);
  }

 private:
  static std::string text(hwc s) {
    return std::to_string(s.h) + " x " + std::to_string(s.w) + " x " + std::to_string(s.c);
  }

  /// Input positions that an output position is made of: first, first + 1, ... with weights that
  /// add up to 1.
  struct taps {
    int first{};
    std::vector<float> weights;
  };

  /// As data::pad_to places an image: an odd remainder is below and right.
  static std::vector<taps> middle(int in, int out) {
    std::vector<taps> all;
    for (int i = 0; i < out; ++i) all.push_back({(in - out) / 2 + i, {1.0f}});
    return all;
  }

  /// Output position i covers [i in / out, (i + 1) in / out); in integers, times `out`.
  static std::vector<taps> areas(int in, int out) {
    std::vector<taps> all;
    for (int i = 0; i < out; ++i) {
      const int begin = i * in, end = begin + in;
      taps t{begin / out, {}};
      for (int at = t.first; at * out < end; ++at) {
        const int covered = std::min(end, (at + 1) * out) - std::max(begin, at * out);
        t.weights.push_back(static_cast<float>(covered) / static_cast<float>(in));
      }
      all.push_back(std::move(t));
    }
    return all;
  }

  [[nodiscard]] float blend(const float* image, const taps& y, const taps& x, int mixed) const {
    const auto pitch = static_cast<std::ptrdiff_t>(input_.w) * input_.c;
    const float* row = image + y.first * pitch + static_cast<std::ptrdiff_t>(x.first) * input_.c;
    float sum = 0;
    for (const float vertical : y.weights) {
      const float* pixel = row;
      for (const float horizontal : x.weights) {
        for (int c = 0; c < mixed; ++c) sum += vertical * horizontal * pixel[c];
        pixel += input_.c;
      }
      row += pitch;
    }
    return sum / static_cast<float>(mixed);
  }

  hwc input_;
  std::vector<taps> rows_, columns_;
};

}  // namespace gantry::train
