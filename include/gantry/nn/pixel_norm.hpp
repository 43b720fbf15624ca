// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "gantry/nn/parts.hpp"
#include "gantry/ops/pixel_norm.hpp"

namespace gantry::inline v0 {

/// Divides each pixel by the root of its channels' mean square (Karras et al., arXiv 1710.10196,
/// section 4.2).
struct pixel_norm : nn::parameter_free {
  static constexpr std::string_view name = "pixel_norm";
  float epsilon{1e-8f};

  static constexpr hwc output_shape(hwc in) { return in; }
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
  template <hwc In>
  using required_ops = op_list<ops::pixel_norm_forward<In>, ops::pixel_norm_derivative<In>>;

  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    launch(b, ops::pixel_norm_forward<In>{}, {a.x, a.y, epsilon});
  }
  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    if (a.dx.data) launch(b, ops::pixel_norm_derivative<In>{}, {a.x, a.dy, a.dx, epsilon});
  }
  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    launch(b, ops::pixel_norm_derivative<In>{}, {a.x, a.tx, a.ty, epsilon});
  }
  template <hwc In, Backend B>
  void second_order(B& b, const second_order_args<B>& a) const {
    if (a.ex.data)
      launch(b, ops::pixel_norm_second_order<In>{}, {a.x, a.tx, a.gy, a.ey, a.ex, epsilon});
  }
};

}  // namespace gantry
