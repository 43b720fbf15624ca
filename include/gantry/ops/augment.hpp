// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Random changes of images in front of a discriminator, as DiffAugment has them (Zhao et al., arXiv
// 2006.10738, in the form of the authors' code), and mirroring. Given its random numbers each is
// affine in a sample, so that gradients pass through it.
//
// Sample i of a batch reads block i of the op's stream. Word 3 says whether the sample is changed
// at all: to_unit(word 3) <= probability (Karras et al., arXiv 2006.06676); words 0, 1 and 2 are
// the numbers of the change. Nothing is stored: who needs them again draws them again.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "gantry/base/rng.hpp"
#include "gantry/ops/operation.hpp"

namespace gantry::inline v0 {

/// What the stream makes of one sample; the same for every backend.
namespace augmentation {

/// With p a pixel's mean over its channels and m the sample's mean:
/// y = contrast saturation x + contrast (1 - saturation) p + (1 - contrast) m + brightness, which
/// is brightness, then saturation, then contrast. `changes` false: y = x.
struct color {
  bool changes{};
  float brightness{}, saturation{1}, contrast{1};
};
/// y(row, column) = x(row + down, column + right), 0 where that lies outside.
struct offset {
  int down{}, right{};
};
/// Rows top .. bottom - 1 and columns left .. right - 1.
struct rectangle {
  int top{}, bottom{}, left{}, right{};
  [[nodiscard]] constexpr bool holds(int row, int column) const {
    return row >= top && row < bottom && column >= left && column < right;
  }
};

constexpr bool applies(const philox::block& words, float probability) {
  return philox::to_unit(words[3]) <= probability;
}
/// 0 .. count - 1 by the high bits of a word times count; count / 2^32 from uniform at most.
constexpr int below(std::uint32_t word, int count) {
  return static_cast<int>(static_cast<std::uint64_t>(word) * static_cast<std::uint64_t>(count) >>
                          32);
}
/// A share of an extent, rounded to whole pixels.
constexpr int share(int extent, float ratio) {
  return static_cast<int>(static_cast<float>(extent) * ratio + 0.5f);
}

/// Words 0, 1, 2: brightness u - 1/2, saturation 2 u, contrast u + 1/2.
constexpr color draw_color(const stream_id& id, int sample, float probability) {
  const philox::block words = philox::at(id, static_cast<std::uint32_t>(sample));
  if (!applies(words, probability)) return {};
  return {true, philox::to_unit(words[0]) - 0.5f, philox::to_unit(words[1]) * 2.0f,
          philox::to_unit(words[2]) + 0.5f};
}

/// Words 0 and 1: rows and columns, each uniform in -share .. share.
constexpr offset draw_offset(hwc shape, const stream_id& id, int sample, float probability,
                             float ratio) {
  const philox::block words = philox::at(id, static_cast<std::uint32_t>(sample));
  if (!applies(words, probability)) return {};
  const int rows = share(shape.h, ratio), columns = share(shape.w, ratio);
  return {below(words[0], 2 * rows + 1) - rows, below(words[1], 2 * columns + 1) - columns};
}

/// The part inside an extent of `size` pixels around a place that `word` draws: any pixel, and the
/// far edge where the size is even.
constexpr void draw_side(std::uint32_t word, int extent, int size, int& begin, int& end) {
  const int first = below(word, extent + 1 - size % 2) - size / 2;
  begin = std::max(first, 0);
  end = std::min(first + size, extent);
}
/// Words 0 and 1: where the rows and the columns are. Nothing is cut: all 0.
constexpr rectangle draw_rectangle(hwc shape, const stream_id& id, int sample, float probability,
                                   float ratio) {
  const philox::block words = philox::at(id, static_cast<std::uint32_t>(sample));
  rectangle r;
  if (!applies(words, probability)) return r;
  draw_side(words[0], shape.h, share(shape.h, ratio), r.top, r.bottom);
  draw_side(words[1], shape.w, share(shape.w, ratio), r.left, r.right);
  return r;
}

/// The highest bit of word 0: half of the samples that are changed at all.
constexpr bool draw_flip(const stream_id& id, int sample, float probability) {
  const philox::block words = philox::at(id, static_cast<std::uint32_t>(sample));
  return applies(words, probability) && words[0] >> 31 != 0;
}

}  // namespace augmentation

namespace ops {

/// Brightness, saturation and contrast, see augmentation::color; y may alias x. Without `shift` the
/// brightness is left out: the linear part, which is its own transpose.
template <hwc Shape>
struct augment_color {
  static constexpr std::string_view name = "augment_color";
  template <class S>
  struct params {
    const_batch_of<S> x;
    batch_of<S> y;
    float probability;
    stream_id stream;
    bool shift;
  };
};

/// Moves a sample by up to ratio times its extents, see augmentation::offset, or back by the same
/// (`transposed`); y may alias x.
template <hwc Shape>
struct augment_translation {
  static constexpr std::string_view name = "augment_translation";
  template <class S>
  struct params {
    const_batch_of<S> x;
    batch_of<S> y;
    float probability, ratio;
    stream_id stream;
    bool transposed;
  };
};

/// 0 within a rectangle of ratio times the extents, see augmentation::draw_rectangle, else x; y may
/// alias x. It is its own transpose.
template <hwc Shape>
struct augment_cutout {
  static constexpr std::string_view name = "augment_cutout";
  template <class S>
  struct params {
    const_batch_of<S> x;
    batch_of<S> y;
    float probability, ratio;
    stream_id stream;
  };
};

/// Exchanges left and right, see augmentation::draw_flip; y may alias x. It is its own transpose.
template <hwc Shape>
struct augment_flip {
  static constexpr std::string_view name = "augment_flip";
  template <class S>
  struct params {
    const_batch_of<S> x;
    batch_of<S> y;
    float probability;
    stream_id stream;
  };
};

}  // namespace ops
}  // namespace gantry
