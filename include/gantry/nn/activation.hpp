// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "gantry/nn/parts.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0 {

namespace nn {

/// Base of activation layers. Derived supplies `name` and `function()`; the output overwrites the
/// input.
template <class Derived, class Function>
struct activation : parameter_free {
  static constexpr bool in_place = true;
  static constexpr bool backward_needs_output = true;
  static constexpr bool piecewise_linear = !requires(const Function& f, float y) {
    f.second_derivative(y);
  };
  static constexpr hwc output_shape(hwc in) { return in; }
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
  template <hwc>
  using required_ops =
      op_list<ops::activation_forward<Function>, ops::activation_backward<Function>>;

  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    launch(b, ops::activation_forward<Function>{},
           {a.x.data, a.y.data, B::storage::layout::elements(In, a.x.n), function()});
  }
  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    if (a.dx.data)
      launch(
          b, ops::activation_backward<Function>{},
          {a.y.data, a.dy.data, a.dx.data, B::storage::layout::elements(In, a.dy.n), function()});
  }
  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    launch(b, ops::activation_backward<Function>{},
           {a.y.data, a.tx.data, a.ty.data, B::storage::layout::elements(In, a.tx.n), function()});
  }
  template <hwc In, Backend B>
  void second_order(B& b, const second_order_args<B>& a) const {
    if (a.ex.data)
      launch(b, ops::activation_second_order<Function>{},
             {a.y.data, a.tx.data, a.gy.data, a.ey.data, a.ex.data,
              B::storage::layout::elements(In, a.tx.n), function()});
  }

 private:
  [[nodiscard]] Function function() const { return static_cast<const Derived&>(*this).function(); }
};

}  // namespace nn

/// max(x, 0).
struct relu : nn::activation<relu, function::relu> {
  static constexpr std::string_view name = "relu";
  [[nodiscard]] function::relu function() const { return {}; }
};

/// x for x > 0, slope x otherwise; slope > 0.
struct leaky_relu : nn::activation<leaky_relu, function::leaky_relu> {
  static constexpr std::string_view name = "leaky_relu";
  float slope{0.2f};
  [[nodiscard]] function::leaky_relu function() const { return {slope}; }
};

/// Hyperbolic tangent; images of generators end in it.
struct tanh_ : nn::activation<tanh_, function::tanh> {
  static constexpr std::string_view name = "tanh";
  [[nodiscard]] function::tanh function() const { return {}; }
};

/// 1 / (1 + e^-x).
struct sigmoid : nn::activation<sigmoid, function::sigmoid> {
  static constexpr std::string_view name = "sigmoid";
  [[nodiscard]] function::sigmoid function() const { return {}; }
};

/// log(1 + e^x).
struct softplus : nn::activation<softplus, function::softplus> {
  static constexpr std::string_view name = "softplus";
  [[nodiscard]] function::softplus function() const { return {}; }
};

}  // namespace gantry
