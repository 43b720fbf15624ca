// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "gantry/nn/linear.hpp"
#include "gantry/ops/grouped_conv2d.hpp"

namespace gantry::inline v0 {

/// Convolution in groups (Xie et al., arXiv 1611.05431): each of Groups runs of filters sees its
/// own run of channels. PyTorch's Conv2d(..., groups=Groups). The CPU backend has kernels of its
/// own where a group has a multiple of 16 channels and filters.
template <int Filters, int Kernel, int Stride, int Pad, int Groups, bias Bias = bias::yes>
struct grouped_conv2d {
  static_assert(Filters > 0 && Kernel > 0 && Stride > 0 && Pad >= 0 && Groups > 0,
                "grouped_conv2d<filters, kernel, stride, pad, groups>: filters, kernel, stride and "
                "groups must be positive, pad not negative");
  static_assert(Filters % Groups == 0,
                "grouped_conv2d: the number of filters must be a multiple of the groups");
  static constexpr std::string_view name = "grouped_conv2d";
  static constexpr int weight_rows = Filters;  ///< outputs, the rows of the weight matrix
  static constexpr bool has_bias = Bias == bias::yes;
  static constexpr bool piecewise_linear = true;
  nn::initialiser weight_init;

  static constexpr grouped_geometry geometry(hwc in) {
    return {in, Filters, Kernel, Stride, Pad, Groups};
  }
  static constexpr hwc output_shape(hwc in) { return geometry(in).out(); }
  static constexpr std::size_t weight_count(hwc in) {
    return static_cast<std::size_t>(geometry(in).weights());
  }
  static constexpr std::size_t param_count(hwc in) {
    return weight_count(in) + (has_bias ? Filters : 0);
  }
  static constexpr std::size_t buffer_count(hwc) { return 0; }
  static constexpr std::size_t saved_count(hwc, int) { return 0; }
  static constexpr flop_count flops(hwc in) {
    const double products = 2.0 * geometry(in).weights() * output_shape(in).pixels();
    return {products, products, products};
  }
  template <hwc In>
  static constexpr bool validate() {
    static_assert(In.c % Groups == 0,
                  "grouped_conv2d: the number of channels that the previous layer gives must be a "
                  "multiple of the groups");
    static_assert(In.h + 2 * Pad >= Kernel && In.w + 2 * Pad >= Kernel,
                  "grouped_conv2d: the kernel is larger than the padded input; use a smaller "
                  "kernel, more padding or fewer strided layers before it");
    return true;
  }
  static std::vector<tensor_info> tensors(hwc in, hwc) {
    const int channels = in.c / Groups;
    std::vector<tensor_info> all{{"weight",
                                  0,
                                  {Filters, Kernel, Kernel, channels},
                                  {0, 3, 1, 2},
                                  {Filters, channels, Kernel, Kernel},
                                  false}};
    if (has_bias) all.push_back(nn::plain_tensor("bias", weight_count(in), Filters));
    return all;
  }

  template <hwc In>
  using required_ops = op_list<
      ops::grouped_conv2d_forward<geometry(In)>, ops::grouped_conv2d_backward_data<geometry(In)>,
      ops::grouped_conv2d_backward_weights<geometry(In)>, ops::channel_sum<output_shape(In)>>;

  void initialise(std::span<float> params, std::span<float>, hwc in, const stream_id& id) const {
    weight_init(params.first(weight_count(in)), geometry(in).part().taps(), id);
    std::ranges::fill(params.subspan(weight_count(in)), 0.0f);
  }

  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    const auto* offset = has_bias ? a.params.data() + weight_count(In) : nullptr;
    launch(b, ops::grouped_conv2d_forward<geometry(In)>{}, {a.x, a.params.data(), offset, a.y});
  }

  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    if (!a.dparams.empty()) {
      launch(b, ops::grouped_conv2d_backward_weights<geometry(In)>{},
             {a.x, a.dy, a.dparams.data()});
      if constexpr (has_bias)
        launch(b, ops::channel_sum<output_shape(In)>{},
               {a.dy, a.dparams.data() + weight_count(In)});
    }
    if (a.dx.data)
      launch(b, ops::grouped_conv2d_backward_data<geometry(In)>{}, {a.dy, a.params.data(), a.dx});
  }

  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    launch(b, ops::grouped_conv2d_forward<geometry(In)>{}, {a.tx, a.params.data(), nullptr, a.ty});
  }

  template <hwc In, Backend B>
  void merged_gradient(B& b, const merged_args<B>& a) const {
    launch(b, ops::grouped_conv2d_backward_weights<geometry(In)>{}, {a.m, a.gy, a.dparams.data()});
    if constexpr (has_bias)
      if (a.seeds)
        launch(b, ops::scaled_channel_sum<output_shape(In)>{},
               {a.gy, a.seeds, a.dparams.data() + weight_count(In)});
  }
};

}  // namespace gantry
