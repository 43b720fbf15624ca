// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/spectral_norm/kernel.cuh"
#include "gantry/ops/spectral_norm.hpp"

namespace gantry::inline v0::kernels {

namespace detail {

/// Blocks for passes over a matrix of `count` numbers.
inline launch_size spectral_size(std::size_t count) {
  constexpr spectral_policy policy = spectral_policy_selector{}();
  const auto per_block = static_cast<std::size_t>(policy.threads * policy.numbers);
  return {dim3(static_cast<unsigned>(
              std::min(ceil_div(count, per_block), static_cast<std::size_t>(policy.most_blocks)))),
          static_cast<unsigned>(policy.threads)};
}

template <template <int> class Tile, class Args>
void start_spectral(const context& c, unsigned blocks, const Args& args) {
  using selector = spectral_policy_selector;
  start(c, spectral_kernel<selector, Tile, Args>,
        {dim3(blocks), static_cast<unsigned>(selector{}().threads)}, args);
}

}  // namespace detail

/// One launch. Needs a partial per row and column and two tickets. @throws usage_error
template <int Rows, int Columns>
void launch(const context& c, ops::spectral_normalise<Rows, Columns>,
            const params_of<ops::spectral_normalise<Rows, Columns>>& p) {
  expects(c.partial_count >= Rows + Columns && c.ticket_count >= 2,
          "Spectral normalisation needs scratch for a number per row and column and two tickets, "
          "found less; make the context's scratch larger.");
  const unsigned columns = p.iterate ? static_cast<unsigned>(ceil_div(Columns, 32)) : 0;
  const unsigned scale = detail::spectral_size(static_cast<std::size_t>(Rows) * Columns).grid.x;
  const spectral_args a{p.weight,
                        Rows,
                        Columns,
                        p.u,
                        p.v,
                        p.scaled,
                        p.saved_u,
                        p.saved_v,
                        p.sigma,
                        p.epsilon,
                        p.iterate,
                        c.partials,
                        c.partials + Columns,
                        columns,
                        scale,
                        c.tickets};
  detail::start_spectral<spectral_normalise_tile>(c, columns + Rows + scale, a);
}

/// Two launches. Needs a partial per block, at most spectral_policy::most_blocks, and one ticket.
/// @throws usage_error
template <int Rows, int Columns>
void launch(const context& c, ops::spectral_gradient<Rows, Columns>,
            const params_of<ops::spectral_gradient<Rows, Columns>>& p) {
  constexpr auto count = static_cast<std::size_t>(Rows) * Columns;
  const launch_size size = detail::spectral_size(count);
  expects(c.partial_count > size.grid.x && c.ticket_count >= 1,
          "The gradient of a spectral norm needs scratch for a partial sum per block and a ticket, "
          "found less; make the context's scratch larger.");
  const spectral_gradient_args a{p.gradient, p.scaled,       p.u,      p.v,
                                 p.sigma,    p.dweight,      Columns,  count,
                                 c.partials, c.partials + 1, c.tickets};
  detail::start_spectral<spectral_along_tile>(c, size.grid.x, a);
  start(c, spectral_gradient_kernel<spectral_policy_selector>, size, {a, count});
}

}  // namespace gantry::kernels
