// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Linear maps over pixels that treat all channels alike. Each pair is adjoint: the backward of one
// is the forward of the other.
#pragma once

#include <string_view>

#include "gantry/ops/operation.hpp"

namespace gantry::inline v0 {

/// Squares of factor x factor pixels of the larger image, and one pixel each of the smaller one;
/// what is left at the right and bottom edge belongs to no square.
struct square_geometry {
  hwc large;
  int factor{2};
  [[nodiscard]] constexpr hwc small() const {
    return {large.h / factor, large.w / factor, large.c};
  }
  friend constexpr bool operator==(const square_geometry&, const square_geometry&) = default;
};

/// Bilinear enlargement by a factor, as PyTorch's with align_corners false: output pixel o of an
/// axis reads the input at max(0, (o + 1/2) / factor - 1/2).
struct bilinear_geometry {
  hwc in;
  int factor{2};
  [[nodiscard]] constexpr hwc out() const { return {in.h * factor, in.w * factor, in.c}; }
  friend constexpr bool operator==(const bilinear_geometry&, const bilinear_geometry&) = default;
};

namespace ops {

/// y = scale times the sum of each square of x.
template <square_geometry G>
struct sum_squares {
  static constexpr std::string_view name = "sum_squares";
  template <class S>
  struct params {
    const_batch_of<S> x;
    batch_of<S> y;
    float scale;
  };
};

/// Each square of y = scale times the pixel of x; 0 where there is no square.
template <square_geometry G>
struct spread_squares {
  static constexpr std::string_view name = "spread_squares";
  template <class S>
  struct params {
    const_batch_of<S> x;
    batch_of<S> y;
    float scale;
  };
};

/// y = x enlarged.
template <bilinear_geometry G>
struct bilinear_forward {
  static constexpr std::string_view name = "bilinear_forward";
  template <class S>
  struct params {
    const_batch_of<S> x;
    batch_of<S> y;
  };
};

/// dx = the adjoint of bilinear_forward applied to dy.
template <bilinear_geometry G>
struct bilinear_backward {
  static constexpr std::string_view name = "bilinear_backward";
  template <class S>
  struct params {
    const_batch_of<S> dy;
    batch_of<S> dx;
  };
};

/// y = scale times x behind a low-pass filter, every second pixel in both axes: the weights of an
/// axis are [1, 3, 3, 1] / 8 around each pair of pixels, with zeros outside. Large has even sides.
template <hwc Large>
struct filter_halve {
  static constexpr std::string_view name = "filter_halve";
  template <class S>
  struct params {
    const_batch_of<S> x;
    batch_of<S> y;
    float scale;
  };
};

/// y = scale times the adjoint of filter_halve, with its scale of 1, applied to x.
template <hwc Large>
struct filter_double {
  static constexpr std::string_view name = "filter_double";
  template <class S>
  struct params {
    const_batch_of<S> x;
    batch_of<S> y;
    float scale;
  };
};

/// y, of one pixel, = scale times the sum of all pixels of x.
template <hwc Shape>
struct sum_pixels {
  static constexpr std::string_view name = "sum_pixels";
  template <class S>
  struct params {
    const_batch_of<S> x;
    batch_of<S> y;
    float scale;
  };
};

/// Each pixel of y = scale times the one pixel of x.
template <hwc Shape>
struct spread_pixels {
  static constexpr std::string_view name = "spread_pixels";
  template <class S>
  struct params {
    const_batch_of<S> x;
    batch_of<S> y;
    float scale;
  };
};

}  // namespace ops
}  // namespace gantry
