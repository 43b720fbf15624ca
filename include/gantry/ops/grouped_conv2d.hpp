// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "gantry/ops/conv2d.hpp"

namespace gantry::inline v0 {

/// A convolution whose channels and filters are cut into `groups` equal runs; each run of filters
/// sees its own run of channels. Weights are [filters][kernel][kernel][channels / groups].
struct grouped_geometry {
  hwc in;
  int filters{}, kernel{}, stride{1}, pad{}, groups{1};
  /// The convolution of one group.
  [[nodiscard]] constexpr conv_geometry part() const {
    return {{in.h, in.w, in.c / groups}, filters / groups, kernel, stride, pad};
  }
  [[nodiscard]] constexpr hwc out() const {
    const hwc o = part().out();
    return {o.h, o.w, filters};
  }
  [[nodiscard]] constexpr int weights() const { return groups * part().weights(); }
  friend constexpr bool operator==(const grouped_geometry&, const grouped_geometry&) = default;
};

namespace ops {

/// y = conv(x, weight) (+ bias per filter); bias may be null.
template <grouped_geometry G>
struct grouped_conv2d_forward {
  static constexpr std::string_view name = "grouped_conv2d_forward";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const typename S::scalar* weight;
    const typename S::scalar* bias;
    batch_of<S> y;
  };
};

/// dx = the adjoint of grouped_conv2d_forward applied to dy.
template <grouped_geometry G>
struct grouped_conv2d_backward_data {
  static constexpr std::string_view name = "grouped_conv2d_backward_data";
  template <class S>
  struct params {
    const_batch_of<S> dy;
    const typename S::scalar* weight;
    batch_of<S> dx;
  };
};

/// dweight += the derivative of <dy, conv(x, weight)> by the weights.
template <grouped_geometry G>
struct grouped_conv2d_backward_weights {
  static constexpr std::string_view name = "grouped_conv2d_backward_weights";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const_batch_of<S> dy;
    typename S::scalar* dweight;
  };
};

}  // namespace ops
}  // namespace gantry
