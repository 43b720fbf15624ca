// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/conv2d/kernel.cuh"
#include "gantry/kernels/gemm/launch.cuh"

namespace gantry::inline v0::kernels {

namespace detail {

template <gemm_shape Most, gemm_math Math, class Problem>
void start_conv(const math_context<Math>& c, const gemm_shape& shape, const Problem& problem) {
  start_product<Most>(c, shape, problem,
                      []<class Selector>(Selector) { return conv2d_kernel<Selector, Problem>; });
}

}  // namespace detail

template <conv_geometry G>
constexpr bool loads_norm(ops::conv2d_forward<G>, int channels) {
  return conv_windows<conv_spec_of<G>>::takes_norm && channels == G.in.c;
}
template <conv_geometry G>
constexpr bool loads_norm(ops::conv2d_backward_data<G>, int channels) {
  return conv_gradient_windows<conv_spec_of<G>>::takes_norm && channels == G.filters;
}

/// With what the fusion asks for in the same launch.
template <gemm_math Math, conv_geometry G>
void launch(const math_context<Math>& c, ops::conv2d_forward<G> op,
            const params_of<ops::conv2d_forward<G>>& p, const product_fusion& fusion = {}) {
  constexpr gemm_shape one = conv_forward_shape(G, 1);
  const gemm_shape shape = conv_forward_shape(G, p.x.n);
  const float* const x =
      detail::left_source(p.x.data, fusion.norm, loads_norm(op, fusion.norm.channels));
  auto y = detail::result(p.y.data, shape.rows, shape.columns, fusion);
  y.bias = p.bias;
  detail::start_conv<gemm_shape{any_extent, G.filters, G.taps()}>(
      c, shape,
      conv_forward_problem<conv_spec_of<G>>{{x, shape.rows, allow_packs(x)},
                                            detail::matrix<true>(p.weight, G.filters, one.depth),
                                            y,
                                            one.depth,
                                            {}});
}

/// All phases in one launch; with a bias it is the forward of a transposed convolution.
template <gemm_math Math, conv_geometry G>
void launch(const math_context<Math>& c, ops::conv2d_backward_data<G> op,
            const params_of<ops::conv2d_backward_data<G>>& p, const product_fusion& fusion = {}) {
  const gemm_shape shape = conv_backward_data_shape(G, p.dy.n);
  const float* const dy =
      detail::left_source(p.dy.data, fusion.norm, loads_norm(op, fusion.norm.channels));
  detail::start_conv<gemm_shape{any_extent, G.in.c, conv_backward_data_shape(G, 1).depth}>(
      c, shape,
      conv_backward_data_problem<conv_spec_of<G>>{dy,
                                                  p.weight,
                                                  p.bias,
                                                  p.dx.data,
                                                  shape.rows,
                                                  allow_packs(dy),
                                                  allow_packs(p.weight),
                                                  allow_packs(p.dx.data, fusion.gate),
                                                  fusion,
                                                  {}});
}

template <conv_geometry G>
constexpr bool loads_norm_gradient(ops::conv2d_backward_weights<G>, int channels, bool is_dy) {
  if (is_dy) return channels == G.filters;
  return conv_windows<conv_spec_of<G>>::takes_norm && channels == G.in.c;
}

template <gemm_math Math, conv_geometry G>
void launch(const math_context<Math>& c, ops::conv2d_backward_weights<G> op,
            const params_of<ops::conv2d_backward_weights<G>>& p,
            const weights_fusion& fusion = {}) {
  const gemm_shape shape = conv_backward_weights_shape(G, p.x.n);
  const norm_gradient_pass& norm = fusion.norm_gradient;
  expects(!norm.dx || norm.dx == p.dy.data || norm.dx == p.x.data,
          "A convolution's weight gradient normalises its dy or its x; start the norm by itself.");
  const float* const dy =
      detail::operand_source(p.dy.data, norm, loads_norm_gradient(op, norm.channels, true));
  const float* const x =
      detail::operand_source(p.x.data, norm, loads_norm_gradient(op, norm.channels, false));
  auto dweight = detail::result(p.dweight, shape.rows, shape.columns,
                                gradient_norm_fusion<true>{norm, norm.dx == p.x.data});
  dweight.accumulate = true;
  detail::start_conv<gemm_shape{G.filters, G.taps(), any_extent}>(
      c, shape,
      conv_backward_weights_problem<conv_spec_of<G>>{
          detail::matrix<false>(dy, G.filters, shape.depth),
          {x, shape.depth, allow_packs(x)},
          dweight,
          shape.depth,
          {},
          {fusion.line_sums}});
}

}  // namespace gantry::kernels
