// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/resample/kernel.cuh"
#include "gantry/ops/resample.hpp"

namespace gantry::inline v0::kernels {

namespace detail {

template <class Body>
void start_resample(const context& c, const Body& body) {
  if (body.count == 0) return;
  start(c, resample_kernel<resample_policy_selector, Body>,
        stream_size(c, body.count, resample_policy_selector{}()), {body, body.count});
}

}  // namespace detail

template <square_geometry G>
void launch(const context& c, ops::sum_squares<G>, const params_of<ops::sum_squares<G>>& p) {
  detail::start_resample(c, sum_squares_body<G.large.h, G.large.w, G.large.c, G.factor>{
                                p.x.data, p.y.data, nhwc::elements(G.small(), p.x.n), p.scale});
}

template <square_geometry G>
void launch(const context& c, ops::spread_squares<G>, const params_of<ops::spread_squares<G>>& p) {
  detail::start_resample(c, spread_squares_body<G.large.h, G.large.w, G.large.c, G.factor>{
                                p.x.data, p.y.data, nhwc::elements(G.large, p.x.n), p.scale});
}

template <hwc Shape>
void launch(const context& c, ops::sum_pixels<Shape>, const params_of<ops::sum_pixels<Shape>>& p) {
  detail::start_resample(
      c, sum_pixels_body<Shape.pixels(), Shape.c>{p.x.data, p.y.data,
                                                  nhwc::elements({1, 1, Shape.c}, p.x.n), p.scale});
}

template <hwc Shape>
void launch(const context& c, ops::spread_pixels<Shape>,
            const params_of<ops::spread_pixels<Shape>>& p) {
  detail::start_resample(c, spread_pixels_body<Shape.pixels(), Shape.c>{
                                p.x.data, p.y.data, nhwc::elements(Shape, p.x.n), p.scale});
}

template <fold_geometry G>
void launch(const context& c, ops::fold_kernel<G>, const params_of<ops::fold_kernel<G>>& p) {
  detail::start_resample(c, fold_kernel_body<G.kind, G.filters, G.channels>{
                                p.weight, p.folded, static_cast<std::size_t>(G.folded())});
}

template <fold_geometry G>
void launch(const context& c, ops::unfold_gradient<G>,
            const params_of<ops::unfold_gradient<G>>& p) {
  detail::start_resample(c, unfold_gradient_body<G.kind, G.filters, G.channels>{
                                p.dfolded, p.dweight, static_cast<std::size_t>(G.weights())});
}

}  // namespace gantry::kernels
