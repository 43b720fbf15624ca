// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Normalisation of each pixel's channels to a mean square of 1 (Karras et al., arXiv 1710.10196,
// section 4.2) and its derivatives. With mean(.) over the channels of a pixel,
//   q = 1 / sqrt(mean(x^2) + epsilon)    u = x q    tu = q (tx - u mean(u tx))
// The derivative is symmetric, so the gradient and the tangent are one op.
#pragma once

#include <string_view>

#include "gantry/ops/operation.hpp"

namespace gantry::inline v0::ops {

/// y = u.
template <hwc Shape>
struct pixel_norm_forward {
  static constexpr std::string_view name = "pixel_norm_forward";
  template <class S>
  struct params {
    const_batch_of<S> x;
    batch_of<S> y;
    float epsilon;
  };
};

/// dx = q (dy - u mean(u dy)): the gradient, and with tx for dy the tangent; dx may alias dy.
template <hwc Shape>
struct pixel_norm_derivative {
  static constexpr std::string_view name = "pixel_norm_derivative";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const_batch_of<S> dy;
    batch_of<S> dx;
    float epsilon;
  };
};

/// The derivative of <gy, tu> + <ey, u> by x. With b = mean(u tx), c = mean(u gy):
///   ex = q (ey - u mean(u ey)) - q^2 (c tx + b gy + u (mean(gy tx) - 3 b c))
/// ey may be null (zero).
template <hwc Shape>
struct pixel_norm_second_order {
  static constexpr std::string_view name = "pixel_norm_second_order";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const_batch_of<S> tx;
    const_batch_of<S> gy;
    const_batch_of<S> ey;
    batch_of<S> ex;
    float epsilon;
  };
};

}  // namespace gantry::ops
