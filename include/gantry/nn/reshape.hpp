// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/nn/parts.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry {

namespace nn {

/// Base of layers that read the same numbers with other extents. In place, so usually nothing
/// moves; at the end of a network, where buffers belong to the caller, it is a copy.
struct reinterpretation : parameter_free {
  static constexpr bool in_place = true;
  static constexpr bool is_reshape = true;
  template <hwc>
  using required_ops = op_list<ops::copy>;

  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    move<In>(b, a.x.data, a.y.data, a.x.n);
  }
  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    if (a.dx.data) move<In>(b, a.dy.data, a.dx.data, a.dy.n);
  }

 private:
  template <hwc In, Backend B>
  static void move(B& b, const typename B::scalar* from, typename B::scalar* to, int n) {
    using layout = typename B::storage::layout;
    static_assert(layout::reshape_is_free,
                  "reshape: this backend's layout cannot be read with other extents in place");
    if (from != to) launch(b, ops::copy{}, {from, to, layout::elements(In, n)});
  }
};

}  // namespace nn

/// Reads a sample's numbers, in canonical order, as H x W x C.
template <int H, int W, int C>
struct reshape : nn::reinterpretation {
  static constexpr std::string_view name = "reshape";
  static constexpr hwc output_shape(hwc) { return {H, W, C}; }
  template <hwc In>
  static constexpr bool validate() {
    static_assert(In.size() == H * W * C,
                  "reshape<H, W, C>: H * W * C must equal the number of values that the previous "
                  "layer gives");
    return true;
  }
};

/// Reads a sample as a vector of h * w * c numbers.
struct flatten : nn::reinterpretation {
  static constexpr std::string_view name = "flatten";
  static constexpr hwc output_shape(hwc in) { return {1, 1, in.size()}; }
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
};

}  // namespace gantry
