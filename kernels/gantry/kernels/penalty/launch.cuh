// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/penalty/kernel.cuh"
#include "gantry/ops/penalty.hpp"

namespace gantry::inline v0::kernels {

namespace detail {

template <class Body>
void start_points(const context& c, const Body& body, bool aligned) {
  constexpr points_policy_selector select;
  if (body.count == 0) return;
  start(c,
        aligned ? points_kernel<points_policy_selector, true, Body>
                : points_kernel<points_policy_selector, false, Body>,
        stream_size(c, body.count, select(aligned)), body);
}

}  // namespace detail

/// Needs a partial per sample and one ticket. @throws usage_error
template <hwc Shape, class Function>
void launch(const context& c, ops::gradient_penalty<Shape, Function>,
            const params_of<ops::gradient_penalty<Shape, Function>>& p) {
  if (p.g.n == 0) return;
  expects(c.partial_count >= static_cast<std::size_t>(p.g.n) && c.ticket_count >= 1,
          "A penalty needs scratch for a number per sample and a ticket, found less; make the "
          "context's scratch larger.");
  start(c, gradient_penalty_kernel<penalty_policy_selector, Function>,
        {dim3(static_cast<unsigned>(p.g.n)),
         static_cast<unsigned>(penalty_policy_selector{}().threads)},
        {p.g.data, p.v.data, Shape.size(), static_cast<double>(p.weight) / p.g.n, p.sum, p.f,
         c.partials, c.tickets});
}

template <hwc Shape>
void launch(const context& c, ops::interpolate<Shape>,
            const params_of<ops::interpolate<Shape>>& p) {
  detail::start_points(c,
                       interpolate_body<Shape.size()>{p.a.data, p.b.data, p.y.data,
                                                      nhwc::elements(Shape, p.y.n), p.stream},
                       allow_packs(p.a.data, p.b.data, p.y.data));
}

/// The deviation of the batch in a launch of its own; it lies in the first partial. Needs two
/// partials per block and one ticket. @throws usage_error
template <hwc Shape>
void launch(const context& c, ops::perturb<Shape>, const params_of<ops::perturb<Shape>>& p) {
  constexpr penalty_policy policy = penalty_policy_selector{}();
  const std::size_t count = nhwc::elements(Shape, p.x.n);
  if (count == 0) return;
  const auto per_block = static_cast<std::size_t>(policy.threads * policy.numbers);
  const std::size_t blocks =
      std::min(ceil_div(count, per_block), static_cast<std::size_t>(policy.most_blocks));
  expects(c.partial_count >= 1 + 2 * blocks && c.ticket_count >= 1,
          "Noise around samples needs scratch for two partial sums per block and a ticket, found "
          "less; make the context's scratch larger.");
  start(c, deviation_kernel<penalty_policy_selector>,
        {dim3(static_cast<unsigned>(blocks)), static_cast<unsigned>(policy.threads)},
        {p.x.data, count, p.radius, c.partials, c.partials + 1, c.tickets});
  detail::start_points(c,
                       perturb_body<Shape.size()>{p.x.data, p.y.data, count, c.partials, p.stream},
                       allow_packs(p.x.data, p.y.data));
}

}  // namespace gantry::kernels
