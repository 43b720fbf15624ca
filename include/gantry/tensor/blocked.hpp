// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>

#include "gantry/base/math.hpp"
#include "gantry/tensor/shape.hpp"

namespace gantry::inline v0 {

/// Layout of the CPU kernels: [h][w][c / 16][n][16], the batch inside the pixel and 16 channels
/// innermost, so that the scalars of one pixel are already what a product of matrices reads:
/// nothing is unfolded, and a window's padding is skipped for all samples at once. Samples with
/// fewer than 16 channels ("thin": images, logits) lie as [h][n][w][c].
///
/// Channels are padded to a multiple of 16; what the padding holds is unspecified and never reaches
/// a result. A thin batch has 16 scalars more than it needs, so that a full vector may be read at
/// its last scalar.
struct blocked {
  static constexpr int block = 16;

  static constexpr bool is_thin(hwc sample) { return sample.c < block; }
  /// Blocks of 16 channels of a sample that is not thin.
  static constexpr int blocks(hwc sample) { return ceil_div(sample.c, block); }

  /// Scalars that a batch of n samples occupies.
  static constexpr std::size_t elements(hwc sample, int n) {
    const auto samples = static_cast<std::size_t>(n);
    if (is_thin(sample)) return static_cast<std::size_t>(sample.size()) * samples + block;
    return static_cast<std::size_t>(sample.pixels()) * blocks(sample) * block * samples;
  }
  /// Where scalar k, in canonical order, of sample i of n lies.
  static constexpr std::size_t offset(hwc sample, int n, int i, int k) {
    if (is_thin(sample)) {
      const int row = sample.w * sample.c;
      return (static_cast<std::size_t>(k / row) * n + i) * row + k % row;
    }
    const int pixel = k / sample.c, channel = k % sample.c;
    const auto place = static_cast<std::size_t>(pixel) * blocks(sample) + channel / block;
    return (place * n + i) * block + channel % block;
  }
  /// How many scalars of a sample, from k on, lie one after the other.
  static constexpr int run(hwc sample, int k) {
    if (is_thin(sample)) return sample.w * sample.c - k % (sample.w * sample.c);
    const int channel = k % sample.c;
    return std::min(block - channel % block, sample.c - channel);
  }
  /// True if re-interpreting the extents of a sample moves no data.
  static constexpr bool reshape_is_free(hwc from, hwc to) {
    if (is_thin(from) != is_thin(to)) return false;
    if (is_thin(from)) return from.w * from.c == to.w * to.c;
    return from == to || (from.c % block == 0 && to.c % block == 0);
  }
};

}  // namespace gantry
