// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "gantry/ops/operation.hpp"

namespace gantry::inline v0::ops {

/// y[h][w][c] = basis[h][w][c] x[c] for extents Out, x of 1 x 1 x c.
template <hwc Out>
struct learned_basis {
  static constexpr std::string_view name = "learned_basis";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const typename S::scalar* basis;
    batch_of<S> y;
  };
};

/// dx[c] = the sum of basis dy over pixels unless null, dbasis += the sum of x dy over samples
/// unless null.
template <hwc Out>
struct learned_basis_backward {
  static constexpr std::string_view name = "learned_basis_backward";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const_batch_of<S> dy;
    const typename S::scalar* basis;
    batch_of<S> dx;
    typename S::scalar* dbasis;
  };
};

}  // namespace gantry::ops
