// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/ops/operation.hpp"

namespace gantry {

/// Extents of mini-batch discrimination: `in` features, `kernels` rows of `dims` numbers each.
struct minibatch_geometry {
  int in{}, kernels{}, dims{};
  friend constexpr bool operator==(const minibatch_geometry&, const minibatch_geometry&) = default;
};

namespace ops {

/// y = [x, o] with o_b(i) = sum over j != i of exp(-|M_ib - M_jb|_1), M of extents
/// [n][kernels][dims] (Salimans et al., arXiv 1606.03498, section 3.2; the constant self term is
/// left out).
template <minibatch_geometry G>
struct minibatch_similarity_forward {
  static constexpr std::string_view name = "minibatch_similarity_forward";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const_batch_of<S> m;
    batch_of<S> y;
  };
};

/// dx = the part of dy that belongs to x (skipped when null), dm = the gradient through the
/// similarities.
template <minibatch_geometry G>
struct minibatch_similarity_backward {
  static constexpr std::string_view name = "minibatch_similarity_backward";
  template <class S>
  struct params {
    const_batch_of<S> m;
    const_batch_of<S> dy;
    batch_of<S> dx;
    batch_of<S> dm;
  };
};

}  // namespace ops
}  // namespace gantry
