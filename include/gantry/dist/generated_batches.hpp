// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Generated batches on their way from a server to its workers, and what a worker holds of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "gantry/dist/generator_player.hpp"
#include "gantry/dist/real_images.hpp"
#include "gantry/dist/real_labels.hpp"

namespace gantry::inline v0::dist {

/// Scalars of a generated batch on its way: the images, and for conditional networks the classes
/// behind them.
template <Topology T>
constexpr std::size_t packed_batch(int batch) {
  return static_cast<std::size_t>(batch) *
         static_cast<std::size_t>(T::sample_shape.size() + (T::classes > 0 ? 1 : 0));
}

/// Generates batch j of an index and writes it as it travels. The images are there after the
/// backend's next synchronize().
template <Topology T, Backend B>
void generate_packed(B& b, generator_player<T, B>& generator, std::uint64_t seed,
                     std::uint32_t index, std::size_t j, std::span<float> message) {
  const auto x = generator.generate(seed, index, static_cast<std::uint32_t>(j));
  launch(b, ops::export_samples<T::sample_shape>{}, {x, message.data(), 1.0f});
  if constexpr (T::classes > 0) std::copy_n(generator.labels(j), x.n, message.end() - x.n);
}

/// A worker's real batch, the generated one that it received, and the derivative by its images.
template <Topology T, Backend B, BatchSource Source>
class received_batches {
 public:
  static constexpr hwc shape = T::sample_shape;
  static_assert(require_labels<T, Source>::value, "see the message above");

  received_batches(B& b, int batch, Source source)
      : backend_(&b),
        batch_(batch),
        source_(std::move(source)),
        real_(b.allocate(elements(batch))),
        fake_(b.allocate(elements(batch))),
        gradient_(b.allocate(elements(batch))),
        real_images_(b, source_, batch),
        host_(std::make_shared<std::vector<float>>(packed_batch<T>(batch))),
        fake_labels_(T::classes > 0 ? static_cast<std::size_t>(batch) : 0) {}

  /// Bytes that an object allocates from its backend.
  static constexpr std::size_t bytes(int batch) {
    return 3 * allocation_bytes<typename B::scalar>(elements(batch));
  }
  /// Bytes of messages on the host.
  static constexpr std::size_t host_bytes(int batch) {
    return packed_batch<T>(batch) * sizeof(float);
  }

  /// The real batch of that index. @throws usage_error for a label that the networks lack
  network_input<B> read(std::uint32_t index) {
    real_images_.read(*backend_, source_, index, images(), view(real_));
    return {view(real_), real_labels<T>(source_, index, batch_)};
  }
  /// Takes the next message for the generated batch, where it lies if the transport can show it.
  /// `same` says that it holds what the last one did; only if nothing on the way can have changed
  /// either is it believed. `arrived` is called in between. @returns false if the server is gone
  template <Communicator C, class Arrived>
  bool receive(C& comm, bool same, Arrived&& arrived) {
    return receive_with(comm, message::batch, writable(host_), 0, [&](const message_view& m) {
      arrived();
      if (!(same && is_as_sent_ && m.is_senders_own)) import_fake(m.values);
      is_as_sent_ = m.is_senders_own;
    });
  }
  /// The generated batch, and the classes that came behind it.
  [[nodiscard]] network_input<B> fake() {
    return {view(fake_), fake_labels_.empty() ? nullptr : fake_labels_.data()};
  }
  /// Where the derivative of a loss by the images of fake() goes.
  [[nodiscard]] batch_of<typename B::storage> gradient() { return view(gradient_); }
  /// That derivative as it travels.
  template <Communicator C>
  void send_gradient(C& comm) {
    const std::span<const float> values = export_gradient();
    if constexpr (T::classes == 0)
      send_own(comm, message::feedback, host_, 0);
    else
      comm.send(message::feedback, values, 0);
  }
  /// The same for who does not send it at once; valid until the next batch.
  [[nodiscard]] std::span<const float> export_gradient() {
    launch(*backend_, ops::export_samples<shape>{}, {gradient(), images().data(), 1.0f});
    backend_->synchronize();
    return images();
  }

 private:
  static constexpr std::size_t elements(int n) { return B::storage::layout::elements(shape, n); }
  batch_of<typename B::storage> view(typename B::buffer_type& memory) {
    return {memory.data(), batch_};
  }
  std::span<float> images() {
    return std::span(writable(host_)).first(static_cast<std::size_t>(batch_) * shape.size());
  }
  void import_fake(std::span<const float> message) {
    launch(*backend_, ops::import_samples<shape>{}, {message.data(), view(fake_)});
    std::transform(message.end() - static_cast<std::ptrdiff_t>(fake_labels_.size()), message.end(),
                   fake_labels_.begin(),
                   [](float label) { return static_cast<std::uint8_t>(label); });
  }

  B* backend_;
  int batch_;
  Source source_;
  typename B::buffer_type real_, fake_, gradient_;
  real_images<shape, B, Source> real_images_;
  std::shared_ptr<std::vector<float>> host_;
  std::vector<std::uint8_t> fake_labels_;
  bool is_as_sent_{false};  // the generated batch is what the server has in its memory
};

}  // namespace gantry::dist
