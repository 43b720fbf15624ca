// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/minibatch/kernel.cuh"
#include "gantry/ops/minibatch.hpp"
#include "gantry/ops/minibatch_deviation.hpp"

namespace gantry::inline v0::kernels {

namespace detail {

template <minibatch_geometry G>
using similarity_shape_of = similarity_shape<G.in, G.kernels, G.dims>;
template <minibatch_geometry G>
using similarity_gradient_of = similarity_gradient_body<similarity_shape_of<G>, G.dims>;
template <hwc Shape, int Size>
using deviation_shape_of = deviation_shape<Shape.pixels(), Shape.c, Size>;

template <class Body>
void start_similarity(const context& c, const Body& body) {
  if (body.count == 0) return;
  start(c, similarity_kernel<similarity_policy_selector, Body>,
        stream_size(c, body.count, similarity_policy_selector{}()), body);
}

template <class Body>
void start_deviation(const context& c, const Body& body) {
  using selector = deviation_rows_policy_selector<Body::results>;
  if (body.rows == 0) return;
  start(c, deviation_rows_kernel<selector, Body>, row_size(body.rows, selector{}()), body);
}

/// Numbers of M, and of x where its part is wanted.
template <minibatch_geometry G>
std::size_t gradient_count(int n, const float* dx) {
  return nhwc::elements({1, 1, G.kernels * G.dims + (dx ? G.in : 0)}, n);
}

}  // namespace detail

template <minibatch_geometry G>
void launch(const context& c, ops::minibatch_similarity_forward<G>,
            const params_of<ops::minibatch_similarity_forward<G>>& p) {
  detail::start_similarity(c, similarity_body<detail::similarity_shape_of<G>>{
                                  p.x.data, p.m.data, nullptr, p.y.data, p.x.n,
                                  nhwc::elements({1, 1, G.in + G.kernels}, p.x.n)});
}

template <minibatch_geometry G>
void launch(const context& c, ops::minibatch_similarity_tangent<G>,
            const params_of<ops::minibatch_similarity_tangent<G>>& p) {
  detail::start_similarity(c, similarity_body<detail::similarity_shape_of<G>>{
                                  p.tx.data, p.m.data, p.tm.data, p.ty.data, p.tx.n,
                                  nhwc::elements({1, 1, G.in + G.kernels}, p.tx.n)});
}

template <minibatch_geometry G>
void launch(const context& c, ops::minibatch_similarity_backward<G>,
            const params_of<ops::minibatch_similarity_backward<G>>& p) {
  detail::start_similarity(c, detail::similarity_gradient_of<G>{
                                  p.m.data, nullptr, nullptr, p.dy.data, p.dm.data, nullptr,
                                  p.dx.data, p.m.n, detail::gradient_count<G>(p.m.n, p.dx.data)});
}

template <minibatch_geometry G>
void launch(const context& c, ops::minibatch_similarity_second_order<G>,
            const params_of<ops::minibatch_similarity_second_order<G>>& p) {
  float* ex = p.ey.data ? p.ex.data : nullptr;
  detail::start_similarity(c, detail::similarity_gradient_of<G>{
                                  p.m.data, p.tm.data, p.gy.data, p.ey.data, p.em.data, p.etm.data,
                                  ex, p.m.n, detail::gradient_count<G>(p.m.n, ex)});
}

template <hwc Shape, int Size>
void launch(const context& c, ops::minibatch_deviation_forward<Shape, Size>,
            const params_of<ops::minibatch_deviation_forward<Shape, Size>>& p) {
  detail::start_deviation(
      c, deviation_body<detail::deviation_shape_of<Shape, Size>, Size>{
             p.x.data, nullptr, p.y.data, p.x.n, sample_groups{p.x.n, Size}.count()});
}

template <hwc Shape, int Size>
void launch(const context& c, ops::minibatch_deviation_tangent<Shape, Size>,
            const params_of<ops::minibatch_deviation_tangent<Shape, Size>>& p) {
  detail::start_deviation(
      c, deviation_body<detail::deviation_shape_of<Shape, Size>, Size>{
             p.x.data, p.tx.data, p.ty.data, p.x.n, sample_groups{p.x.n, Size}.count()});
}

template <hwc Shape, int Size>
void launch(const context& c, ops::minibatch_deviation_backward<Shape, Size>,
            const params_of<ops::minibatch_deviation_backward<Shape, Size>>& p) {
  detail::start_deviation(c, deviation_gradient_body<detail::deviation_shape_of<Shape, Size>, Size>{
                                 p.x.data, nullptr, nullptr, p.dy.data, p.dx.data, p.x.n,
                                 sample_groups{p.x.n, Size}.count()});
}

template <hwc Shape, int Size>
void launch(const context& c, ops::minibatch_deviation_second_order<Shape, Size>,
            const params_of<ops::minibatch_deviation_second_order<Shape, Size>>& p) {
  detail::start_deviation(c, deviation_gradient_body<detail::deviation_shape_of<Shape, Size>, Size>{
                                 p.x.data, p.tx.data, p.gy.data, p.ey.data, p.ex.data, p.x.n,
                                 sample_groups{p.x.n, Size}.count()});
}

}  // namespace gantry::kernels
