// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "gantry/concepts/network.hpp"
#include "gantry/nn/plan.hpp"
#include "gantry/nn/tape.hpp"

namespace gantry {

namespace nn {

/// The layer objects of a network, by index. Not a std::tuple: g++ 12 zeroes the default member
/// initialisers of elements behind an empty one.
template <std::size_t I, class L>
struct layer_at {
  L value{};
};
template <class Indices, class... Layers>
struct layer_list;
template <std::size_t... I, class... Layers>
struct layer_list<std::index_sequence<I...>, Layers...> : layer_at<I, Layers>... {};

template <std::size_t I, class L>
constexpr L& get(layer_at<I, L>& at) {
  return at.value;
}
template <std::size_t I, class L>
constexpr const L& get(const layer_at<I, L>& at) {
  return at.value;
}

}  // namespace nn

/// A network as a type: an input (image<H, W, C> or latent<N>) and a flat list of layers. Extents,
/// parameter offsets, bytes and FLOPs are constants of the type; a mistake in the list is a compile
/// error that names it.
///
/// All parameters lie in one flat array, layer after layer, with offsets `param_offset(i)`; all
/// running statistics in a second one. Run-time settings of layer i (slope, rate) are members of
/// `layer<i>()`.
template <class Input, class... Layers>
struct sequential {
  using plan = nn::plan<Input, Layers...>;
  static_assert(plan::valid,
                "sequential<input, layers...>: one of the layers does not fit its input");
  static constexpr std::size_t depth = sizeof...(Layers);
  static constexpr hwc input_shape = plan::shapes.front();
  static constexpr hwc output_shape = plan::shapes.back();
  static constexpr std::size_t param_count = plan::param_offsets.back();
  static constexpr std::size_t buffer_count = plan::buffer_offsets.back();
  static constexpr flop_count flops = plan::flops;
  /// FLOPs per sample of the first layer's input gradient, which no training step of this network
  /// alone needs.
  static constexpr double first_input_gradient_flops = plan::first_input_gradient_flops;

  template <Backend B>
  using tape = nn::tape<sequential, B>;

  /// Layer object I: its run-time settings.
  template <std::size_t I>
  constexpr auto& layer() {
    return nn::get<I>(layers_);
  }
  template <std::size_t I>
  constexpr const auto& layer() const {
    return nn::get<I>(layers_);
  }

  static constexpr hwc shape(std::size_t i) { return plan::shapes[i]; }
  static constexpr std::size_t param_offset(std::size_t i) { return plan::param_offsets[i]; }

  /// Every tensor, in the order and with the names of a torch.nn.Sequential of these layers
  /// ("<layer>.weight"); offsets count from the start of params, or of buffers for running
  /// statistics.
  static std::vector<tensor_info> tensors() {
    std::vector<tensor_info> all;
    for_each_index([&]<std::size_t I>() {
      using layer_type = typename plan::template layer_type<I>;
      for (tensor_info t : layer_type::tensors(plan::seen_input(I), plan::seen_output(I))) {
        t.name = std::to_string(I) + "." + t.name;
        t.offset += t.is_buffer ? plan::buffer_offsets[I] : plan::param_offsets[I];
        all.push_back(std::move(t));
      }
    });
    return all;
  }

  /// Writes initial parameters and running statistics, a pure function of the stream.
  void initialise(std::span<float> params, std::span<float> buffers, const stream_id& id) const {
    for_each_index([&]<std::size_t I>() {
      stream_id layer_id = id;
      layer_id.salt = id.salt * 256 + I;
      layer<I>().initialise(params.subspan(plan::param_offsets[I], plan::params_of(I)),
                            buffers.subspan(plan::buffer_offsets[I], plan::buffers_of(I)),
                            plan::shapes[I], layer_id);
    });
  }

  /// Runs the batch x through all layers. x must stay valid until the backward; the result is
  /// tape.output().
  template <Backend B>
  void forward(B& b, network_view<B> values, const_batch_of<typename B::storage> x, tape<B>& t,
               mode run_mode, const stream_id& random) const {
    t.begin(x.n, run_mode, random);
    for_each_index([&]<std::size_t I>() {
      using layer_type = typename plan::template layer_type<I>;
      constexpr hwc in = plan::shapes[I];
      static_assert(require_ops<B, typename layer_type::template required_ops<in>>::value,
                    "sequential: the backend lacks a kernel that one of the layers needs");
      layer<I>().template forward<in>(
          b,
          forward_args<B>{I == 0 ? x : t.activation(I), t.activation(I + 1), params_of<I>(values),
                          values.buffers.subspan(plan::buffer_offsets[I], plan::buffers_of(I)),
                          t.saved(I), run_mode, t.random(I)});
    });
  }

  /// Back-propagates tape.output_gradient(). Parameter gradients are added to `gradients` (skipped
  /// when empty); the gradient by x overwrites dx (skipped when dx.data is null). x and values are
  /// those of the forward.
  template <Backend B>
  void backward(B& b, network_view<B> values, const_batch_of<typename B::storage> x, tape<B>& t,
                std::span<typename B::scalar> gradients, batch_of<typename B::storage> dx) const {
    t.begin_backward();
    for_each_index_reversed([&]<std::size_t I>() {
      constexpr bool inner = I > plan::first_parameter_layer;
      if (I < plan::first_parameter_layer && !dx.data) return;
      const const_batch_of<typename B::storage> dy = t.current_gradient();
      batch_of<typename B::storage> dx_here{};
      if (inner || dx.data) dx_here = I == 0 ? dx : t.next_gradient(I);
      const auto dparams = gradients.empty()
                               ? gradients
                               : gradients.subspan(plan::param_offsets[I], plan::params_of(I));
      layer<I>().template backward<plan::shapes[I]>(
          b, backward_args<B>{I == 0 ? x : t.activation(I), t.activation(I + 1), dy,
                              params_of<I>(values), t.saved(I), dx_here, dparams, t.run_mode(),
                              t.random(I)});
    });
  }

  /// Calls f on each layer object, first to last.
  template <class F>
  void for_each_layer(F&& f) {
    for_each_index([&]<std::size_t I>() { f(layer<I>()); });
  }

 private:
  nn::layer_list<std::make_index_sequence<depth>, Layers...> layers_;

  template <class F>
  static constexpr void for_each_index(F&& f) {
    [&]<std::size_t... I>(std::index_sequence<I...>) { (f.template operator()<I>(), ...); }
    (std::make_index_sequence<depth>{});
  }
  template <class F>
  static constexpr void for_each_index_reversed(F&& f) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (f.template operator()<depth - 1 - I>(), ...);
    }
    (std::make_index_sequence<depth>{});
  }
  template <std::size_t I, Backend B>
  static std::span<const typename B::scalar> params_of(const network_view<B>& values) {
    return values.params.subspan(plan::param_offsets[I], plan::params_of(I));
  }
};

}  // namespace gantry
