// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Group normalisation (Wu and He, arXiv 1803.08494) and its derivatives up to the second. Channels
// are cut into Groups equal runs; each run of each sample has statistics of its own, over all
// pixels. With M numbers in a group, mean(.) over them, r = 1 / sqrt(var + epsilon), var biased:
//   u = (x - mean(x)) r                 y = gamma u + beta
//   tu = r (tx - mean(tx) - u mean(u tx))
// Statistics are saved as [sample][group].
#pragma once

#include <string_view>

#include "gantry/ops/operation.hpp"

namespace gantry::inline v0::ops {

/// y = gamma u + beta per channel; saves mean and r.
template <hwc Shape, int Groups>
struct group_norm_forward {
  static constexpr std::string_view name = "group_norm_forward";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const typename S::scalar* gamma;
    const typename S::scalar* beta;
    typename S::scalar* saved_mean;
    typename S::scalar* saved_inverse_deviation;
    batch_of<S> y;
    float epsilon;
  };
};

/// Gradient of group_norm_forward. dgamma and dbeta are accumulated and may be null together; dx
/// may be null or alias dy.
template <hwc Shape, int Groups>
struct group_norm_backward {
  static constexpr std::string_view name = "group_norm_backward";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const_batch_of<S> dy;
    const typename S::scalar* gamma;
    const typename S::scalar* saved_mean;
    const typename S::scalar* saved_inverse_deviation;
    batch_of<S> dx;
    typename S::scalar* dgamma;
    typename S::scalar* dbeta;
  };
};

/// ty = gamma tu, the derivative of group_norm_forward along tx; ty may alias tx.
template <hwc Shape, int Groups>
struct group_norm_tangent {
  static constexpr std::string_view name = "group_norm_tangent";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const_batch_of<S> tx;
    const typename S::scalar* gamma;
    const typename S::scalar* saved_mean;
    const typename S::scalar* saved_inverse_deviation;
    batch_of<S> ty;
  };
};

/// Derivatives of F = <gy, gamma tu> + <ey, gamma u + beta>. With g = gamma gy, e = gamma ey,
/// a = mean(tx), b = mean(u tx), c = mean(u g):
///   ex = r (e - mean(e) - u mean(u e))
///        - r^2 (c (tx - a) + b (g - mean(g)) + u (mean(g tx) - a mean(g) - 3 b c))
///   dgamma += gy tu + ey u    dbeta += ey
/// ey may be null (zero), so may ex (not wanted), and dgamma and dbeta together.
template <hwc Shape, int Groups>
struct group_norm_second_order {
  static constexpr std::string_view name = "group_norm_second_order";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const_batch_of<S> tx;
    const_batch_of<S> gy;
    const_batch_of<S> ey;
    const typename S::scalar* gamma;
    const typename S::scalar* saved_mean;
    const typename S::scalar* saved_inverse_deviation;
    batch_of<S> ex;
    typename S::scalar* dgamma;
    typename S::scalar* dbeta;
  };
};

}  // namespace gantry::ops
