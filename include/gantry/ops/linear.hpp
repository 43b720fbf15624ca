// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "gantry/ops/operation.hpp"

namespace gantry::inline v0 {

/// Dense product: every output is a weighted sum of all h*w*c inputs. Weights are [out][h][w][c].
struct linear_geometry {
  hwc in;
  int out{};
  [[nodiscard]] constexpr int weights() const { return in.size() * out; }
  friend constexpr bool operator==(const linear_geometry&, const linear_geometry&) = default;
};

namespace ops {

/// y = x W^T (+ bias); bias may be null.
template <linear_geometry G>
struct linear_forward {
  static constexpr std::string_view name = "linear_forward";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const typename S::scalar* weight;
    const typename S::scalar* bias;
    batch_of<S> y;
  };
};

/// dx = dy W, or dx += dy W when `accumulate`.
template <linear_geometry G>
struct linear_backward_data {
  static constexpr std::string_view name = "linear_backward_data";
  template <class S>
  struct params {
    const_batch_of<S> dy;
    const typename S::scalar* weight;
    batch_of<S> dx;
    bool accumulate;
  };
};

/// dweight += dy^T x.
template <linear_geometry G>
struct linear_backward_weights {
  static constexpr std::string_view name = "linear_backward_weights";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const_batch_of<S> dy;
    typename S::scalar* dweight;
  };
};

}  // namespace ops
}  // namespace gantry
