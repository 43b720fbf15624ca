// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "gantry/nn/parts.hpp"
#include "gantry/ops/minibatch_deviation.hpp"

namespace gantry::inline v0 {

/// Mini-batch standard deviation (Karras et al., arXiv 1710.10196, section 3): appends one channel
/// that tells how much the samples of a group of up to Size differ.
template <int Size = 4>
struct minibatch_deviation : nn::parameter_free {
  static_assert(Size > 0, "minibatch_deviation<size>: the group size must be positive");
  static constexpr std::string_view name = "minibatch_deviation";
  static constexpr bool couples_samples = true;

  static constexpr hwc output_shape(hwc in) { return {in.h, in.w, in.c + 1}; }
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
  template <hwc In>
  using required_ops = op_list<ops::minibatch_deviation_forward<In, Size>,
                               ops::minibatch_deviation_backward<In, Size>>;

  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    launch(b, ops::minibatch_deviation_forward<In, Size>{}, {a.x, a.y});
  }
  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    if (a.dx.data) launch(b, ops::minibatch_deviation_backward<In, Size>{}, {a.x, a.dy, a.dx});
  }
  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    launch(b, ops::minibatch_deviation_tangent<In, Size>{}, {a.x, a.tx, a.ty});
  }
  template <hwc In, Backend B>
  void second_order(B& b, const second_order_args<B>& a) const {
    if (a.ex.data)
      launch(b, ops::minibatch_deviation_second_order<In, Size>{}, {a.x, a.tx, a.gy, a.ey, a.ex});
  }
};

}  // namespace gantry
