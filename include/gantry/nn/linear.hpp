// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "gantry/nn/parts.hpp"
#include "gantry/ops/fused.hpp"
#include "gantry/ops/linear.hpp"
#include "gantry/ops/norm.hpp"

namespace gantry::inline v0 {

/// Whether a product adds a bias. Nets with a batch norm behind the product leave it out.
enum class bias { no, yes };

/// Fully connected layer: all inputs of a sample (flattened) to Out features, extents 1 x 1 x Out.
template <int Out, bias Bias = bias::yes>
struct linear {
  static_assert(Out > 0, "linear<Out>: the number of outputs must be positive");
  static constexpr std::string_view name = "linear";
  static constexpr bool flattens_samples = true;
  static constexpr bool has_bias = Bias == bias::yes;
  static constexpr bool piecewise_linear = true;
  static constexpr int weight_rows = Out;  ///< outputs, the rows of the weight matrix
  nn::initialiser weight_init;

  static constexpr linear_geometry geometry(hwc in) { return {in, Out}; }
  static constexpr hwc output_shape(hwc) { return {1, 1, Out}; }
  static constexpr std::size_t weight_count(hwc in) {
    return static_cast<std::size_t>(geometry(in).weights());
  }
  static constexpr std::size_t param_count(hwc in) {
    return weight_count(in) + (has_bias ? Out : 0);
  }
  static constexpr std::size_t buffer_count(hwc) { return 0; }
  static constexpr std::size_t saved_count(hwc, int) { return 0; }
  static constexpr flop_count flops(hwc in) {
    const double products = 2.0 * geometry(in).weights();
    return {products, products, products};
  }
  template <hwc>
  static constexpr bool validate() {
    return true;
  }

  /// PyTorch flattens channels first on both sides of the product.
  static std::vector<tensor_info> tensors(hwc in, hwc out) {
    std::vector<tensor_info> all{{"weight",
                                  0,
                                  {out.h, out.w, out.c, in.h, in.w, in.c},
                                  {2, 0, 1, 5, 3, 4},
                                  {Out, in.size()},
                                  false}};
    if (has_bias) all.push_back(nn::flattened_tensor("bias", weight_count(in), out));
    return all;
  }

  template <hwc In>
  using required_ops =
      op_list<ops::linear_forward<geometry(In)>, ops::linear_backward_data<geometry(In)>,
              ops::linear_backward_weights<geometry(In)>, ops::channel_sum<hwc{1, 1, Out}>>;

  void initialise(std::span<float> params, std::span<float>, hwc in, const stream_id& id) const {
    weight_init(params.first(weight_count(in)), in.size(), id);
    std::ranges::fill(params.subspan(weight_count(in)), 0.0f);
  }

  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    const auto* offset = has_bias ? a.params.data() + weight_count(In) : nullptr;
    launch(b, ops::linear_forward<geometry(In)>{}, {a.x, a.params.data(), offset, a.y});
  }

  /// With the activation f behind it.
  template <hwc In, Backend B, class F>
  requires Implements<B, ops::activated<ops::linear_forward<geometry(In)>, F>>
  void forward(B& b, const forward_args<B>& a, const F& f) const {
    const auto* offset = has_bias ? a.params.data() + weight_count(In) : nullptr;
    launch(b, ops::activated<ops::linear_forward<geometry(In)>, F>{},
           {{a.x, a.params.data(), offset, a.y}, f});
  }

  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    backward_weights<In>(b, a);
    if (a.dx.data)
      launch(b, ops::linear_backward_data<geometry(In)>{}, {a.dy, a.params.data(), a.dx, false});
  }

  /// With that of the activation f before it, whose output is a.x.
  template <hwc In, Backend B, class F>
  requires Implements<B, ops::gated<ops::linear_backward_data<geometry(In)>, F>>
  void backward(B& b, const backward_args<B>& a, const F& f) const {
    backward_weights<In>(b, a);
    if (a.dx.data)
      launch(b, ops::gated<ops::linear_backward_data<geometry(In)>, F>{},
             {{a.dy, a.params.data(), a.dx, false}, a.x.data, f});
  }

  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    launch(b, ops::linear_forward<geometry(In)>{}, {a.tx, a.params.data(), nullptr, a.ty});
  }

  template <hwc In, Backend B>
  void merged_gradient(B& b, const merged_args<B>& a) const {
    launch(b, ops::linear_backward_weights<geometry(In)>{}, {a.m, a.gy, a.dparams.data()});
    if constexpr (has_bias)
      if (a.seeds)
        launch(b, ops::scaled_channel_sum<hwc{1, 1, Out}>{},
               {a.gy, a.seeds, a.dparams.data() + weight_count(In)});
  }

 private:
  template <hwc In, Backend B>
  static void backward_weights(B& b, const backward_args<B>& a) {
    if (a.dparams.empty()) return;
    launch(b, ops::linear_backward_weights<geometry(In)>{}, {a.x, a.dy, a.dparams.data()});
    if constexpr (has_bias)
      launch(b, ops::channel_sum<hwc{1, 1, Out}>{}, {a.dy, a.dparams.data() + weight_count(In)});
  }
};

}  // namespace gantry
