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

template <bilinear_geometry G>
void launch(const context& c, ops::bilinear_forward<G>,
            const params_of<ops::bilinear_forward<G>>& p) {
  detail::start_resample(c, bilinear_body<G.in.h, G.in.w, G.in.c, G.factor>{
                                p.x.data, p.y.data, nhwc::elements(G.out(), p.x.n)});
}

template <bilinear_geometry G>
void launch(const context& c, ops::bilinear_backward<G>,
            const params_of<ops::bilinear_backward<G>>& p) {
  detail::start_resample(c, bilinear_adjoint_body<G.in.h, G.in.w, G.in.c, G.factor>{
                                p.dy.data, p.dx.data, nhwc::elements(G.in, p.dy.n)});
}

template <hwc Large>
void launch(const context& c, ops::filter_halve<Large>,
            const params_of<ops::filter_halve<Large>>& p) {
  constexpr hwc small{Large.h / 2, Large.w / 2, Large.c};
  detail::start_resample(c, filter_halve_body<Large.h, Large.w, Large.c>{
                                p.x.data, p.y.data, nhwc::elements(small, p.x.n), p.scale});
}

template <hwc Large>
void launch(const context& c, ops::filter_double<Large>,
            const params_of<ops::filter_double<Large>>& p) {
  detail::start_resample(c, filter_double_body<Large.h, Large.w, Large.c>{
                                p.x.data, p.y.data, nhwc::elements(Large, p.x.n), p.scale});
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
