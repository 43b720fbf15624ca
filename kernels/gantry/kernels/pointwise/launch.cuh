// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/pointwise/kernel.cuh"
#include "gantry/ops/loss.hpp"

namespace gantry::inline v0::kernels {

namespace detail {

template <class Body>
void start_pointwise(const context& c, const Body& body, bool aligned) {
  constexpr pointwise_policy_selector select;
  if (body.count == 0) return;
  // One number may lie elsewhere in each step, and its kernel must not change: that would end a
  // recorded graph.
  aligned = aligned && body.count >= 4;
  start(c,
        aligned ? pointwise_kernel<pointwise_policy_selector, true, Body>
                : pointwise_kernel<pointwise_policy_selector, false, Body>,
        stream_size(c, body.count, select(aligned)), body);
}

}  // namespace detail

template <class F>
void launch(const context& c, ops::activation_forward<F>,
            const params_of<ops::activation_forward<F>>& p) {
  detail::start_pointwise(c, activation_forward_body<F>{p.x, p.y, p.count, p.f},
                          allow_packs(p.x, p.y));
}

template <class F>
void launch(const context& c, ops::activation_backward<F>,
            const params_of<ops::activation_backward<F>>& p) {
  detail::start_pointwise(c, activation_backward_body<F>{p.y, p.dy, p.dx, p.count, p.f},
                          allow_packs(p.y, p.dy, p.dx));
}

template <class F>
void launch(const context& c, ops::activation_second_order<F>,
            const params_of<ops::activation_second_order<F>>& p) {
  detail::start_pointwise(
      c, activation_second_order_body<F>{p.y, p.tx, p.gy, p.ey, p.ex, p.count, p.f},
      allow_packs(p.y, p.tx, p.gy, p.ey, p.ex));
}

template <hwc Shape>
void launch(const context& c, ops::accumulate_scaled<Shape>,
            const params_of<ops::accumulate_scaled<Shape>>& p) {
  detail::start_pointwise(c,
                          accumulate_scaled_body<Shape.size()>{p.x.data, p.scale, p.y.data,
                                                               nhwc::elements(Shape, p.x.n)},
                          allow_packs(p.x.data, p.y.data));
}

inline void launch(const context& c, ops::copy, const params_of<ops::copy>& p,
                   const activation_behind& behind = {}) {
  detail::start_pointwise(c, copy_body{p.x, p.y, p.count, behind},
                          allow_packs(p.x, p.y, behind.gate));
}
inline void launch(const context& c, ops::accumulate, const params_of<ops::accumulate>& p) {
  detail::start_pointwise(c, accumulate_body{p.x, p.y, p.count}, allow_packs(p.x, p.y));
}
inline void launch(const context& c, ops::fill, const params_of<ops::fill>& p) {
  detail::start_pointwise(c, fill_body{p.y, p.count, p.value}, allow_packs(p.y));
}
/// And `others`, which may be longer than p.y. @throws usage_error if `more` is
inline void launch(const context& c, ops::clear, const params_of<ops::clear>& p,
                   const cleared& others = {}) {
  expects(p.more_count <= p.count,
          "The second array to clear must not be longer than the first; exchange them.");
  const cleared more{p.more, p.more_count}, first{p.y, p.count};
  const bool swapped = others.count > p.count;
  const cleared &longest = swapped ? others : first, &shorter = swapped ? first : others;
  detail::start_pointwise(c, clear_body{longest.y, longest.count, more, shorter},
                          allow_packs(p.y, others.y));
}
inline void launch(const context& c, ops::clamp, const params_of<ops::clamp>& p) {
  detail::start_pointwise(c, clamp_body{p.y, p.count, p.bound}, allow_packs(p.y));
}

/// @throws usage_error where the scratch is too small
template <class F>
void launch(const context& c, ops::loss_term<F>, const params_of<ops::loss_term<F>>& p,
            const output_copies& copies = {}) {
  if (p.count == 0) return;
  start(c, loss_term_kernel<loss_policy_selector, F>, detail::loss_size(c, p.count),
        {p.logits, p.gradient, p.count, p.scale, p.sum, p.f, c.partials, c.tickets, copies});
}

/// @throws usage_error where the scratch is too small
template <class OnA, class OnB>
void launch(const context& c, ops::two_loss_terms<OnA, OnB>,
            const params_of<ops::two_loss_terms<OnA, OnB>>& p, const output_copies& copies = {}) {
  const std::size_t count = p.count_a + p.count_b;
  if (count == 0) return;
  const auto share = [](std::size_t n) { return n > 0 ? 1.0f / static_cast<float>(n) : 0.0f; };
  start(c, two_loss_terms_kernel<loss_policy_selector, OnA, OnB>, detail::loss_size(c, count),
        {{p.count_a, count, p.sum, p.f, p.g, c.partials, c.tickets, copies},
         p.a,
         p.b,
         p.gradient_a,
         p.gradient_b,
         share(p.count_a),
         share(p.count_b)});
}

/// @throws usage_error where the scratch is too small
template <class F>
void launch(const context& c, ops::paired_term<F>, const params_of<ops::paired_term<F>>& p,
            const output_copies& copies = {}) {
  if (p.count == 0) return;
  start(c, paired_term_kernel<loss_policy_selector, F>, detail::loss_size(c, p.count),
        {p.a, p.b, p.gradient_a, p.gradient_b, p.count, p.scale, p.sum, p.f, c.partials, c.tickets,
         copies});
}

template <class OnA, class OnB>
void launch(const context& c, ops::relativistic_average_terms<OnA, OnB>,
            const params_of<ops::relativistic_average_terms<OnA, OnB>>& p,
            const output_copies& copies = {}) {
  if (p.count == 0) return;
  start(c, relativistic_average_kernel<loss_policy_selector, OnA, OnB>,
        {dim3(1), static_cast<unsigned>(loss_policy_selector{}().threads)},
        {p.a, p.b, p.gradient_a, p.gradient_b, p.count, p.sum, p.f, p.g, copies});
}

}  // namespace gantry::kernels
