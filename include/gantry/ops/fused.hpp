// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Two ops in one launch: the results of the first are changed while they are in the cache or in
// registers. A backend that has such a kernel says so by an overload of launch for the pair, for
// the ops and extents it likes; for all others the layers launch the two ops one after the other
// (nn/chain.hpp). Both ways agree up to rounding.
#pragma once

#include <string_view>

#include "gantry/ops/operation.hpp"

namespace gantry::inline v0::ops {

/// Op, whose output y (dx of a transposed convolution's forward) then goes through f in place: a
/// product or a norm with the activation behind it.
template <class Op, class Function>
struct activated {
  static constexpr std::string_view name = "activated";
  template <class S>
  struct params {
    typename Op::template params<S> op;
    Function f;
  };
};

/// Op, an input gradient, whose output is then multiplied by f'(x): the layer's backward with that
/// of the activation before it. f' is taken from `y`, that activation's output, which lies like
/// the gradient.
template <class Op, class Function>
struct gated {
  static constexpr std::string_view name = "gated";
  template <class S>
  struct params {
    typename Op::template params<S> op;
    const typename S::scalar* y;
    Function f;
  };
};

}  // namespace gantry::ops
