// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "gantry/nn/parts.hpp"
#include "gantry/ops/attention.hpp"
#include "gantry/ops/conv2d.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0 {

/// Self-attention over pixels (Zhang et al., arXiv 1805.08318, eq. 1 to 3): y = x + gamma o(B g(x))
/// with B_ij = softmax over j of <theta(x_i), phi(x_j)>; theta, phi and g are 1 x 1 convolutions
/// without bias to c / Reduction, c / Reduction and c / 2 channels, o one back to c, and gamma, one
/// number, starts at 0. The paper's layer over all pixels: BigGAN pools phi and g by 2 x 2 before.
/// Tensors have the names of BigGAN's PyTorch code.
template <int Reduction = 8>
struct self_attention {
  static_assert(Reduction > 0, "self_attention<Reduction>: the reduction must be positive");
  static constexpr std::string_view name = "self_attention";
  nn::initialiser weight_init;

  static constexpr attention_geometry geometry(hwc in) {
    return {in.h, in.w, in.c / Reduction, in.c / 2};
  }
  /// theta, phi and g as one convolution, their weights behind one another.
  static constexpr conv_geometry projection(hwc in) { return {in, geometry(in).projected().c, 1}; }
  static constexpr conv_geometry output(hwc in) { return {geometry(in).result(), in.c, 1}; }
  static constexpr std::size_t projection_count(hwc in) {
    return static_cast<std::size_t>(projection(in).weights());
  }
  static constexpr std::size_t output_count(hwc in) {
    return static_cast<std::size_t>(output(in).weights());
  }

  static constexpr hwc output_shape(hwc in) { return in; }
  static constexpr std::size_t param_count(hwc in) {
    return projection_count(in) + output_count(in) + 1;
  }
  static constexpr std::size_t buffer_count(hwc) { return 0; }
  static constexpr std::size_t saved_count(hwc, int) { return 0; }  // see saved_elements
  /// The projected batch, the result of the attention and its normalisers.
  template <class Layout, hwc In>
  static constexpr std::size_t saved_elements(int n) {
    return projected_elements<Layout, In>(n) + result_elements<Layout, In>(n) +
           slice(static_cast<std::size_t>(n) * static_cast<std::size_t>(In.pixels()));
  }
  /// gamma o and the gradient by it, three batches of results and two projected ones.
  template <class Layout, hwc In>
  static constexpr std::size_t workspace_elements(int n) {
    return 2 * slice(output_count(In)) + 3 * result_elements<Layout, In>(n) +
           2 * projected_elements<Layout, In>(n);
  }
  static constexpr flop_count flops(hwc in) {
    const attention_geometry g = geometry(in);
    const double products = 2.0 * in.pixels() * (projection(in).weights() + output(in).weights()),
                 pairs = 2.0 * in.pixels() * in.pixels();
    return {products + pairs * (g.keys + g.values), products + pairs * (3 * g.keys + 2 * g.values),
            products};
  }
  template <hwc In>
  static constexpr bool validate() {
    static_assert(In.c >= Reduction && In.c % Reduction == 0 && In.c % 2 == 0,
                  "self_attention<Reduction>: the number of channels that the previous layer gives "
                  "must be even and a multiple of Reduction");
    return true;
  }
  static std::vector<tensor_info> tensors(hwc in, hwc) {
    const attention_geometry g = geometry(in);
    const auto pointwise = [](const char* what, std::size_t offset, int filters, int channels) {
      return tensor_info{
          what, offset, {filters, 1, 1, channels}, {0, 3, 1, 2}, {filters, channels, 1, 1}, false};
    };
    const auto keys = static_cast<std::size_t>(g.keys) * static_cast<std::size_t>(in.c);
    const std::size_t first = projection_count(in);
    return {pointwise("theta.weight", 0, g.keys, in.c), pointwise("phi.weight", keys, g.keys, in.c),
            pointwise("g.weight", 2 * keys, g.values, in.c),
            pointwise("o.weight", first, in.c, g.values),
            nn::plain_tensor("gamma", first + output_count(in), 1)};
  }

  template <hwc In>
  using required_ops =
      op_list<ops::conv2d_forward<projection(In)>, ops::conv2d_backward_data<projection(In)>,
              ops::conv2d_backward_weights<projection(In)>, ops::conv2d_forward<output(In)>,
              ops::conv2d_backward_data<output(In)>, ops::conv2d_backward_weights<output(In)>,
              ops::attention_forward<geometry(In)>, ops::attention_backward<geometry(In)>,
              ops::scaled_copy, ops::scaled_copy_gradient, ops::accumulate, ops::fill>;

  void initialise(std::span<float> params, std::span<float>, hwc in, const stream_id& id) const {
    weight_init(params.first(projection_count(in)), in.c, id);
    stream_id second = id;
    second.step += 1;
    weight_init(params.subspan(projection_count(in), output_count(in)), in.c / 2, second);
    params[param_count(in) - 1] = 0.0f;
  }

  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    const memory<In, B> m(a.x.n, a.saved, a.workspace);
    launch(b, ops::conv2d_forward<projection(In)>{}, {a.x, a.params.data(), nullptr, m.projected});
    launch(b, ops::attention_forward<geometry(In)>{}, {m.projected, m.result, m.normaliser});
    scale_output<In>(b, a.params, m);
    launch(b, ops::conv2d_forward<output(In)>{}, {m.result, m.weights, nullptr, a.y});
    add<In>(b, a.x, a.y);
  }

  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    if (a.dparams.empty() && !a.dx.data) return;
    const memory<In, B> m(a.x.n, a.saved, a.workspace);
    scale_output<In>(b, a.params, m);
    if (!a.dparams.empty()) {
      clear_gradient<In>(b, m);
      launch(b, ops::conv2d_backward_weights<output(In)>{}, {m.result, a.dy, m.gradient});
      add_output_gradient<In>(b, a.params, m, a.dparams);
    }
    launch(b, ops::conv2d_backward_data<output(In)>{}, {a.dy, m.weights, nullptr, m.results[0]});
    launch(b, ops::attention_backward<geometry(In)>{},
           {m.projected, m.normaliser, m.results[0], m.projections[0]});
    if (!a.dparams.empty())
      launch(b, ops::conv2d_backward_weights<projection(In)>{},
             {a.x, m.projections[0], a.dparams.data()});
    if (!a.dx.data) return;
    launch(b, ops::conv2d_backward_data<projection(In)>{},
           {m.projections[0], a.params.data(), nullptr, a.dx});
    add<In>(b, a.dy, a.dx);
  }

  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    const memory<In, B> m(a.x.n, a.saved, a.workspace);
    attend_along<In>(b, a.params, a.tx, m);
    scale_output<In>(b, a.params, m);
    launch(b, ops::conv2d_forward<output(In)>{}, {m.results[0], m.weights, nullptr, a.ty});
    add<In>(b, a.tx, a.ty);
  }

  /// Both projections are linear in the input and in their weights, so only the attention between
  /// them bends.
  template <hwc In, Backend B>
  void second_order(B& b, const second_order_args<B>& a) const {
    const memory<In, B> m(a.x.n, a.saved, a.workspace);
    const auto [tangent_result, by_result, ey_by_result] = m.results;
    const auto [projected_tangent, by_projected] = m.projections;
    attend_along<In>(b, a.params, a.tx, m);
    scale_output<In>(b, a.params, m);
    launch(b, ops::conv2d_backward_data<output(In)>{}, {a.gy, m.weights, nullptr, by_result});
    if (a.ey.data)
      launch(b, ops::conv2d_backward_data<output(In)>{}, {a.ey, m.weights, nullptr, ey_by_result});
    if (!a.dparams.empty()) {
      clear_gradient<In>(b, m);
      launch(b, ops::conv2d_backward_weights<output(In)>{}, {tangent_result, a.gy, m.gradient});
      if (a.ey.data)
        launch(b, ops::conv2d_backward_weights<output(In)>{}, {m.result, a.ey, m.gradient});
      add_output_gradient<In>(b, a.params, m, a.dparams);
      launch(b, ops::attention_backward<geometry(In)>{},
             {m.projected, m.normaliser, by_result, by_projected});
      launch(b, ops::conv2d_backward_weights<projection(In)>{},
             {a.tx, by_projected, a.dparams.data()});
    }
    const_batch_of<typename B::storage> e{a.ey.data ? ey_by_result.data : nullptr, a.x.n};
    launch(b, ops::attention_second_order<geometry(In)>{},
           {m.projected, m.normaliser, projected_tangent, by_result, e, by_projected});
    if (!a.dparams.empty())
      launch(b, ops::conv2d_backward_weights<projection(In)>{},
             {a.x, by_projected, a.dparams.data()});
    if (!a.ex.data) return;
    launch(b, ops::conv2d_backward_data<projection(In)>{},
           {by_projected, a.params.data(), nullptr, a.ex});
    if (a.ey.data) add<In>(b, a.ey, a.ex);
  }

 private:
  template <class Layout, hwc In>
  static constexpr std::size_t projected_elements(int n) {
    return slice(Layout::elements(geometry(In).projected(), n));
  }
  template <class Layout, hwc In>
  static constexpr std::size_t result_elements(int n) {
    return slice(Layout::elements(geometry(In).result(), n));
  }

  /// Where everything lies in saved and in the workspace.
  template <hwc In, Backend B>
  struct memory {
    using scalar = typename B::scalar;
    using batch = batch_of<typename B::storage>;
    memory(int n, std::span<scalar> saved, std::span<scalar> workspace) {
      using layout = typename B::storage::layout;
      const std::size_t wide = projected_elements<layout, In>(n),
                        narrow = result_elements<layout, In>(n);
      projected = {saved.data(), n};
      result = {saved.data() + wide, n};
      normaliser = saved.data() + wide + narrow;
      weights = workspace.data();
      gradient = weights + slice(output_count(In));
      scalar* next = gradient + slice(output_count(In));
      for (batch& r : results) r = {std::exchange(next, next + narrow), n};
      for (batch& p : projections) p = {std::exchange(next, next + wide), n};
    }
    batch projected, result;
    scalar* normaliser;
    scalar *weights, *gradient;  ///< gamma o, and the gradient by it
    std::array<batch, 3> results;
    std::array<batch, 2> projections;
  };

  template <hwc In, class B, class M>
  static void scale_output(B& b, std::span<const typename B::scalar> params, const M& m) {
    launch(b, ops::scaled_copy{},
           {params.data() + projection_count(In), &params[param_count(In) - 1], m.weights,
            output_count(In)});
  }
  template <hwc In, class B, class M>
  static void clear_gradient(B& b, const M& m) {
    launch(b, ops::fill{}, {m.gradient, output_count(In), 0.0f});
  }
  template <hwc In, class B, class M>
  static void add_output_gradient(B& b, std::span<const typename B::scalar> params, const M& m,
                                  std::span<typename B::scalar> dparams) {
    launch(
        b, ops::scaled_copy_gradient{},
        {params.data() + projection_count(In), &params[param_count(In) - 1], m.gradient,
         dparams.data() + projection_count(In), &dparams[param_count(In) - 1], output_count(In)});
  }
  /// The first projection = the projected tangent, the first result = the result's.
  template <hwc In, class B, class M>
  static void attend_along(B& b, std::span<const typename B::scalar> params,
                           const_batch_of<typename B::storage> tx, const M& m) {
    launch(b, ops::conv2d_forward<projection(In)>{},
           {tx, params.data(), nullptr, m.projections[0]});
    launch(b, ops::attention_tangent<geometry(In)>{},
           {m.projected, m.normaliser, m.projections[0], m.results[0]});
  }
  template <hwc In, class B>
  static void add(B& b, const_batch_of<typename B::storage> x, batch_of<typename B::storage> y) {
    launch(b, ops::accumulate{}, {x.data, y.data, B::storage::layout::elements(In, x.n)});
  }
};

}  // namespace gantry
