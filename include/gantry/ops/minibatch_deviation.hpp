// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/ops/operation.hpp"

namespace gantry {

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

}  // namespace ops
}  // namespace gantry
