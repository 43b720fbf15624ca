// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "gantry/ops/operation.hpp"

namespace gantry::inline v0 {

/// How n samples form groups of up to `size`: ceil(n / size) groups, sample i in group i mod
/// groups, as in the code of Karras et al. where size divides n.
struct sample_groups {
  int n{}, size{};
  [[nodiscard]] constexpr int count() const { return (n + size - 1) / size; }
  [[nodiscard]] constexpr int group_of(int sample) const { return sample % count(); }
  [[nodiscard]] constexpr int members(int group) const {
    return (n - group + count() - 1) / count();
  }
};

namespace ops {

/// Mini-batch standard deviation (Karras et al., arXiv 1710.10196, section 3): y = x with one more
/// channel, which holds at every pixel the mean over h, w, c of sqrt(variance over the sample's
/// group + 1e-8). The group is up to Size samples, see sample_groups; the variance is biased.
template <hwc Shape, int Size>
struct minibatch_deviation_forward {
  static constexpr std::string_view name = "minibatch_deviation_forward";
  template <class S>
  struct params {
    const_batch_of<S> x;
    batch_of<S> y;
  };
};

/// The gradient of minibatch_deviation_forward.
template <hwc Shape, int Size>
struct minibatch_deviation_backward {
  static constexpr std::string_view name = "minibatch_deviation_backward";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const_batch_of<S> dy;
    batch_of<S> dx;
  };
};

/// The derivative along tx. With m members of a group, s_k the deviation of number k of K,
/// d = x - its mean over the group and q_k = mean(d_k tx_k) over the group, the channel's is
/// (1 / K) sum_k q_k / s_k.
template <hwc Shape, int Size>
struct minibatch_deviation_tangent {
  static constexpr std::string_view name = "minibatch_deviation_tangent";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const_batch_of<S> tx;
    batch_of<S> ty;
  };
};

/// The derivative of <gy, ty> + <ey, y> by x. With a and e the sums of gy and of ey over the
/// group's channel, the part through it is
///   (e d + a (tx - mean(tx) - d q_k / s_k^2)) / (K m s_k)
/// ey may be null (zero).
template <hwc Shape, int Size>
struct minibatch_deviation_second_order {
  static constexpr std::string_view name = "minibatch_deviation_second_order";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const_batch_of<S> tx;
    const_batch_of<S> gy;
    const_batch_of<S> ey;
    batch_of<S> ex;
  };
};

}  // namespace ops
}  // namespace gantry
