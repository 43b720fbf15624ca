// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Which kernel computes a convolution, by its geometry at compile time.
#pragma once

#include <cstddef>

#include "gantry/backend/cpu/conv2d.hpp"
#include "gantry/backend/cpu/conv2d_thin.hpp"
#include "gantry/backend/cpu/eigen_products.hpp"
#include "gantry/backend/cpu/linear.hpp"
#include "gantry/backend/cpu/transfer.hpp"
#include "gantry/backend/cpu/winograd.hpp"
#include "gantry/backend/cpu/winograd_3x3.hpp"
#include "gantry/ops/fused.hpp"

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

/// True where the kernels of forward and of the input gradient are sums over blocks of filters,
/// which take an epilogue.
constexpr bool sums_blocks(const conv_geometry& g) { return g.filters >= blocked::block; }

/// A 3 x 3 convolution, or with Backward its adjoint.
template <conv_geometry G, bool Backward>
void convolve_3x3(cpu& b, const layer_product& p) {
  const winograd_3x3 minimal(G);
  minimal.convolve<Backward>(
      b, p,
      packed_once<winograd<G>, Backward>(
          b, p.weight, static_cast<std::size_t>(G.weights()), minimal.packed(),
          [&](float* to) { minimal.pack<Backward>(b, p.weight, to); }));
}

/// For geometries of which sums_blocks is true.
template <conv_geometry G>
void conv2d_forward(cpu& b, const layer_product& p) {
  if constexpr (fits_winograd(G))
    if (b.minimal_filtering) return winograd<G>::forward(b, p);
  if constexpr (fits_winograd_3x3(G))
    if (b.minimal_filtering) return convolve_3x3<G, false>(b, p);
  if constexpr (blocked::is_thin(G.in))
    gather<thin_sums<G>>(b, p);
  else
    gather<block_sums<G, false>>(b, p);
}
template <conv_geometry G>
void conv2d_backward_data(cpu& b, const layer_product& p) {
  if constexpr (fits_winograd(G))
    if (b.minimal_filtering) return winograd<G>::backward_data(b, p);
  if constexpr (fits_winograd_3x3(G))
    if (b.minimal_filtering) return convolve_3x3<G, true>(b, p);
  if constexpr (blocked::is_thin(G.in))
    thin_data_gradient<G>::run(b, p);
  else
    gather<block_sums<G, true>>(b, p);
}

}  // namespace detail

template <conv_geometry G>
void launch(cpu& b, ops::conv2d_forward<G>,
            const typename ops::conv2d_forward<G>::template params<cpu::storage>& p) {
  if constexpr (detail::is_dense(G) && G.filters < blocked::block) {
    launch(b, ops::linear_forward<detail::dense<G>>{}, {p.x, p.weight, p.bias, p.y});
  } else if constexpr (detail::sums_blocks(G)) {
    detail::conv2d_forward<G>(b, {p.x.data, p.x.n, p.weight, p.bias, p.y.data});
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
  if constexpr (detail::is_dense(G) && G.filters < blocked::block) {
    if (!p.bias)
      return launch(b, ops::linear_backward_data<detail::dense<G>>{},
                    {p.dy, p.weight, p.dx, false});
  }
  if constexpr (detail::sums_blocks(G)) {
    detail::conv2d_backward_data<G>(b, {p.dy.data, p.dy.n, p.weight, p.bias, p.dx.data});
  } else {
    const auto dy = detail::canonical<G.out()>(b, scratch_use::op, p.dy.data, p.dy.n);
    float* dx = scratch(scratch_use::op_output, nhwc::elements(G.in, p.dy.n));
    detail::convolve_backward(b, G, dy, p.weight, p.bias, dx);
    detail::from_canonical<G.in>(b, dx, p.dy.n, p.dx.data);
  }
}

/// Fused is ops::activated or ops::gated.
template <template <class, class> class Fused, conv_geometry G, class F>
requires(detail::sums_blocks(G)) void launch(
    cpu& b, Fused<ops::conv2d_forward<G>, F>,
    const typename Fused<ops::conv2d_forward<G>, F>::template params<cpu::storage>& p) {
  detail::conv2d_forward<G>(
      b, {p.op.x.data, p.op.x.n, p.op.weight, p.op.bias, p.op.y.data, detail::epilogue_of(p)});
}
template <template <class, class> class Fused, conv_geometry G, class F>
requires(detail::sums_blocks(G)) void launch(
    cpu& b, Fused<ops::conv2d_backward_data<G>, F>,
    const typename Fused<ops::conv2d_backward_data<G>, F>::template params<cpu::storage>& p) {
  detail::conv2d_backward_data<G>(
      b, {p.op.dy.data, p.op.dy.n, p.op.weight, p.op.bias, p.op.dx.data, detail::epilogue_of(p)});
}

/// Of an input gradient, which has no bias.
template <conv_geometry G, class F>
requires(detail::is_dense(G) && !detail::sums_blocks(G) &&
         detail::has_whole_blocks(
             G.in)) void launch(cpu& b, ops::gated<ops::conv2d_backward_data<G>, F>,
                                const typename ops::gated<ops::conv2d_backward_data<G>,
                                                          F>::template params<cpu::storage>& p) {
  launch(b, ops::gated<ops::linear_backward_data<detail::dense<G>>, F>{},
         {{p.op.dy, p.op.weight, p.op.dx, false}, p.y, p.f});
}

template <conv_geometry G>
void launch(cpu& b, ops::conv2d_backward_weights<G>,
            const typename ops::conv2d_backward_weights<G>::template params<cpu::storage>& p) {
  if constexpr (detail::fits_winograd(G)) {
    if (b.minimal_filtering)
      return detail::winograd<G>::backward_weights(b, p.x.data, p.dy.data, p.x.n, p.dweight);
  }
  if constexpr (detail::fits_winograd_3x3(G)) {
    if (b.minimal_filtering)
      return detail::winograd_3x3(G).backward_weights(b, p.x.data, p.dy.data, p.x.n, p.dweight);
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
