// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Which kernel computes a convolution, by its geometry at compile time.
#pragma once

#include "gantry/backend/cpu/conv2d.hpp"
#include "gantry/backend/cpu/conv2d_thin.hpp"
#include "gantry/backend/cpu/eigen_products.hpp"
#include "gantry/backend/cpu/linear.hpp"
#include "gantry/backend/cpu/norm.hpp"
#include "gantry/backend/cpu/transfer.hpp"
#include "gantry/backend/cpu/winograd.hpp"

namespace gantry::inline v0::backend {

namespace detail {

/// Outputs of one pixel that read the whole input: a dense layer with the same weights.
constexpr bool is_dense(const conv_geometry& g) {
  return g.out().pixels() == 1 && g.pad == 0 && g.in.h == g.kernel && g.in.w == g.kernel;
}
template <conv_geometry G>
inline constexpr linear_geometry dense{G.in, G.filters};

/// A batch in canonical order, in scratch memory.
template <hwc Shape>
batch_view<const float, nhwc> canonical(cpu& b, scratch_use use, const float* x, int n) {
  float* to = scratch(use, nhwc::elements(Shape, n));
  to_canonical<Shape>(b, x, n, to);
  return {to, n};
}

/// y += bias per channel, of a batch in the blocked layout; padding channels are left alone.
template <hwc Shape>
void add_bias(cpu& b, const float* bias, int n, float* y) {
  per_channel<Shape> padded{};
  std::copy_n(bias, Shape.c, padded.begin());
  map_rows<channel_walk<blocked, Shape>>(
      b, n, [y, padded = padded.data()](std::size_t i, int c) { y[i] += padded[c]; });
}

}  // namespace detail

template <conv_geometry G>
void launch(cpu& b, ops::conv2d_forward<G>,
            const typename ops::conv2d_forward<G>::template params<cpu::storage>& p) {
  if constexpr (detail::fits_winograd(G)) {
    if (b.minimal_filtering) {
      detail::winograd<G>::forward(b, p.x.data, p.x.n, p.weight, p.y.data);
      if (p.bias) detail::add_bias<G.out()>(b, p.bias, p.x.n, p.y.data);
      return;
    }
  }
  if constexpr (detail::is_dense(G) && G.filters < blocked::block) {
    launch(b, ops::linear_forward<detail::dense<G>>{}, {p.x, p.weight, p.bias, p.y});
  } else if constexpr (G.filters >= blocked::block) {
    using sums = std::conditional_t<blocked::is_thin(G.in), detail::thin_sums<G>,
                                    detail::block_sums<G, false>>;
    detail::gather<sums>(b, p.x.data, p.x.n, p.weight, p.bias, p.y.data);
  } else {
    const auto x = detail::canonical<G.in>(b, scratch_use::op, p.x.data, p.x.n);
    float* y = scratch(scratch_use::op_output, nhwc::elements(G.out(), p.x.n));
    detail::convolve(b, G, x, p.weight, p.bias, y);
    detail::from_canonical<G.out()>(b, y, p.x.n, p.y.data);
  }
}

template <conv_geometry G>
void launch(cpu& b, ops::conv2d_backward_data<G>,
            const typename ops::conv2d_backward_data<G>::template params<cpu::storage>& p) {
  if constexpr (detail::fits_winograd(G)) {
    if (b.minimal_filtering) {
      detail::winograd<G>::backward_data(b, p.dy.data, p.dy.n, p.weight, p.dx.data);
      if (p.bias) detail::add_bias<G.in>(b, p.bias, p.dy.n, p.dx.data);
      return;
    }
  }
  if constexpr (detail::is_dense(G) && G.filters < blocked::block) {
    if (!p.bias)
      return launch(b, ops::linear_backward_data<detail::dense<G>>{},
                    {p.dy, p.weight, p.dx, false});
  }
  if constexpr (G.filters >= blocked::block && blocked::is_thin(G.in)) {
    detail::thin_data_gradient<G>::run(b, p.dy.data, p.dy.n, p.weight, p.bias, p.dx.data);
  } else if constexpr (G.filters >= blocked::block) {
    detail::gather<detail::block_sums<G, true>>(b, p.dy.data, p.dy.n, p.weight, p.bias, p.dx.data);
  } else {
    const auto dy = detail::canonical<G.out()>(b, scratch_use::op, p.dy.data, p.dy.n);
    float* dx = scratch(scratch_use::op_output, nhwc::elements(G.in, p.dy.n));
    detail::convolve_backward(b, G, dy, p.weight, p.bias, dx);
    detail::from_canonical<G.in>(b, dx, p.dy.n, p.dx.data);
  }
}

template <conv_geometry G>
void launch(cpu& b, ops::conv2d_backward_weights<G>,
            const typename ops::conv2d_backward_weights<G>::template params<cpu::storage>& p) {
  if constexpr (detail::fits_winograd(G)) {
    if (b.minimal_filtering)
      return detail::winograd<G>::backward_weights(b, p.x.data, p.dy.data, p.x.n, p.dweight);
  }
  if constexpr (detail::is_dense(G) && G.filters < blocked::block) {
    launch(b, ops::linear_backward_weights<detail::dense<G>>{}, {p.x, p.dy, p.dweight});
  } else if constexpr (G.filters >= blocked::block && blocked::is_thin(G.in)) {
    detail::thin_weight_gradient<G>::run(b, p.x.data, p.dy.data, p.x.n, p.dweight);
  } else if constexpr (G.filters >= blocked::block) {
    detail::block_weight_gradient<G>(b, p.x.data, p.dy.data, p.x.n, p.dweight);
  } else {
    const auto x = detail::canonical<G.in>(b, scratch_use::op, p.x.data, p.x.n);
    const auto dy = detail::canonical<G.out()>(b, scratch_use::op_output, p.dy.data, p.x.n);
    detail::convolve_backward_weights(b, G, x, dy.data, p.dweight);
  }
}

}  // namespace gantry::backend
