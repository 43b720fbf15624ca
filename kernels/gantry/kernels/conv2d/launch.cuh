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

/// With what the fusion asks for in the same launch.
template <gemm_math Math, conv_geometry G>
void launch(const math_context<Math>& c, ops::conv2d_forward<G>,
            const params_of<ops::conv2d_forward<G>>& p, const product_fusion& fusion = {}) {
  constexpr gemm_shape one = conv_forward_shape(G, 1);
  const gemm_shape shape = conv_forward_shape(G, p.x.n);
  auto y = detail::result(p.y.data, shape.rows, shape.columns, fusion);
  y.bias = p.bias;
  detail::start_conv<gemm_shape{any_extent, G.filters, G.taps()}>(
      c, shape,
      conv_forward_problem<conv_spec_of<G>>{{p.x.data, shape.rows, allow_packs(p.x.data)},
                                            detail::matrix<true>(p.weight, G.filters, one.depth),
                                            y,
                                            one.depth,
                                            {}});
}

/// All phases in one launch; with a bias it is the forward of a transposed convolution.
template <gemm_math Math, conv_geometry G>
void launch(const math_context<Math>& c, ops::conv2d_backward_data<G>,
            const params_of<ops::conv2d_backward_data<G>>& p, const product_fusion& fusion = {}) {
  const gemm_shape shape = conv_backward_data_shape(G, p.dy.n);
  detail::start_conv<gemm_shape{any_extent, G.in.c, conv_backward_data_shape(G, 1).depth}>(
      c, shape,
      conv_backward_data_problem<conv_spec_of<G>>{p.dy.data,
                                                  p.weight,
                                                  p.bias,
                                                  p.dx.data,
                                                  shape.rows,
                                                  allow_packs(p.dy.data),
                                                  allow_packs(p.weight),
                                                  allow_packs(p.dx.data, fusion.gate),
                                                  fusion,
                                                  {}});
}

/// fusion: the bias's gradient, if any.
template <gemm_math Math, conv_geometry G>
void launch(const math_context<Math>& c, ops::conv2d_backward_weights<G>,
            const params_of<ops::conv2d_backward_weights<G>>& p,
            const product_fusion& fusion = {}) {
  const gemm_shape shape = conv_backward_weights_shape(G, p.x.n);
  auto dweight = detail::result(p.dweight, shape.rows, shape.columns, no_fusion{});
  dweight.accumulate = true;
  detail::start_conv<gemm_shape{G.filters, G.taps(), any_extent}>(
      c, shape,
      conv_backward_weights_problem<conv_spec_of<G>>{
          detail::matrix<false>(p.dy.data, G.filters, shape.depth),
          {p.x.data, shape.depth, allow_packs(p.x.data)},
          dweight,
          shape.depth,
          {},
          {fusion.line_sums}});
}

}  // namespace gantry::kernels
