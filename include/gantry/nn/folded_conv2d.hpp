// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What upsampled_conv2d and pooled_conv2d share: the parameters of a 3 x 3 convolution, and passes
// with the 4 x 4 kernel that they are folded into (ops/kernel_fold.hpp). Every pass folds anew:
// that costs about as much as packing the weights, and nothing has to be kept in step.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "gantry/nn/conv2d.hpp"
#include "gantry/nn/plan.hpp"
#include "gantry/ops/kernel_fold.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0::nn {

template <fold_kind Kind, int Filters, bias Bias>
struct folded_conv2d {
  using plain = conv2d<Filters, 3, 1, 1, Bias>;
  static constexpr bool upsampled = Kind == fold_kind::upsampled;
  static constexpr bool has_bias = plain::has_bias;
  static constexpr bool piecewise_linear = true;
  static constexpr int weight_rows = plain::weight_rows;
  initialiser weight_init;

  static constexpr hwc output_shape(hwc in) {
    if (upsampled) return {2 * in.h, 2 * in.w, Filters};
    return {in.h / 2, in.w / 2, Filters};
  }
  /// The 4 x 4 convolution, read backwards where it enlarges.
  static constexpr conv_geometry geometry(hwc in) {
    return upsampled ? conv_geometry{output_shape(in), in.c, 4, 2, 1}
                     : conv_geometry{in, Filters, 4, 2, 1};
  }
  static constexpr fold_geometry fold(hwc in) { return {Kind, Filters, in.c}; }
  static constexpr std::size_t weight_count(hwc in) { return plain::weight_count(in); }
  static constexpr std::size_t param_count(hwc in) { return plain::param_count(in); }
  static constexpr std::size_t buffer_count(hwc) { return 0; }
  static constexpr std::size_t saved_count(hwc, int) { return 0; }
  /// The folded weights, or the gradient by them.
  template <class, hwc In>
  static constexpr std::size_t workspace_elements(int) {
    return slice(static_cast<std::size_t>(fold(In).folded()));
  }
  /// 4/9 of those of the two layers.
  static constexpr flop_count flops(hwc in) {
    const hwc small = upsampled ? in : output_shape(in);
    const double products = 2.0 * fold(in).folded() * small.pixels();
    return {products, products, products};
  }
  static std::vector<tensor_info> tensors(hwc in, hwc out) { return plain::tensors(in, out); }

  template <hwc In>
  using required_ops =
      op_list<ops::conv2d_forward<geometry(In)>, ops::conv2d_backward_data<geometry(In)>,
              ops::conv2d_backward_weights<geometry(In)>, ops::channel_sum<output_shape(In)>,
              ops::fold_kernel<fold(In)>, ops::unfold_gradient<fold(In)>, ops::fill>;

  void initialise(std::span<float> params, std::span<float> buffers, hwc in,
                  const stream_id& id) const {
    plain{.weight_init = weight_init}.initialise(params, buffers, in, id);
  }

  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    const auto* offset = has_bias ? a.params.data() + weight_count(In) : nullptr;
    apply<In>(b, folded<In>(b, a.params, a.workspace), offset, a.x, a.y);
  }

  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    if (!a.dparams.empty()) {
      add_weight_gradient<In>(b, a.x, a.dy, a.workspace, a.dparams);
      if constexpr (has_bias)
        launch(b, ops::channel_sum<output_shape(In)>{},
               {a.dy, a.dparams.data() + weight_count(In)});
    }
    if (!a.dx.data) return;
    const auto* weight = folded<In>(b, a.params, a.workspace);
    if constexpr (upsampled)
      launch(b, ops::conv2d_forward<geometry(In)>{}, {a.dy, weight, nullptr, a.dx});
    else
      launch(b, ops::conv2d_backward_data<geometry(In)>{}, {a.dy, weight, nullptr, a.dx});
  }

  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    apply<In>(b, folded<In>(b, a.params, a.workspace), nullptr, a.tx, a.ty);
  }

  template <hwc In, Backend B>
  void merged_gradient(B& b, const merged_args<B>& a) const {
    add_weight_gradient<In>(b, a.m, a.gy, a.workspace, a.dparams);
    if constexpr (has_bias)
      if (a.seeds)
        launch(b, ops::scaled_channel_sum<output_shape(In)>{},
               {a.gy, a.seeds, a.dparams.data() + weight_count(In)});
  }

 private:
  template <hwc In, class B, class T>
  static const T* folded(B& b, std::span<const T> params, std::span<T> workspace) {
    launch(b, ops::fold_kernel<fold(In)>{}, {params.data(), workspace.data()});
    return workspace.data();
  }

  template <hwc In, class B>
  static void apply(B& b, const typename B::scalar* weight, const typename B::scalar* offset,
                    const_batch_of<typename B::storage> x, batch_of<typename B::storage> y) {
    if constexpr (upsampled)
      launch(b, ops::conv2d_backward_data<geometry(In)>{}, {x, weight, offset, y});
    else
      launch(b, ops::conv2d_forward<geometry(In)>{}, {x, weight, offset, y});
  }

  template <hwc In, class B, class T>
  static void add_weight_gradient(B& b, const_batch_of<typename B::storage> x,
                                  const_batch_of<typename B::storage> dy, std::span<T> workspace,
                                  std::span<T> dparams) {
    T* sum = workspace.data();
    launch(b, ops::fill{}, {sum, static_cast<std::size_t>(fold(In).folded()), 0.0f});
    if constexpr (upsampled)
      launch(b, ops::conv2d_backward_weights<geometry(In)>{}, {dy, x, sum});
    else
      launch(b, ops::conv2d_backward_weights<geometry(In)>{}, {x, dy, sum});
    launch(b, ops::unfold_gradient<fold(In)>{}, {sum, dparams.data()});
  }
};

}  // namespace gantry::nn
