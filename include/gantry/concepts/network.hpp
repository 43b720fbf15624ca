// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <vector>

#include "gantry/concepts/layer.hpp"

namespace gantry {

/// Values of a network in a backend's memory: trained parameters and running statistics.
template <Backend B>
struct network_view {
  std::span<typename B::scalar> params;
  std::span<typename B::scalar> buffers;
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

/// A network that backend B can run forward and backward.
template <class N, class B>
concept RunsOn = Network<N> && Backend<B> &&
    requires(const N& net, B& b, network_view<B> values, const_batch_of<typename B::storage> x,
             batch_of<typename B::storage> dx, typename N::template tape<B>& tape,
             std::span<typename B::scalar> gradients, mode run_mode, const stream_id& id) {
  { net.forward(b, values, x, tape, run_mode, id) } -> std::same_as<void>;
  { net.backward(b, values, x, tape, gradients, dx) } -> std::same_as<void>;
  { tape.output() } -> std::same_as<batch_of<typename B::storage>>;
  { tape.output_gradient() } -> std::same_as<batch_of<typename B::storage>>;
};

}  // namespace gantry
