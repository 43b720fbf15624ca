// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/pixel_norm/kernel.cuh"
#include "gantry/ops/pixel_norm.hpp"

namespace gantry::inline v0::kernels {

namespace detail {

template <class Body>
void start_pixel_norm(const context& c, const Body& body) {
  using selector = pixel_norm_policy_selector<Body::terms>;
  if (body.rows == 0) return;
  start(c, pixel_norm_kernel<selector, Body>, row_size(body.rows, selector{}()), body);
}

}  // namespace detail

template <hwc Shape>
void launch(const context& c, ops::pixel_norm_forward<Shape>,
            const params_of<ops::pixel_norm_forward<Shape>>& p) {
  detail::start_pixel_norm(
      c, pixel_norm_forward_body<Shape.c>{p.x.data, p.y.data, p.x.n * Shape.pixels(), p.epsilon});
}

template <hwc Shape>
void launch(const context& c, ops::pixel_norm_derivative<Shape>,
            const params_of<ops::pixel_norm_derivative<Shape>>& p) {
  detail::start_pixel_norm(
      c, pixel_norm_derivative_body<Shape.c>{p.x.data, p.dy.data, p.dx.data, p.x.n * Shape.pixels(),
                                             p.epsilon});
}

template <hwc Shape>
void launch(const context& c, ops::pixel_norm_second_order<Shape>,
            const params_of<ops::pixel_norm_second_order<Shape>>& p) {
  detail::start_pixel_norm(
      c, pixel_norm_bend_body<Shape.c>{p.x.data, p.tx.data, p.gy.data, p.ey.data, p.ex.data,
                                       p.x.n * Shape.pixels(), p.epsilon});
}

}  // namespace gantry::kernels
