// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/network.hpp"
#include "gantry/nn/plan.hpp"
#include "gantry/nn/tape.hpp"

namespace gantry::inline v0 {

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
  /// Classes of the labels that the layers read; 0 where none does.
  static constexpr int classes = plan::pack::classes;
  /// Whether two batches may go through in one pass, each as by itself (network_input::paired).
  static constexpr bool takes_pairs = plan::takes_pairs;
  /// FLOPs per sample of the first layer's input gradient, which no training step of this network
  /// alone needs.
  static constexpr double first_input_gradient_flops = plan::first_input_gradient_flops;

  template <Backend B>
  using tape = nn::tape<sequential, B>;
  template <Backend B>
  using tangent_tape = nn::tangent_tape<sequential, B>;
  template <Backend B>
  using chain = nn::chain<input_shape, typename plan::pack, B>;

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
  static constexpr std::size_t buffer_offset(std::size_t i) { return plan::buffer_offsets[i]; }
  /// What each layer adds to `flops`.
  static constexpr std::array<flop_count, depth> layer_flops =
      []<std::size_t... I>(std::index_sequence<I...>) {
    return std::array<flop_count, depth>{plan::template layer_type<I>::flops(plan::shapes[I])...};
  }
  (std::make_index_sequence<depth>{});

  /// Every tensor, in the order and with the names of a torch.nn.Sequential of these layers
  /// ("<layer>.weight"); offsets count from the start of params, or of buffers for running
  /// statistics.
  static std::vector<tensor_info> tensors() {
    std::vector<tensor_info> all;
    nn::for_each_index<depth>([&]<std::size_t I>() {
      using layer_type = typename plan::template layer_type<I>;
      for (tensor_info t : layer_type::tensors(plan::seen_input(I), plan::seen_output(I))) {
        t.name = std::to_string(plan::number(I)) + "." + t.name;
        t.offset += t.is_buffer ? plan::buffer_offsets[I] : plan::param_offsets[I];
        all.push_back(std::move(t));
      }
    });
    return all;
  }

  /// Writes initial parameters and running statistics, a pure function of the stream.
  void initialise(std::span<float> params, std::span<float> buffers, const stream_id& id) const {
    nn::for_each_index<depth>([&]<std::size_t I>() {
      stream_id layer_id = id;
      layer_id.salt = id.salt * streams_per_pass + plan::pack::streams[I];
      layer<I>().initialise(params.subspan(plan::param_offsets[I], plan::params_of(I)),
                            buffers.subspan(plan::buffer_offsets[I], plan::buffers_of(I)),
                            plan::shapes[I], layer_id);
    });
  }

  /// Runs the batch x through all layers. x and labels, one per sample for networks with classes,
  /// must stay valid until the backward; the result is tape.output().
  template <Backend B>
  void forward(B& b, network_view<B> values, const std::type_identity_t<network_input<B>>& x,
               tape<B>& t, mode run_mode, const stream_id& random) const {
    expects(!x.paired || (TakesPairs<B> && takes_pairs),
            "a pair of batches was given to a network or a backend that takes one at a time");
    t.begin(x.paired ? 2 * x.samples.n : x.samples.n, run_mode, random, x.labels, x.paired);
    chain<B>::forward(b, t.frame(layers_, x.samples, values));
  }

  /// Back-propagates tape.output_gradient(). Parameter gradients are added to `gradients` (skipped
  /// when empty); the gradient by x overwrites dx (skipped when dx.data is null). x and values are
  /// those of the forward.
  template <Backend B>
  void backward(B& b, network_view<B> values, const_batch_of<typename B::storage> x, tape<B>& t,
                std::span<typename B::scalar> gradients, batch_of<typename B::storage> dx) const {
    chain<B>::backward(b, t.frame(layers_, x, values), t.output_gradient(), dx, gradients);
  }

  /// The same without a gradient by x; tape.output_gradient() may be overwritten, so that an
  /// activation at the end takes no pass of its own behind who has written it.
  template <Backend B>
  void backward_in_place(B& b, network_view<B> values, const_batch_of<typename B::storage> x,
                         tape<B>& t, std::span<typename B::scalar> gradients) const {
    chain<B>::backward(b, t.frame(layers_, x, values), t.output_gradient(), {}, gradients,
                       t.output_gradient().data);
  }

  /// dx = the gradient of the sum of all outputs by x: per sample dD/dx. The gradients between the
  /// layers stay in `tangents` for penalty_backward.
  template <Backend B>
  void input_gradient(B& b, network_view<B> values, const_batch_of<typename B::storage> x,
                      tape<B>& t, tangent_tape<B>& tangents,
                      batch_of<typename B::storage> dx) const {
    auto frame = t.frame(layers_, x, values);
    frame.kept = tangents.kept();
    chain<B>::backward(b, frame, tangents.ones(x.n), dx, {});
  }

  /// Adds the derivative of `terms` by the parameters, after input_gradient. With v the derivative
  /// of a penalty by dD/dx and s that of a loss by D(x) this is the gradient of both: a tangent
  /// forward and, where the network is piecewise linear, one weight gradient per layer.
  template <Backend B>
  void penalty_backward(B& b, tape<B>& t, tangent_tape<B>& tangents,
                        const penalty_terms<B>& terms) const {
    auto frame = t.frame(layers_, terms.x, terms.values);
    frame.kept = tangents.kept();
    const int n = terms.x.n;
    const auto ones = tangents.ones(n);
    chain<B>::tangent(b, frame, terms.v, tangents.output(n));
    if constexpr (plan::pack::piecewise_linear && !plan::pack::couples_samples) {
      if (terms.seeds) chain<B>::template merge<input_shape>(b, terms.x, terms.seeds, terms.v);
      chain<B>::merged(b, frame, terms.v, ones, terms.seeds, terms.gradients);
    } else {
      second_order_args<B> a;
      a.tx = terms.v;
      a.gy = ones;
      a.dparams = terms.gradients;
      a.ey = {terms.seeds, n};
      chain<B>::second_order(b, frame, a);
    }
  }

  /// Calls f on each layer object, first to last; of residual blocks, on the layers inside.
  template <class F>
  void for_each_layer(F&& f) {
    nn::visit_layers<typename plan::pack>(layers_, f);
  }

 private:
  typename plan::pack::objects layers_;
};

}  // namespace gantry
