// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "gantry/base/math.hpp"
#include "gantry/ops/operation.hpp"

namespace gantry::inline v0 {

/// A convolution with square kernel, equal stride and zero padding in both axes. Weights are
/// [filters][kernel][kernel][in.c]. A transposed convolution is the same geometry read backwards:
/// its input has the extents of `out()`, its output those of `in`, and its forward is
/// conv2d_backward_data.
struct conv_geometry {
  hwc in;
  int filters{}, kernel{}, stride{1}, pad{};
  [[nodiscard]] constexpr hwc out() const {
    return {conv_extent(in.h, kernel, stride, pad), conv_extent(in.w, kernel, stride, pad),
            filters};
  }
  /// Multiplications per output channel and pixel.
  [[nodiscard]] constexpr int taps() const { return kernel * kernel * in.c; }
  [[nodiscard]] constexpr int weights() const { return filters * taps(); }
  friend constexpr bool operator==(const conv_geometry&, const conv_geometry&) = default;
};

namespace ops {

/// y = conv(x, weight) (+ bias per filter); bias may be null.
template <conv_geometry G>
struct conv2d_forward {
  static constexpr std::string_view name = "conv2d_forward";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const typename S::scalar* weight;
    const typename S::scalar* bias;
    batch_of<S> y;
  };
};

/// dx = the adjoint of conv2d_forward applied to dy (+ bias per channel of dx, for the forward of a
/// transposed convolution); bias may be null.
template <conv_geometry G>
struct conv2d_backward_data {
  static constexpr std::string_view name = "conv2d_backward_data";
  template <class S>
  struct params {
    const_batch_of<S> dy;
    const typename S::scalar* weight;
    const typename S::scalar* bias;
    batch_of<S> dx;
  };
};

/// dweight += the derivative of <dy, conv(x, weight)> by the weights.
template <conv_geometry G>
struct conv2d_backward_weights {
  static constexpr std::string_view name = "conv2d_backward_weights";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const_batch_of<S> dy;
    typename S::scalar* dweight;
  };
};

}  // namespace ops
}  // namespace gantry
