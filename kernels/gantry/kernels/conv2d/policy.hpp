// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A convolution is a product (gemm/policy.hpp has its tiles); here is which product.
#pragma once

#include "gantry/base/math.hpp"
#include "gantry/kernels/gemm/policy.hpp"
#include "gantry/ops/conv2d.hpp"

namespace gantry::inline v0::kernels {

/// A geometry as a type whose arguments are integers (see gemm_selector for the reason).
template <int H, int W, int C, int Filters, int Kernel, int Stride, int Pad>
struct conv_spec {
  static constexpr conv_geometry geometry{{H, W, C}, Filters, Kernel, Stride, Pad};
};
template <conv_geometry G>
using conv_spec_of = conv_spec<G.in.h, G.in.w, G.in.c, G.filters, G.kernel, G.stride, G.pad>;

/// The data gradient with stride s is s * s products: the pixels of dx whose coordinates have the
/// same remainders see the same taps, and only those that meet a pixel of dy.
constexpr int conv_phases(const conv_geometry& g) { return g.stride * g.stride; }
/// Taps along an axis that a phase sees, and its pixels along an axis of the given extent.
constexpr int conv_phase_taps(const conv_geometry& g) { return ceil_div(g.kernel, g.stride); }
constexpr int conv_phase_extent(const conv_geometry& g, int extent) {
  return ceil_div(extent, g.stride);
}

constexpr gemm_shape conv_forward_shape(const conv_geometry& g, int n) {
  return {n * g.out().pixels(), g.filters, g.taps()};
}
constexpr gemm_shape conv_backward_data_shape(const conv_geometry& g, int n) {
  const int taps = conv_phase_taps(g);
  return {n * conv_phase_extent(g, g.in.h) * conv_phase_extent(g, g.in.w), g.in.c,
          taps * taps * g.filters, conv_phases(g)};
}
constexpr gemm_shape conv_backward_weights_shape(const conv_geometry& g, int n) {
  return {g.filters, g.taps(), n * g.out().pixels()};
}

}  // namespace gantry::kernels
