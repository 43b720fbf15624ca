// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "gantry/nn/parts.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0 {

/// In training, sets each value to zero with probability `rate` and scales the others by 1 / (1 -
/// rate). The mask is a function of the step's random stream, so the backward draws it again
/// instead of keeping it.
struct dropout : nn::parameter_free {
  static constexpr std::string_view name = "dropout";
  static constexpr bool in_place = true;
  static constexpr bool piecewise_linear = true;
  static constexpr bool takes_pairs = true;
  float rate{0.5f};

  static constexpr hwc output_shape(hwc in) { return in; }
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
  template <hwc In>
  using required_ops = op_list<ops::dropout<In>, ops::copy>;

  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    apply<In>(b, a.x, a.y, a, a.paired);
  }
  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    if (a.dx.data) apply<In>(b, a.dy, a.dx, a, a.paired);
  }
  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    apply<In>(b, a.tx, a.ty, a, false);
  }

 private:
  template <hwc In, Backend B, class Args>
  void apply(B& b, const_batch_of<typename B::storage> from, batch_of<typename B::storage> to,
             const Args& a, bool paired) const {
    std::optional<std::uint32_t> second_salt;
    if (paired) second_salt = a.random.salt + streams_per_pass;
    if (a.run_mode == mode::train)
      launch(b, ops::dropout<In>{}, {from, to, rate, a.random, second_salt});
    else if (from.data != to.data)
      launch(b, ops::copy{}, {from.data, to.data, B::storage::layout::elements(In, from.n)});
  }
};

}  // namespace gantry
