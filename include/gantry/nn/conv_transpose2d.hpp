// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "gantry/nn/conv2d.hpp"

namespace gantry::inline v0 {

/// Transposed convolution (PyTorch's definition): output extent (in - 1) Stride - 2 Pad + Kernel +
/// OutputPad. It is the convolution from the output's extents to the input's, read backwards, and
/// runs on the same ops.
template <int Channels, int Kernel, int Stride = 1, int Pad = 0, bias Bias = bias::yes,
          int OutputPad = 0>
struct conv_transpose2d {
  static_assert(Channels > 0 && Kernel > 0 && Stride > 0 && Pad >= 0,
                "conv_transpose2d<channels, kernel, stride, pad>: channels, kernel and stride must "
                "be positive, pad "
                "not negative");
  static_assert(OutputPad >= 0 && OutputPad < Stride,
                "conv_transpose2d: the output padding must be smaller than the stride");
  static constexpr std::string_view name = "conv_transpose2d";
  static constexpr bool has_bias = Bias == bias::yes;
  static constexpr bool piecewise_linear = true;
  nn::initialiser weight_init;

  static constexpr hwc output_shape(hwc in) {
    return {conv_transpose_extent(in.h, Kernel, Stride, Pad, OutputPad),
            conv_transpose_extent(in.w, Kernel, Stride, Pad, OutputPad), Channels};
  }
  static constexpr conv_geometry geometry(hwc in) {
    return {output_shape(in), in.c, Kernel, Stride, Pad};
  }
  static constexpr std::size_t weight_count(hwc in) {
    return static_cast<std::size_t>(geometry(in).weights());
  }
  static constexpr std::size_t param_count(hwc in) {
    return weight_count(in) + (has_bias ? Channels : 0);
  }
  static constexpr std::size_t buffer_count(hwc) { return 0; }
  static constexpr std::size_t saved_count(hwc, int) { return 0; }
  static constexpr flop_count flops(hwc in) {
    const double products = 2.0 * geometry(in).weights() * in.pixels();
    return {products, products, products};
  }
  template <hwc In>
  static constexpr bool validate() {
    static_assert(
        output_shape(In).h > 0 && output_shape(In).w > 0,
        "conv_transpose2d: the output has no pixels; use less padding or a larger kernel");
    static_assert(output_shape(In).h <= 0 || geometry(In).out() == In,
                  "conv_transpose2d: these settings lose input pixels; use an output padding below "
                  "the stride");
    return true;
  }
  static std::vector<tensor_info> tensors(hwc in, hwc) {
    std::vector<tensor_info> all{{"weight",
                                  0,
                                  {in.c, Kernel, Kernel, Channels},
                                  {0, 3, 1, 2},
                                  {in.c, Channels, Kernel, Kernel},
                                  false}};
    if (has_bias) all.push_back(nn::plain_tensor("bias", weight_count(in), Channels));
    return all;
  }

  template <hwc In>
  using required_ops =
      op_list<ops::conv2d_forward<geometry(In)>, ops::conv2d_backward_data<geometry(In)>,
              ops::conv2d_backward_weights<geometry(In)>, ops::channel_sum<output_shape(In)>>;

  void initialise(std::span<float> params, std::span<float>, hwc in, const stream_id& id) const {
    weight_init(params.first(weight_count(in)), geometry(in).taps(), id);
    std::ranges::fill(params.subspan(weight_count(in)), 0.0f);
  }

  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    const auto* offset = has_bias ? a.params.data() + weight_count(In) : nullptr;
    launch(b, ops::conv2d_backward_data<geometry(In)>{}, {a.x, a.params.data(), offset, a.y});
  }

  /// With the activation f behind it.
  template <hwc In, Backend B, class F>
  requires Implements<B, ops::activated<ops::conv2d_backward_data<geometry(In)>, F>>
  void forward(B& b, const forward_args<B>& a, const F& f) const {
    const auto* offset = has_bias ? a.params.data() + weight_count(In) : nullptr;
    launch(b, ops::activated<ops::conv2d_backward_data<geometry(In)>, F>{},
           {{a.x, a.params.data(), offset, a.y}, f});
  }

  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    backward_weights<In>(b, a);
    if (a.dx.data)
      launch(b, ops::conv2d_forward<geometry(In)>{}, {a.dy, a.params.data(), nullptr, a.dx});
  }

  /// With that of the activation f before it, whose output is a.x.
  template <hwc In, Backend B, class F>
  requires Implements<B, ops::gated<ops::conv2d_forward<geometry(In)>, F>>
  void backward(B& b, const backward_args<B>& a, const F& f) const {
    backward_weights<In>(b, a);
    if (a.dx.data)
      launch(b, ops::gated<ops::conv2d_forward<geometry(In)>, F>{},
             {{a.dy, a.params.data(), nullptr, a.dx}, a.x.data, f});
  }

  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    launch(b, ops::conv2d_backward_data<geometry(In)>{}, {a.tx, a.params.data(), nullptr, a.ty});
  }

  template <hwc In, Backend B>
  void merged_gradient(B& b, const merged_args<B>& a) const {
    launch(b, ops::conv2d_backward_weights<geometry(In)>{}, {a.gy, a.m, a.dparams.data()});
    if constexpr (has_bias)
      if (a.seeds)
        launch(b, ops::scaled_channel_sum<output_shape(In)>{},
               {a.gy, a.seeds, a.dparams.data() + weight_count(In)});
  }

 private:
  template <hwc In, Backend B>
  static void backward_weights(B& b, const backward_args<B>& a) {
    if (a.dparams.empty()) return;
    launch(b, ops::conv2d_backward_weights<geometry(In)>{}, {a.dy, a.x, a.dparams.data()});
    if constexpr (has_bias)
      launch(b, ops::channel_sum<output_shape(In)>{}, {a.dy, a.dparams.data() + weight_count(In)});
  }
};

}  // namespace gantry
