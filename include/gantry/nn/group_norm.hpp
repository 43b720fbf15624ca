// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "gantry/nn/parts.hpp"
#include "gantry/ops/group_norm.hpp"

namespace gantry::inline v0 {

namespace nn {

/// Base of normalisations over Rule::groups(in) groups of a sample's channels, with scale and shift
/// per channel. No running statistics: training and evaluation are the same.
template <class Rule>
struct group_normalisation {
  float epsilon{1e-5f};

  static constexpr hwc output_shape(hwc in) { return in; }
  static constexpr std::size_t channels(hwc in) { return static_cast<std::size_t>(in.c); }
  static constexpr std::size_t param_count(hwc in) { return 2 * channels(in); }
  static constexpr std::size_t buffer_count(hwc) { return 0; }
  /// Mean and inverse deviation per sample and group.
  static constexpr std::size_t saved_count(hwc in, int n) {
    return 2 * static_cast<std::size_t>(n) * static_cast<std::size_t>(Rule::groups(in));
  }
  static constexpr flop_count flops(hwc) { return {}; }
  static std::vector<tensor_info> tensors(hwc in, hwc) {
    return {plain_tensor("weight", 0, in.c), plain_tensor("bias", channels(in), in.c)};
  }

  template <hwc In>
  using required_ops = op_list<ops::group_norm_forward<In, Rule::groups(In)>,
                               ops::group_norm_backward<In, Rule::groups(In)>>;

  void initialise(std::span<float> params, std::span<float>, hwc in, const stream_id&) const {
    std::ranges::fill(params.first(channels(in)), 1.0f);
    std::ranges::fill(params.subspan(channels(in)), 0.0f);
  }

  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    launch(b, ops::group_norm_forward<In, Rule::groups(In)>{},
           {a.x, a.params.data(), a.params.data() + channels(In), a.saved.data(),
            a.saved.data() + a.saved.size() / 2, a.y, epsilon});
  }

  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    const auto [dgamma, dbeta] = halves<In>(a.dparams);
    if (!dgamma && !a.dx.data) return;
    launch(b, ops::group_norm_backward<In, Rule::groups(In)>{},
           {a.x, a.dy, a.params.data(), a.saved.data(), a.saved.data() + a.saved.size() / 2, a.dx,
            dgamma, dbeta});
  }

  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    launch(b, ops::group_norm_tangent<In, Rule::groups(In)>{},
           {a.x, a.tx, a.params.data(), a.saved.data(), a.saved.data() + a.saved.size() / 2, a.ty});
  }

  template <hwc In, Backend B>
  void second_order(B& b, const second_order_args<B>& a) const {
    const auto [dgamma, dbeta] = halves<In>(a.dparams);
    if (!dgamma && !a.ex.data) return;
    launch(b, ops::group_norm_second_order<In, Rule::groups(In)>{},
           {a.x, a.tx, a.gy, a.ey, a.params.data(), a.saved.data(),
            a.saved.data() + a.saved.size() / 2, a.ex, dgamma, dbeta});
  }

 private:
  template <hwc In, class T>
  static std::pair<T*, T*> halves(std::span<T> dparams) {
    if (dparams.empty()) return {};
    return {dparams.data(), dparams.data() + channels(In)};
  }
};

template <int Groups>
struct fixed_groups {
  static constexpr int groups(hwc) { return Groups; }
};
struct channel_groups {
  static constexpr int groups(hwc in) { return in.c; }
};

}  // namespace nn

/// Group normalisation (Wu and He, arXiv 1803.08494): statistics per sample over all pixels of
/// channels / Groups channels. PyTorch's GroupNorm(Groups, channels).
template <int Groups>
struct group_norm : nn::group_normalisation<nn::fixed_groups<Groups>> {
  static_assert(Groups > 0, "group_norm<Groups>: the number of groups must be positive");
  static constexpr std::string_view name = "group_norm";
  template <hwc In>
  static constexpr bool validate() {
    static_assert(
        In.c % Groups == 0,
        "group_norm<Groups>: the number of channels that the previous layer gives must be "
        "a multiple of Groups");
    static_assert(In.c % Groups != 0 || In.size() > Groups,
                  "group_norm<Groups>: a group of one number has no deviation; use fewer groups");
    return true;
  }
};

/// Layer normalisation (Ba et al., arXiv 1607.06450): statistics per sample over all of h, w, c.
/// Scale and shift are one per channel, as in PyTorch's GroupNorm(1, channels); PyTorch's
/// LayerNorm([C, H, W]) has one per number, so its weights do not fit unless h = w = 1.
struct layer_norm : nn::group_normalisation<nn::fixed_groups<1>> {
  static constexpr std::string_view name = "layer_norm";
  template <hwc In>
  static constexpr bool validate() {
    static_assert(In.size() > 1,
                  "layer_norm: a sample of one number has no deviation; remove the layer");
    return true;
  }
};

/// Instance normalisation (Ulyanov et al., arXiv 1607.08022): statistics per sample and channel.
/// PyTorch's InstanceNorm2d(channels, affine=True) without running statistics.
struct instance_norm : nn::group_normalisation<nn::channel_groups> {
  static constexpr std::string_view name = "instance_norm";
  template <hwc In>
  static constexpr bool validate() {
    static_assert(In.pixels() > 1,
                  "instance_norm: a channel of one pixel has no deviation; use layer_norm or "
                  "group_norm");
    return true;
  }
};

}  // namespace gantry
