// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gantry/concepts/layer.hpp"

namespace gantry::inline v0 {

/// Values of a network in a backend's memory: trained parameters and running statistics.
template <Backend B>
struct network_view {
  std::span<typename B::scalar> params;
  std::span<typename B::scalar> buffers;
};

/// What goes into a network: a batch, and one class label per sample for networks with classes.
template <Backend B>
struct network_input {
  using storage = typename B::storage;
  network_input(const_batch_of<storage> x, const std::uint8_t* y = nullptr)
      : samples(x), labels(y) {}
  network_input(batch_of<storage> x, const std::uint8_t* y = nullptr) : samples(x), labels(y) {}
  network_input(const typename B::scalar* data, int n) : samples{data, n} {}
  const_batch_of<storage> samples;
  const std::uint8_t* labels{};
  /// Behind the samples lies another batch of as many, which goes through in the same pass; for
  /// networks with `takes_pairs` on backends that take pairs (concepts/backend.hpp).
  bool paired{};
};

/// The function <v, dD/dx> + sum_i s_i D(x_i) of a network's parameters, and where its derivative
/// is added.
template <Backend B>
struct penalty_terms {
  network_view<B> values;
  const_batch_of<typename B::storage> x;
  batch_of<typename B::storage> v;    ///< overwritten
  const typename B::scalar* seeds{};  ///< s, one per sample; null means zero
  std::span<typename B::scalar> gradients;
};

/// A network as a type: extents and counts are constants, `tape<B>` holds what one batch leaves for
/// its backward.
template <class N>
concept Network = std::default_initializable<N> && std::copyable<N> &&
    requires(const N& net, std::span<float> host, const stream_id& id) {
  { N::input_shape } -> std::convertible_to<hwc>;
  { N::output_shape } -> std::convertible_to<hwc>;
  { N::param_count } -> std::convertible_to<std::size_t>;
  { N::buffer_count } -> std::convertible_to<std::size_t>;
  { N::flops } -> std::convertible_to<flop_count>;
  { N::tensors() } -> std::same_as<std::vector<tensor_info>>;
  { net.initialise(host, host, id) } -> std::same_as<void>;
};

/// A network that is a list of layers whose parameters and running statistics follow each other:
/// those of layer i begin at param_offset(i) and buffer_offset(i) and end where the next begin.
template <class N>
concept LayeredNetwork = Network<N> && requires(std::size_t i) {
  { N::depth } -> std::convertible_to<std::size_t>;
  { N::param_offset(i) } -> std::same_as<std::size_t>;
  { N::buffer_offset(i) } -> std::same_as<std::size_t>;
  { N::layer_flops[i] } -> std::convertible_to<flop_count>;
};

/// A network that backend B can run forward and backward.
template <class N, class B>
concept RunsOn = Network<N> && Backend<B> &&
    requires(const N& net, B& b, network_view<B> values, const_batch_of<typename B::storage> x,
             batch_of<typename B::storage> dx, typename N::template tape<B>& tape,
             std::span<typename B::scalar> gradients, mode run_mode, const stream_id& id) {
  { net.forward(b, values, network_input<B>(x), tape, run_mode, id) } -> std::same_as<void>;
  { net.backward(b, values, x, tape, gradients, dx) } -> std::same_as<void>;
  { tape.output() } -> std::same_as<batch_of<typename B::storage>>;
  { tape.output_gradient() } -> std::same_as<batch_of<typename B::storage>>;
};

}  // namespace gantry
