// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What the forward pass of a trained convolutional network is made of, with extents at run time:
// Inception-v3 has 94 convolutions of 43 geometries, which as layers of a type would take a
// compiler minutes. For inference only: nothing here has a backward, and none of it is a Layer. One
// image at a time, [h][w][c], so that results do not depend on a batch.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include "gantry/base/error.hpp"
#include "gantry/tensor/shape.hpp"

namespace gantry::inline v0::metrics::inference {

/// An image in memory, [h][w][c] without gaps.
struct image_view {
  const float* data{};
  hwc shape{};
};

/// Channels of a larger image: those of pixel p begin at data + p * pitch. What branches write side
/// by side needs no concatenation afterwards.
struct channels_view {
  float* data{};
  hwc shape{};
  int pitch{};
  [[nodiscard]] float* pixel(int y, int x) const {
    return data + (static_cast<std::ptrdiff_t>(y) * shape.w + x) * pitch;
  }
};

/// Where a convolution or pooling looks; padding is per axis.
struct window {
  int height{1}, width{1}, stride{1}, pad_y{0}, pad_x{0};

  [[nodiscard]] constexpr bool is_pixel() const {
    return height == 1 && width == 1 && stride == 1 && pad_y == 0 && pad_x == 0;
  }
  /// Extents of the result for an input and a number of output channels.
  /// @throws usage_error if the window is larger than the padded input
  [[nodiscard]] hwc output(hwc in, int channels) const {
    expects(in.h + 2 * pad_y >= height && in.w + 2 * pad_x >= width,
            "a window of a trained network was expected to fit into its padded input and does not; "
            "give it larger images");
    return {(in.h + 2 * pad_y - height) / stride + 1, (in.w + 2 * pad_x - width) / stride + 1,
            channels};
  }
};

namespace detail {

/// Part of a window of `extent` at `begin` that lies in 0 .. size - 1: [first, last).
struct overlap {
  int first, last;
  overlap(int begin, int extent, int size)
      : first(std::clamp(-begin, 0, extent)), last(std::clamp(size - begin, first, extent)) {}
};

/// Patches of output pixels begin .. end - 1 as rows, [ky][kx][c] each, zeros outside.
inline void unfold(const image_view& x, const window& w, hwc out, std::ptrdiff_t begin,
                   std::ptrdiff_t end, float* patches) {
  const std::ptrdiff_t c = x.shape.c, run = w.width * c;
  for (std::ptrdiff_t p = begin; p < end; ++p) {
    const int y0 = static_cast<int>(p / out.w) * w.stride - w.pad_y;
    const int x0 = static_cast<int>(p % out.w) * w.stride - w.pad_x;
    const overlap inside(x0, w.width, x.shape.w);
    for (int ky = 0; ky < w.height; ++ky, patches += run) {
      const int y = y0 + ky;
      if (y < 0 || y >= x.shape.h) {
        std::fill_n(patches, run, 0.0f);
        continue;
      }
      const float* row = x.data + (static_cast<std::ptrdiff_t>(y) * x.shape.w + x0) * c;
      std::fill_n(patches, inside.first * c, 0.0f);
      std::copy(row + inside.first * c, row + inside.last * c, patches + inside.first * c);
      std::fill_n(patches + inside.last * c, run - inside.last * c, 0.0f);
    }
  }
}

}  // namespace detail

/// Batch normalisation with running statistics as PyTorch keeps it, one number per channel each.
struct norm_values {
  std::span<const float> weight, bias, mean, variance;
  double epsilon{1e-5};
};

/// A convolution with the normalisation behind it folded into its weights, and on demand max(y, 0).
class conv2d {
 public:
  /// `weights` are PyTorch's, [out][in][height][width].
  /// @throws usage_error if sizes do not fit, numeric_error if a weight is not finite
  conv2d(window w, int in_channels, std::span<const float> weights, const norm_values& norm,
         bool rectify)
      : window_(w),
        in_(in_channels),
        out_(static_cast<int>(norm.bias.size())),
        rectify_(rectify),
        bias_(out_) {
    const std::size_t out = norm.bias.size(), area = static_cast<std::size_t>(w.height) * w.width;
    const std::size_t in = static_cast<std::size_t>(in_);
    expects(weights.size() == out * in * area && norm.weight.size() == out &&
                norm.mean.size() == out && norm.variance.size() == out,
            "a convolution of a trained network was expected to get one normalisation per output "
            "channel and weights for its window; check the shapes");
    weights_.resize(weights.size());
    for (std::size_t o = 0; o < out; ++o) {
      const double scale =
          double{norm.weight[o]} / std::sqrt(double{norm.variance[o]} + norm.epsilon);
      bias_[static_cast<Eigen::Index>(o)] =
          checked(double{norm.bias[o]} - double{norm.mean[o]} * scale);
      for (std::size_t i = 0; i < in; ++i)
        for (std::size_t a = 0; a < area; ++a)
          weights_[(a * in + i) * out + o] =
              checked(double{weights[(o * in + i) * area + a]} * scale);
    }
  }

  [[nodiscard]] hwc output_shape(hwc in) const {
    expects(in.c == in_, "a convolution of a trained network was given an image of other channels");
    return window_.output(in, out_);
  }

  /// Overwrites y, whose extents are output_shape(x.shape); `patches` is scratch memory.
  void operator()(const image_view& x, const channels_view& y, std::vector<float>& patches) const {
    const std::ptrdiff_t pixels = y.shape.pixels(), taps = window_.height * window_.width * in_;
    const std::ptrdiff_t most = std::max<std::ptrdiff_t>(16, patch_floats / taps);
    const std::ptrdiff_t pieces = (pixels + most - 1) / most;
    if (!window_.is_pixel())
      patches.resize(std::max(patches.size(),
                              static_cast<std::size_t>(((pixels + pieces - 1) / pieces) * taps)));
    const const_matrix weights(weights_.data(), taps, out_, Eigen::OuterStride<>(out_));
    for (std::ptrdiff_t piece = 0; piece < pieces; ++piece) {
      const std::ptrdiff_t begin = pixels * piece / pieces, end = pixels * (piece + 1) / pieces;
      const float* rows = x.data + begin * in_;
      if (!window_.is_pixel()) {
        detail::unfold(x, window_, y.shape, begin, end, patches.data());
        rows = patches.data();
      }
      matrix result(y.data + begin * y.pitch, end - begin, out_, Eigen::OuterStride<>(y.pitch));
      result.noalias() =
          const_matrix(rows, end - begin, taps, Eigen::OuterStride<>(taps)) * weights;
      if (rectify_)
        result = (result.rowwise() + bias_).cwiseMax(0.0f);
      else
        result.rowwise() += bias_;
    }
  }

 private:
  using values = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using matrix = Eigen::Map<values, Eigen::Unaligned, Eigen::OuterStride<>>;
  using const_matrix = Eigen::Map<const values, Eigen::Unaligned, Eigen::OuterStride<>>;
  static constexpr std::ptrdiff_t patch_floats = std::ptrdiff_t{1} << 18;  ///< of one piece of work

  static float checked(double value) {
    if (!std::isfinite(static_cast<float>(value)))
      throw numeric_error(
          "the weights of a trained network were expected to be finite, with variances that are "
          "not negative, and are not; convert them again");
    return static_cast<float>(value);
  }

  window window_;
  int in_, out_;
  bool rectify_;
  std::vector<float> weights_;  ///< [ky][kx][in][out]
  Eigen::RowVectorXf bias_;
};

/// Pooling; what lies outside of the image counts as nothing, or as zeros of the average.
struct pool2d {
  enum class rule { largest, average_inside, average_padded };
  window where;
  rule kind{rule::largest};

  [[nodiscard]] hwc output_shape(hwc in) const { return where.output(in, in.c); }

  /// Overwrites y, whose extents are output_shape(x.shape).
  void operator()(const image_view& x, const channels_view& y) const {
    for (int row = 0; row < y.shape.h; ++row)
      for (int column = 0; column < y.shape.w; ++column) pool(x, row, column, y.pixel(row, column));
  }

 private:
  void pool(const image_view& x, int row, int column, float* to) const {
    const int y0 = row * where.stride - where.pad_y, x0 = column * where.stride - where.pad_x;
    const detail::overlap ys(y0, where.height, x.shape.h), xs(x0, where.width, x.shape.w);
    const int c = x.shape.c;
    const bool largest = kind == rule::largest;
    std::fill_n(to, c, largest ? -std::numeric_limits<float>::infinity() : 0.0f);
    for (int ky = ys.first; ky < ys.last; ++ky)
      for (int kx = xs.first; kx < xs.last; ++kx) {
        const float* from =
            x.data + (static_cast<std::ptrdiff_t>(y0 + ky) * x.shape.w + x0 + kx) * c;
        if (largest)
          for (int i = 0; i < c; ++i) to[i] = std::max(to[i], from[i]);
        else
          for (int i = 0; i < c; ++i) to[i] += from[i];
      }
    if (largest) return;
    const int inside = (ys.last - ys.first) * (xs.last - xs.first);
    const int count = kind == rule::average_inside ? inside : where.height * where.width;
    for (int i = 0; i < c; ++i) to[i] /= static_cast<float>(count);
  }
};

/// The mean of each channel over all pixels.
inline void average_pixels(const image_view& x, std::span<float> means) {
  const int c = x.shape.c, pixels = x.shape.pixels();
  for (int i = 0; i < c; ++i) {
    double sum = 0;
    for (int p = 0; p < pixels; ++p) sum += double{x.data[static_cast<std::ptrdiff_t>(p) * c + i]};
    means[static_cast<std::size_t>(i)] = static_cast<float>(sum / pixels);
  }
}

/// How an output position is looked up when an image changes its extents. `half_pixel`: centres of
/// pixels, as PyTorch's interpolate(align_corners=False). `corner`: upper left corners, as
/// TensorFlow 1's resize_bilinear, which is inside the graph of the original FID.
enum class resize_rule { half_pixel, corner };

/// Bilinear interpolation of images of extents known at run time, without a low-pass filter: images
/// that get smaller alias, as they do in both originals.
class bilinear_resize {
 public:
  bilinear_resize(hwc in, int height, int width, resize_rule rule)
      : in_(in), rows_(taps_of(in.h, height, rule)), columns_(taps_of(in.w, width, rule)) {
    expects(in.h >= 1 && in.w >= 1 && in.c >= 1 && height >= 1 && width >= 1,
            "a resize needs images with at least one pixel on both sides; check the extents");
  }

  /// [h][w][c] of the input's extents to [height][width][c].
  void operator()(const float* image, float* resized) const {
    const std::ptrdiff_t c = in_.c, pitch = in_.w * c;
    for (const tap& y : rows_) {
      const float *upper = image + y.first * pitch, *lower = image + y.second * pitch;
      for (const tap& x : columns_)
        for (std::ptrdiff_t i = 0; i < c; ++i) {
          const std::ptrdiff_t l = x.first * c + i, r = x.second * c + i;
          const float above = upper[l] + x.part * (upper[r] - upper[l]);
          const float below = lower[l] + x.part * (lower[r] - lower[l]);
          *resized++ = above + y.part * (below - above);
        }
    }
  }

 private:
  /// An output position between two of the input: (1 - part) first + part second.
  struct tap {
    int first, second;
    float part;
  };

  static std::vector<tap> taps_of(int in, int out, resize_rule rule) {
    std::vector<tap> all;
    const float scale = static_cast<float>(in) / static_cast<float>(out);
    const float shift = rule == resize_rule::half_pixel ? 0.5f : 0.0f;
    for (int i = 0; i < out; ++i) {
      const float at = std::max(0.0f, (static_cast<float>(i) + shift) * scale - shift);
      const int first = std::min(static_cast<int>(at), in - 1);
      all.push_back({first, std::min(first + 1, in - 1), at - static_cast<float>(first)});
    }
    return all;
  }

  hwc in_;
  std::vector<tap> rows_, columns_;
};

}  // namespace gantry::metrics::inference
