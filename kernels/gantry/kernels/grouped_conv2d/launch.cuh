// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/grouped_conv2d/kernel.cuh"
#include "gantry/ops/grouped_conv2d.hpp"

namespace gantry::inline v0::kernels {

namespace detail {

template <grouped_geometry G>
using grouped_spec_of =
    grouped_spec<G.in.h, G.in.w, G.in.c, G.filters, G.kernel, G.stride, G.pad, G.groups>;

template <class Body>
void start_grouped(const context& c, const Body& body) {
  if (body.count == 0) return;
  start(c, grouped_conv2d_kernel<grouped_policy_selector, Body>,
        stream_size(c, body.count, grouped_policy_selector{}()), body);
}

}  // namespace detail

template <grouped_geometry G>
void launch(const context& c, ops::grouped_conv2d_forward<G>,
            const params_of<ops::grouped_conv2d_forward<G>>& p) {
  detail::start_grouped(
      c, grouped_forward_body<detail::grouped_spec_of<G>>{p.x.data, p.weight, p.bias, p.y.data,
                                                          nhwc::elements(G.out(), p.x.n)});
}

template <grouped_geometry G>
void launch(const context& c, ops::grouped_conv2d_backward_data<G>,
            const params_of<ops::grouped_conv2d_backward_data<G>>& p) {
  detail::start_grouped(c, grouped_backward_data_body<detail::grouped_spec_of<G>>{
                               p.dy.data, p.weight, p.dx.data, nhwc::elements(G.in, p.dy.n)});
}

template <grouped_geometry G>
void launch(const context& c, ops::grouped_conv2d_backward_weights<G>,
            const params_of<ops::grouped_conv2d_backward_weights<G>>& p) {
  using body = grouped_weights_body<detail::grouped_spec_of<G>>;
  using selector = grouped_weights_policy_selector<body::terms>;
  if (p.x.n == 0) return;
  start(c, grouped_weights_kernel<selector, body>, row_size(G.weights(), selector{}()),
        {p.x.data, p.dy.data, p.dweight, p.x.n, G.weights()});
}

}  // namespace gantry::kernels
