// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "gantry/nn/parts.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0 {

namespace nn {

/// Base of layers that read the same numbers with other extents, Extents::of(in). In place: where
/// the backend's layout allows it, nothing moves.
template <class Extents>
struct reinterpretation : parameter_free {
  static constexpr bool in_place = true;
  static constexpr bool is_reshape = true;
  static constexpr bool piecewise_linear = true;
  static constexpr hwc output_shape(hwc in) { return Extents::of(in); }
  template <hwc In>
  using required_ops =
      op_list<ops::reshape<In, Extents::of(In)>, ops::reshape<Extents::of(In), In>>;

  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    launch(b, ops::reshape<In, Extents::of(In)>{}, {a.x, a.y});
  }
  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    if (a.dx.data) launch(b, ops::reshape<Extents::of(In), In>{}, {a.dy, a.dx});
  }
  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    launch(b, ops::reshape<In, Extents::of(In)>{}, {a.tx, a.ty});
  }
};

template <int H, int W, int C>
struct fixed_extents {
  static constexpr hwc of(hwc) { return {H, W, C}; }
};
struct vector_extents {
  static constexpr hwc of(hwc in) { return {1, 1, in.size()}; }
};

}  // namespace nn

/// Reads a sample's numbers, in canonical order, as H x W x C.
template <int H, int W, int C>
struct reshape : nn::reinterpretation<nn::fixed_extents<H, W, C>> {
  static constexpr std::string_view name = "reshape";
  template <hwc In>
  static constexpr bool validate() {
    static_assert(In.size() == H * W * C,
                  "reshape<H, W, C>: H * W * C must equal the number of values that the previous "
                  "layer gives");
    return true;
  }
};

/// Reads a sample as a vector of h * w * c numbers.
struct flatten : nn::reinterpretation<nn::vector_extents> {
  static constexpr std::string_view name = "flatten";
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
};

}  // namespace gantry
