// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "gantry/nn/parts.hpp"
#include "gantry/ops/linear.hpp"
#include "gantry/ops/minibatch.hpp"

namespace gantry::inline v0 {

/// Mini-batch discrimination (Salimans et al., arXiv 1606.03498, section 3.2): appends to each
/// sample's features, per kernel, how close the sample is to the others of its batch. Flattens its
/// input.
template <int Kernels, int Dims>
struct minibatch_discrimination {
  static_assert(Kernels > 0 && Dims > 0,
                "minibatch_discrimination<kernels, dims>: both numbers must be positive");
  static constexpr std::string_view name = "minibatch_discrimination";
  static constexpr bool flattens_samples = true;
  static constexpr bool couples_samples = true;
  static constexpr int projected = Kernels * Dims;
  nn::initialiser weight_init;

  static constexpr linear_geometry projection(hwc in) { return {in, projected}; }
  static constexpr minibatch_geometry geometry(hwc in) { return {in.size(), Kernels, Dims}; }
  static constexpr hwc output_shape(hwc in) { return {1, 1, in.size() + Kernels}; }
  static constexpr std::size_t param_count(hwc in) {
    return static_cast<std::size_t>(projection(in).weights());
  }
  static constexpr std::size_t buffer_count(hwc) { return 0; }
  /// The projections M, and their gradient as scratch of the backward, with room for any layout.
  static constexpr std::size_t saved_count(hwc, int n) {
    return 2 * (static_cast<std::size_t>(n) * slice(projected) + slice_alignment);
  }
  /// The tangent of M, and scratch of the second derivatives.
  template <class Layout, hwc In>
  static constexpr std::size_t kept_elements(int n) {
    return 2 * slice(Layout::elements(hwc{1, 1, projected}, n));
  }
  static constexpr flop_count flops(hwc in) {
    const double products = 2.0 * projection(in).weights();
    return {products, products, products};
  }
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
  static std::vector<tensor_info> tensors(hwc in, hwc) {
    return {
        {"weight", 0, {projected, in.h, in.w, in.c}, {0, 3, 1, 2}, {projected, in.size()}, false}};
  }

  template <hwc In>
  using required_ops =
      op_list<ops::linear_forward<projection(In)>, ops::linear_backward_data<projection(In)>,
              ops::linear_backward_weights<projection(In)>,
              ops::minibatch_similarity_forward<geometry(In)>,
              ops::minibatch_similarity_backward<geometry(In)>>;

  void initialise(std::span<float> params, std::span<float>, hwc in, const stream_id& id) const {
    weight_init(params, in.size(), id);
  }

  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    const batch_of<typename B::storage> m{a.saved.data(), a.x.n};
    launch(b, ops::linear_forward<projection(In)>{}, {a.x, a.params.data(), nullptr, m});
    launch(b, ops::minibatch_similarity_forward<geometry(In)>{}, {a.x, m, a.y});
  }

  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    const batch_of<typename B::storage> m{a.saved.data(), a.dy.n};
    const batch_of<typename B::storage> dm{a.saved.data() + a.saved.size() / 2, a.dy.n};
    launch(b, ops::minibatch_similarity_backward<geometry(In)>{}, {m, a.dy, a.dx, dm});
    if (!a.dparams.empty())
      launch(b, ops::linear_backward_weights<projection(In)>{}, {a.x, dm, a.dparams.data()});
    if (a.dx.data)
      launch(b, ops::linear_backward_data<projection(In)>{}, {dm, a.params.data(), a.dx, true});
  }

  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    const const_batch_of<typename B::storage> m{a.saved.data(), a.tx.n};
    const batch_of<typename B::storage> tm{a.kept.data(), a.tx.n};
    launch(b, ops::linear_forward<projection(In)>{}, {a.tx, a.params.data(), nullptr, tm});
    launch(b, ops::minibatch_similarity_tangent<geometry(In)>{}, {a.tx, m, tm, a.ty});
  }

  template <hwc In, Backend B>
  void second_order(B& b, const second_order_args<B>& a) const {
    const int n = a.tx.n;
    const batch_of<typename B::storage> m{a.saved.data(), n}, tm{a.kept.data(), n};
    const batch_of<typename B::storage> em{a.saved.data() + a.saved.size() / 2, n},
        etm{a.kept.data() + a.kept.size() / 2, n};
    launch(b, ops::minibatch_similarity_second_order<geometry(In)>{},
           {m, tm, a.gy, a.ey, a.ex, em, etm});
    if (!a.dparams.empty()) {
      launch(b, ops::linear_backward_weights<projection(In)>{}, {a.x, em, a.dparams.data()});
      launch(b, ops::linear_backward_weights<projection(In)>{}, {a.tx, etm, a.dparams.data()});
    }
    if (a.ex.data)
      launch(b, ops::linear_backward_data<projection(In)>{},
             {em, a.params.data(), a.ex, a.ey.data != nullptr});
  }
};

}  // namespace gantry
