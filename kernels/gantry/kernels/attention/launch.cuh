// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "gantry/kernels/attention/kernel.cuh"
#include "gantry/kernels/common/rows.cuh"
#include "gantry/ops/attention.hpp"

namespace gantry::inline v0::kernels {

namespace detail {

template <attention_geometry G>
using attention_shape_of = attention_shape<G.positions(), G.keys, G.values>;

template <class Body>
void start_attention(const context& c, const Body& body) {
  using selector = attention_policy_selector<Body::shape::positions, Body::arrays>;
  constexpr row_policy policy = selector{}();
  using shared = typename attention_tile<policy.threads>::template shared_storage<Body>;
  constexpr std::size_t most_of_any = std::size_t{99} << 10;
  static_assert(sizeof(shared) <= most_of_any,
                "a warp of this attention keeps numbers per pixel in shared memory and has no room "
                "for so many pixels: put the layer behind one more reduction of the image");
  if (body.rows == 0) return;
  launch_size size = row_size(body.rows, policy);
  size.shared_bytes = sizeof(shared);
  start(c, attention_kernel<selector, Body>, size, body);
}

/// Rows first, columns with their means. @throws usage_error
template <class Shape, bool Second>
void start_attention_gradient(const context& c, const attention_gradient<Shape, Second>& args) {
  expects(c.partial_count >= 3 * static_cast<std::size_t>(args.rows),
          "Gradients of attention need scratch for three numbers per pixel, found less; make the "
          "context's scratch larger.");
  start_attention(c, attention_rows_body<Shape, Second>{args});
  start_attention(c, attention_columns_body<Shape, Second>{args});
}

}  // namespace detail

template <attention_geometry G>
void launch(const context& c, ops::attention_forward<G>,
            const params_of<ops::attention_forward<G>>& p) {
  detail::start_attention(c, attention_forward_body<detail::attention_shape_of<G>>{
                                 p.x.data, p.y.data, p.normaliser, p.x.n * G.positions()});
}

template <attention_geometry G>
void launch(const context& c, ops::attention_tangent<G>,
            const params_of<ops::attention_tangent<G>>& p) {
  detail::start_attention(
      c, attention_tangent_body<detail::attention_shape_of<G>>{p.x.data, p.normaliser, p.tx.data,
                                                               p.ty.data, p.x.n * G.positions()});
}

template <attention_geometry G>
void launch(const context& c, ops::attention_backward<G>,
            const params_of<ops::attention_backward<G>>& p) {
  detail::start_attention_gradient(c, attention_gradient<detail::attention_shape_of<G>, false>{
                                          p.x.data, p.normaliser, nullptr, nullptr, p.dy.data,
                                          p.dx.data, c.partials, p.x.n * G.positions()});
}

template <attention_geometry G>
void launch(const context& c, ops::attention_second_order<G>,
            const params_of<ops::attention_second_order<G>>& p) {
  detail::start_attention_gradient(c, attention_gradient<detail::attention_shape_of<G>, true>{
                                          p.x.data, p.normaliser, p.tx.data, p.gy.data, p.ey.data,
                                          p.ex.data, c.partials, p.x.n * G.positions()});
}

inline void launch(const context& c, ops::scaled_copy, const params_of<ops::scaled_copy>& p) {
  constexpr scaled_copy_policy_selector select;
  const bool aligned = allow_packs(p.x, p.y);
  if (p.count == 0) return;
  start(c,
        aligned ? scaled_copy_kernel<scaled_copy_policy_selector, true>
                : scaled_copy_kernel<scaled_copy_policy_selector, false>,
        stream_size(c, p.count, select(aligned)), {p.x, p.scale, p.y, p.count});
}

/// Needs a partial per block and one ticket. @throws usage_error
inline void launch(const context& c, ops::scaled_copy_gradient,
                   const params_of<ops::scaled_copy_gradient>& p) {
  constexpr scaled_gradient_policy policy = scaled_gradient_policy_selector{}();
  if (p.count == 0) return;
  const auto per_block = static_cast<std::size_t>(policy.threads * policy.numbers);
  const std::size_t blocks =
      std::min(ceil_div(p.count, per_block), static_cast<std::size_t>(policy.most_blocks));
  expects(c.partial_count >= blocks && c.ticket_count >= 1,
          "The gradient of a scaled copy needs scratch for a number per block and a ticket, found "
          "less; make the context's scratch larger.");
  start(c, scaled_gradient_kernel<scaled_gradient_policy_selector>,
        {dim3(static_cast<unsigned>(blocks)), static_cast<unsigned>(policy.threads)},
        {p.x, p.scale, p.dy, p.dx, p.dscale, p.count, c.partials, c.tickets});
}

}  // namespace gantry::kernels
