// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/learned_basis/kernel.cuh"
#include "gantry/ops/learned_basis.hpp"

namespace gantry::inline v0::kernels {

namespace detail {

template <class Body>
void start_learned_basis(const context& c, const Body& body) {
  if (body.count == 0) return;
  start(c, learned_basis_kernel<learned_basis_policy_selector, Body>,
        stream_size(c, body.count, learned_basis_policy_selector{}()), body);
}

}  // namespace detail

template <hwc Out>
void launch(const context& c, ops::learned_basis<Out>,
            const params_of<ops::learned_basis<Out>>& p) {
  detail::start_learned_basis(c, learned_basis_body<Out.pixels(), Out.c>{
                                     p.x.data, p.basis, p.y.data, nhwc::elements(Out, p.x.n)});
}

template <hwc Out>
void launch(const context& c, ops::learned_basis_backward<Out>,
            const params_of<ops::learned_basis_backward<Out>>& p) {
  const std::size_t of_dx = p.dx.data ? nhwc::elements({1, 1, Out.c}, p.dy.n) : 0;
  const std::size_t of_basis = p.dbasis ? static_cast<std::size_t>(Out.size()) : 0;
  detail::start_learned_basis(
      c, learned_basis_gradient_body<Out.pixels(), Out.c>{
             p.x.data, p.dy.data, p.basis, p.dx.data, p.dbasis, p.dy.n, of_dx, of_dx + of_basis});
}

}  // namespace gantry::kernels
