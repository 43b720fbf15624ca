// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Layers that read each sample's class label; networks that hold one are conditional, and their
// data must have labels.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "gantry/nn/linear.hpp"
#include "gantry/nn/residual.hpp"
#include "gantry/ops/labels.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0 {

/// Puts a learned vector of Dim numbers per class behind the channels of every pixel (Mirza and
/// Osindero, arXiv 1411.1784, with an embedding). On a latent: label concatenation of a conditional
/// generator; on an image: label planes of a conditional discriminator.
template <int Classes, int Dim>
struct concat_label {
  static_assert(Classes > 0 && Classes <= 256 && Dim > 0,
                "concat_label<classes, dim>: give 1 to 256 classes and a positive dimension");
  static constexpr std::string_view name = "concat_label";
  static constexpr bool piecewise_linear = true;
  static constexpr int classes = Classes;
  nn::initialiser weight_init{.deviation = 1.0f};

  static constexpr hwc output_shape(hwc in) { return {in.h, in.w, in.c + Dim}; }
  static constexpr std::size_t param_count(hwc) { return std::size_t{Classes} * Dim; }
  static constexpr std::size_t buffer_count(hwc) { return 0; }
  static constexpr std::size_t saved_count(hwc, int) { return 0; }
  static constexpr flop_count flops(hwc) { return {}; }
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
  static std::vector<tensor_info> tensors(hwc, hwc) {
    return {{"weight", 0, {Classes, Dim}, {0, 1}, {Classes, Dim}, false}};
  }
  template <hwc In>
  using required_ops =
      op_list<ops::concat_label<In, Classes, Dim>, ops::concat_label_backward<In, Classes, Dim>>;

  void initialise(std::span<float> params, std::span<float>, hwc, const stream_id& id) const {
    weight_init(params, Dim, id);
  }
  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    launch(b, ops::concat_label<In, Classes, Dim>{}, {a.x, a.params.data(), a.labels, a.y});
  }
  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    launch(b, ops::concat_label_backward<In, Classes, Dim>{},
           {a.dy, a.labels, nullptr, a.dx, a.dparams.empty() ? nullptr : a.dparams.data()});
  }
  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    launch(b, ops::concat_label<In, Classes, Dim>{}, {a.tx, nullptr, a.labels, a.ty});
  }
  /// The embedding is added, so a penalty's tangent says nothing about it.
  template <hwc In, Backend B>
  void merged_gradient(B& b, const merged_args<B>& a) const {
    if (a.seeds)
      launch(b, ops::concat_label_backward<In, Classes, Dim>{},
             {a.gy, a.labels, a.seeds, {}, a.dparams.data()});
  }
};

/// The inner product of a sample's features with a learned vector of its class, one number.
template <int Classes>
struct label_product {
  static_assert(Classes > 0 && Classes <= 256, "label_product<classes>: give 1 to 256 classes");
  static constexpr std::string_view name = "label_product";
  static constexpr bool piecewise_linear = true;
  static constexpr bool flattens_samples = true;
  static constexpr int classes = Classes;
  static constexpr int weight_rows = Classes;
  nn::initialiser weight_init;

  static constexpr hwc output_shape(hwc) { return {1, 1, 1}; }
  static constexpr std::size_t weight_count(hwc in) {
    return static_cast<std::size_t>(Classes) * static_cast<std::size_t>(in.size());
  }
  static constexpr std::size_t param_count(hwc in) { return weight_count(in); }
  static constexpr std::size_t buffer_count(hwc) { return 0; }
  static constexpr std::size_t saved_count(hwc, int) { return 0; }
  static constexpr flop_count flops(hwc in) {
    const double products = 2.0 * in.size();
    return {products, products, products};
  }
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
  static std::vector<tensor_info> tensors(hwc in, hwc) {
    return {{"weight", 0, {Classes, in.h, in.w, in.c}, {0, 3, 1, 2}, {Classes, in.size()}, false}};
  }
  template <hwc In>
  using required_ops =
      op_list<ops::label_product<In, Classes>, ops::label_product_backward<In, Classes>>;

  void initialise(std::span<float> params, std::span<float>, hwc in, const stream_id& id) const {
    weight_init(params, in.size(), id);
  }
  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    launch(b, ops::label_product<In, Classes>{}, {a.x, a.params.data(), a.labels, a.y});
  }
  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    launch(b, ops::label_product_backward<In, Classes>{},
           {a.x, a.dy, a.params.data(), a.labels, a.dx,
            a.dparams.empty() ? nullptr : a.dparams.data()});
  }
  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    launch(b, ops::label_product<In, Classes>{}, {a.tx, a.params.data(), a.labels, a.ty});
  }
  template <hwc In, Backend B>
  void merged_gradient(B& b, const merged_args<B>& a) const {
    launch(b, ops::label_product_backward<In, Classes>{},
           {a.m, a.gy, a.params.data(), a.labels, {}, a.dparams.data()});
  }
};

/// The output of a projection discriminator, <w + v_label, h> + b (Miyato and Koyama, arXiv
/// 1802.05637, eq. 5).
template <int Classes>
using projection = residual<path<linear<1>>, path<label_product<Classes>>>;

/// Batch normalisation with a scale and a shift per class and channel (Dumoulin et al., arXiv
/// 1610.07629, eq. 5; de Vries et al., arXiv 1707.00683), stored as one embedding of 2 c numbers.
template <int Classes>
struct conditional_batch_norm {
  static_assert(Classes > 0 && Classes <= 256,
                "conditional_batch_norm<classes>: give 1 to 256 classes");
  static constexpr std::string_view name = "conditional_batch_norm";
  static constexpr bool couples_samples = true;
  static constexpr int classes = Classes;
  float momentum{0.1f};
  float epsilon{1e-5f};

  static constexpr std::size_t channels(hwc in) { return static_cast<std::size_t>(in.c); }
  static constexpr hwc output_shape(hwc in) { return in; }
  static constexpr std::size_t param_count(hwc in) { return 2 * Classes * channels(in); }
  static constexpr std::size_t buffer_count(hwc in) { return 2 * channels(in); }
  /// Mean and inverse deviation, and the ones and zeros of a normalisation without scale and shift.
  static constexpr std::size_t saved_count(hwc in, int) { return 4 * channels(in); }
  static constexpr flop_count flops(hwc) { return {}; }
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
  static std::vector<tensor_info> tensors(hwc in, hwc) {
    return {{"embed.weight", 0, {Classes, 2 * in.c}, {0, 1}, {Classes, 2 * in.c}, false},
            nn::plain_tensor("bn.running_mean", 0, in.c, true),
            nn::plain_tensor("bn.running_var", channels(in), in.c, true)};
  }
  template <hwc In>
  using required_ops = op_list<ops::batch_norm_forward<In>, ops::batch_norm_inference<In>,
                               ops::batch_norm_backward<In>, ops::class_affine<In, Classes>,
                               ops::class_affine_backward<In, Classes>, ops::fill>;

  void initialise(std::span<float> params, std::span<float> buffers, hwc in,
                  const stream_id&) const {
    const std::size_t c = channels(in);
    for (std::size_t i = 0; i < params.size(); ++i) params[i] = i / c % 2 == 0 ? 1.0f : 0.0f;
    std::ranges::fill(buffers.first(c), 0.0f);
    std::ranges::fill(buffers.subspan(c), 1.0f);
  }
  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    constexpr std::size_t c = channels(In);
    auto *mean = a.saved.data(), *inverse = mean + c, *one = inverse + c, *zero = one + c;
    launch(b, ops::fill{}, {one, c, 1.0f});
    launch(b, ops::fill{}, {zero, c, 0.0f});
    auto *running_mean = a.buffers.data(), *running_variance = running_mean + c;
    if (a.run_mode == mode::train)
      launch(
          b, ops::batch_norm_forward<In>{},
          {a.x, one, zero, running_mean, running_variance, mean, inverse, a.y, momentum, epsilon});
    else
      launch(b, ops::batch_norm_inference<In>{},
             {a.x, one, zero, running_mean, running_variance, mean, inverse, a.y, epsilon});
    launch(b, ops::class_affine<In, Classes>{}, {a.y, a.params.data(), a.labels, a.y});
  }
  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    constexpr std::size_t c = channels(In);
    const auto *mean = a.saved.data(), *inverse = mean + c, *one = inverse + c;
    if (a.dparams.empty() && !a.dx.data) return;
    launch(b, ops::class_affine_backward<In, Classes>{},
           {a.x, a.dy, mean, inverse, a.params.data(), a.labels, a.dx,
            a.dparams.empty() ? nullptr : a.dparams.data()});
    if (a.dx.data)
      launch(b, ops::batch_norm_backward<In>{},
             {a.x, a.dx, one, mean, inverse, a.dx, nullptr, nullptr, a.run_mode == mode::evaluate});
  }

  /// Two batches of the second derivatives.
  template <class Layout, hwc In>
  static constexpr std::size_t workspace_elements(int n) {
    return 2 * slice(Layout::elements(In, n));
  }
  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    constexpr std::size_t c = channels(In);
    const auto *mean = a.saved.data(), *inverse = mean + c;
    normalised_tangent<In>(b, a, a.ty);
    launch(b, ops::class_affine_backward<In, Classes>{},
           {a.x, a.ty, mean, inverse, a.params.data(), a.labels, a.ty, nullptr});
  }
  /// That of the normalisation along gamma gy and gamma ey, and the table's: the sums of gy times
  /// the normalised tangent and what ey gives as any gradient of y does.
  template <hwc In, Backend B>
  void second_order(B& b, const second_order_args<B>& a) const {
    constexpr std::size_t c = channels(In);
    const auto *mean = a.saved.data(), *inverse = mean + c, *one = inverse + c, *zero = one + c;
    auto* dtable = a.dparams.empty() ? nullptr : a.dparams.data();
    if (!dtable && !a.ex.data) return;
    const batch_of<typename B::storage> first{a.workspace.data(), a.x.n},
        second{first.data + slice(B::storage::layout::elements(In, a.x.n)), a.x.n};
    normalised_tangent<In>(b, a, first);
    launch(b, ops::class_affine_backward<In, Classes>{},
           {first, a.gy, zero, one, a.params.data(), a.labels, second, dtable, false});
    if (a.ey.data)
      launch(b, ops::class_affine_backward<In, Classes>{},
             {a.x, a.ey, mean, inverse, a.params.data(), a.labels, first, dtable});
    const const_batch_of<typename B::storage> ey{a.ey.data ? first.data : nullptr, a.x.n};
    if (a.ex.data)
      launch(b, ops::batch_norm_second_order<In>{},
             {a.x, a.tx, second, ey, one, mean, inverse, a.ex, nullptr, nullptr,
              a.run_mode == mode::evaluate});
  }

 private:
  /// The tangent of (x - mean) inverse, see batch_norm::tangent.
  template <hwc In, class B, class Args>
  static void normalised_tangent(B& b, const Args& a, batch_of<typename B::storage> to) {
    constexpr std::size_t c = channels(In);
    const auto *mean = a.saved.data(), *inverse = mean + c, *one = inverse + c;
    launch(b, ops::batch_norm_backward<In>{},
           {a.x, a.tx, one, mean, inverse, to, nullptr, nullptr, a.run_mode == mode::evaluate});
  }
};

}  // namespace gantry
