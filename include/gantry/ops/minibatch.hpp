// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "gantry/ops/operation.hpp"

namespace gantry::inline v0 {

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

/// The derivative along tx and tm, the tangent of M. With c_ijb = exp(-|M_ib - M_jb|_1) and
/// D_ijb = sum over d of sign(M_ibd - M_jbd) (tm_ibd - tm_jbd):
///   ty = [tx, to],  to_b(i) = - sum over j of c_ijb D_ijb
template <minibatch_geometry G>
struct minibatch_similarity_tangent {
  static constexpr std::string_view name = "minibatch_similarity_tangent";
  template <class S>
  struct params {
    const_batch_of<S> tx;
    const_batch_of<S> m;
    const_batch_of<S> tm;
    batch_of<S> ty;
  };
};

/// Derivatives of F = <gy, ty> + <ey, y> by M and by tm; gy and ey belong to y, their parts of the
/// similarities are go and eo:
///   em_ibd  = - sum over j of c_ijb sign(M_ibd - M_jbd) (eo_ib + eo_jb - (go_ib + go_jb) D_ijb)
///   etm_ibd = - sum over j of c_ijb sign(M_ibd - M_jbd) (go_ib + go_jb)
/// ex is the part of ey that belongs to x. ey may be null (zero, ex is not touched), so may ex.
template <minibatch_geometry G>
struct minibatch_similarity_second_order {
  static constexpr std::string_view name = "minibatch_similarity_second_order";
  template <class S>
  struct params {
    const_batch_of<S> m;
    const_batch_of<S> tm;
    const_batch_of<S> gy;
    const_batch_of<S> ey;
    batch_of<S> ex;
    batch_of<S> em;
    batch_of<S> etm;
  };
};

}  // namespace ops
}  // namespace gantry
