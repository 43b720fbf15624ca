// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "gantry/nn/parts.hpp"
#include "gantry/ops/learned_basis.hpp"

namespace gantry::inline v0 {

/// Spreads a vector over H x W pixels: channel c times a learned number per pixel and channel. The
/// first layer of R3GAN's generator (Huang et al., arXiv 2501.05441, "GenerativeBasis" in its
/// code).
template <int H, int W>
struct learned_basis {
  static_assert(H > 0 && W > 0, "learned_basis<H, W>: height and width must be positive");
  static constexpr std::string_view name = "learned_basis";
  static constexpr bool piecewise_linear = true;
  nn::initialiser weight_init{.deviation = 1.0f};

  static constexpr hwc output_shape(hwc in) { return {H, W, in.c}; }
  static constexpr std::size_t param_count(hwc in) {
    return static_cast<std::size_t>(output_shape(in).size());
  }
  static constexpr std::size_t buffer_count(hwc) { return 0; }
  static constexpr std::size_t saved_count(hwc, int) { return 0; }
  static constexpr flop_count flops(hwc) { return {}; }
  template <hwc In>
  static constexpr bool validate() {
    static_assert(In.h == 1 && In.w == 1,
                  "learned_basis<H, W>: the input must be a vector; put flatten before it");
    return true;
  }
  static std::vector<tensor_info> tensors(hwc in, hwc) {
    return {{"basis", 0, {H, W, in.c}, {2, 0, 1}, {in.c, H, W}, false}};
  }
  template <hwc In>
  using required_ops =
      op_list<ops::learned_basis<output_shape(In)>, ops::learned_basis_backward<output_shape(In)>>;

  void initialise(std::span<float> params, std::span<float>, hwc, const stream_id& id) const {
    weight_init(params, 1, id);
  }
  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    launch(b, ops::learned_basis<output_shape(In)>{}, {a.x, a.params.data(), a.y});
  }
  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    launch(b, ops::learned_basis_backward<output_shape(In)>{},
           {a.x, a.dy, a.params.data(), a.dx, a.dparams.empty() ? nullptr : a.dparams.data()});
  }
  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    launch(b, ops::learned_basis<output_shape(In)>{}, {a.tx, a.params.data(), a.ty});
  }
  template <hwc In, Backend B>
  void merged_gradient(B& b, const merged_args<B>& a) const {
    launch(b, ops::learned_basis_backward<output_shape(In)>{},
           {a.m, a.gy, a.params.data(), {}, a.dparams.data()});
  }
};

}  // namespace gantry
