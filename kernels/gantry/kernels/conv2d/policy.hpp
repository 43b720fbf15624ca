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

/// Taps along an axis of a phase whose first one is given.
constexpr int conv_existing_taps(int kernel, int stride, int first) {
  return (kernel - first + stride - 1) / stride;
}

/// The window along an axis that pixel `at` of the input is given to, of the `windows` there are:
/// who does something to each pixel once does it there.
constexpr int conv_owning_window(int at, int windows, int stride) {
  return at / stride < windows ? at / stride : windows - 1;
}
/// Whether each of the extent's pixels is in that window.
constexpr bool conv_windows_own(int extent, int windows, const conv_geometry& g) {
  for (int at = 0; at < extent; ++at)
    if (at - (conv_owning_window(at, windows, g.stride) * g.stride - g.pad) >= g.kernel)
      return false;
  return true;
}
/// The same for dy and the first phase of the data gradient: of the pixels of dx, counted in steps
/// of the stride up to `last`, the one that dy's pixel is given to which lies `from` behind what
/// pixel 0 sees by its first tap.
constexpr int conv_owning_pixel(int from, int last) {
  return from < 0 ? 0 : from < last ? from : last;
}
constexpr bool conv_first_phase_owns(int extent, int pixels_of_dy, const conv_geometry& g) {
  const int first = g.pad / g.stride;
  const int taps = conv_existing_taps(g.kernel, g.stride, g.pad % g.stride);
  for (int at = 0; at < pixels_of_dy; ++at) {
    const int tap = first + conv_owning_pixel(at - first, conv_phase_extent(g, extent) - 1) - at;
    if (tap < 0 || tap >= taps) return false;
  }
  return true;
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
