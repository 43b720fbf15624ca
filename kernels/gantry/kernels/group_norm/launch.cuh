// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/group_norm/kernel.cuh"
#include "gantry/ops/group_norm.hpp"

namespace gantry::inline v0::kernels {

namespace detail {

template <hwc Shape, int Groups>
using group_shape_of = group_shape<Shape.pixels(), Shape.c, Groups>;

/// A row per group and sample.
template <class Body>
void start_group_norm(const context& c, const Body& body) {
  using selector = group_norm_policy_selector<Body::terms>;
  if (body.rows == 0) return;
  start(c, group_norm_kernel<selector, Body>, row_size(body.rows, selector{}()), body);
}

/// The scratch begins with `reserved` floats. @throws usage_error
template <hwc Shape, class Body>
void start_group_parameters(const context& c, int n, const Body& body, std::size_t reserved) {
  using selector = group_parameters_policy_selector<Shape.c>;
  start_columns<selector>(c, group_parameters_kernel<selector, Body>, body, n * Shape.pixels(),
                          Shape.c, reserved);
}

}  // namespace detail

template <hwc Shape, int Groups>
void launch(const context& c, ops::group_norm_forward<Shape, Groups>,
            const params_of<ops::group_norm_forward<Shape, Groups>>& p) {
  detail::start_group_norm(c, group_norm_forward_body<detail::group_shape_of<Shape, Groups>>{
                                  p.x.data, p.gamma, p.beta, p.saved_mean,
                                  p.saved_inverse_deviation, p.y.data, p.x.n * Groups, p.epsilon});
}

/// The parameters first: dx may take the place of dy.
template <hwc Shape, int Groups>
void launch(const context& c, ops::group_norm_backward<Shape, Groups>,
            const params_of<ops::group_norm_backward<Shape, Groups>>& p) {
  using shape = detail::group_shape_of<Shape, Groups>;
  if (p.dgamma)
    detail::start_group_parameters<Shape>(
        c, p.x.n,
        group_parameters_body<shape, Shape.c, Groups>{p.x.data, p.dy.data, p.saved_mean,
                                                      p.saved_inverse_deviation, nullptr, nullptr,
                                                      nullptr, p.dgamma, p.dbeta},
        0);
  if (p.dx.data)
    detail::start_group_norm(c, group_norm_derivative_body<shape>{
                                    p.x.data, p.dy.data, p.gamma, p.saved_mean,
                                    p.saved_inverse_deviation, p.dx.data, p.x.n * Groups, false});
}

template <hwc Shape, int Groups>
void launch(const context& c, ops::group_norm_tangent<Shape, Groups>,
            const params_of<ops::group_norm_tangent<Shape, Groups>>& p) {
  detail::start_group_norm(c, group_norm_derivative_body<detail::group_shape_of<Shape, Groups>>{
                                  p.x.data, p.tx.data, p.gamma, p.saved_mean,
                                  p.saved_inverse_deviation, p.ty.data, p.x.n * Groups, true});
}

/// Needs scratch for two numbers per group and sample beside the sums. @throws usage_error
template <hwc Shape, int Groups>
void launch(const context& c, ops::group_norm_second_order<Shape, Groups>,
            const params_of<ops::group_norm_second_order<Shape, Groups>>& p) {
  using shape = detail::group_shape_of<Shape, Groups>;
  const auto kept = static_cast<std::size_t>(2 * p.x.n * Groups);
  expects(c.partial_count >= kept,
          "The second order of group norm needs scratch for two numbers per group and sample, "
          "found less; make the context's scratch larger.");
  detail::start_group_norm(
      c, group_norm_bend_body<shape>{p.x.data, p.tx.data, p.gy.data, p.ey.data, p.gamma,
                                     p.saved_mean, p.saved_inverse_deviation, p.ex.data, c.partials,
                                     p.x.n * Groups, p.ex.data ? shape::size : 0});
  if (p.dgamma)
    detail::start_group_parameters<Shape>(
        c, p.x.n,
        group_parameters_body<shape, Shape.c, Groups>{p.x.data, p.ey.data, p.saved_mean,
                                                      p.saved_inverse_deviation, p.tx.data,
                                                      p.gy.data, c.partials, p.dgamma, p.dbeta},
        kept);
}

}  // namespace gantry::kernels
