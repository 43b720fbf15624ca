// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "gantry/concepts/device_queue.hpp"
#include "gantry/ops/operation.hpp"
#include "gantry/tensor/buffer.hpp"

namespace gantry::inline v0 {

/// Where networks run: memory, a layout for activations, and kernels for ops (see
/// ops/operation.hpp).
///
/// `allocate(n)` returns n zeroed scalars, move-only and freed on destruction. `upload` and
/// `download` copy between canonical host floats and the backend's memory and have finished when
/// they return. `synchronize` waits for all launched ops. `meter` counts what was allocated. One
/// backend object serves one node; it is not shared between threads.
template <class B>
concept Backend = requires(B& b, const B& cb, std::size_t n, typename B::scalar* to,
                           const typename B::scalar* from, std::span<const float> source,
                           std::span<float> target) {
  typename B::storage;
  typename B::buffer_type;
  { B::name } -> std::convertible_to<std::string_view>;
  { b.allocate(n) } -> std::same_as<typename B::buffer_type>;
  { b.upload(source, to) } -> std::same_as<void>;
  { b.download(from, target) } -> std::same_as<void>;
  { b.synchronize() } -> std::same_as<void>;
  { cb.meter() } -> std::same_as<const memory_meter&>;
};

/// A backend whose memory is a device's, so that a communicator may take it (HasDeviceMessages).
/// `queue` is where its work is, all of it that was launched.
template <class B>
concept HasDeviceMemory = Backend<B> && requires(B& b) {
  requires B::on_device;
  { b.queue() } -> std::same_as<device_queue>;
};

/// A backend on which one pass over two batches is worth more than a pass over each: where
/// `takes_pairs`, the ops of layers that keep the two apart know pairs (batch_norm, dropout).
template <class B>
concept TakesPairs = Backend<B> && requires {
  requires B::takes_pairs;
};

/// A backend that keeps a data set in its memory, for ops::image_batch. `hold(bytes)` is memory for
/// images, empty where there is no room for them, `hold_positions(n)` memory for the positions of a
/// batch; `upload` fills the first and waits, `send` the second and does not.
template <class B>
concept HoldsImages = Backend<B> &&
    requires(B& b, std::size_t n, std::span<const std::uint8_t> images, std::uint8_t* to,
             std::span<const std::uint32_t> positions, std::uint32_t* list) {
  { b.hold(n).data() } -> std::same_as<std::uint8_t*>;
  { b.hold_positions(n).data() } -> std::same_as<std::uint32_t*>;
  { b.upload(images, to) } -> std::same_as<void>;
  { b.send(positions, list) } -> std::same_as<void>;
};

}  // namespace gantry
