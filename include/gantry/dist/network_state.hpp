// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "gantry/concepts/backend.hpp"
#include "gantry/concepts/network.hpp"
#include "gantry/concepts/optimizer.hpp"
#include "gantry/concepts/strategy.hpp"
#include "gantry/dist/layer_slices.hpp"
#include "gantry/ops/optimizer_step.hpp"
#include "gantry/ops/pointwise.hpp"
#include "gantry/tensor/buffer.hpp"

namespace gantry::inline v0::dist {

/// Memory whose use the backend's meter notes. By what it has counted and not by what was planned,
/// so that one can be checked against the other.
template <Backend B>
typename B::buffer_type allocate_for(B& b, memory_use use, std::size_t count) {
  const std::size_t before = b.meter().bytes();
  typename B::buffer_type buffer = b.allocate(count);
  b.meter().note(use, b.meter().bytes() - before);
  return buffer;
}

/// A network with everything that training changes, one flat arena each: parameters, gradients,
/// optimizer state, running statistics, and the average of the running statistics where the
/// optimizer averages the weights.
template <Network Net, class Opt, Backend B>
class network_state {
  static_assert(Optimizer<Opt, B>,
                "gan<generator, discriminator, objective, optimizers...>: what follows the "
                "objective must be an optimizer that this backend can run, such as optim::adam "
                "(concepts/optimizer.hpp)");

 public:
  static constexpr bool averages = requires(std::span<typename B::scalar> s) {
    Opt::average(s, std::size_t{});
  };
  static constexpr std::size_t param_count = Net::param_count, buffer_count = Net::buffer_count;
  static constexpr std::size_t optimizer_count = Opt::state_per_param() * Net::param_count;
  static constexpr std::size_t average_count = averages ? Net::buffer_count : 0;

  network_state(B& b, Net net, Opt opt)
      : network(std::move(net)),
        optimizer(std::move(opt)),
        params_(allocate_for(b, memory_use::parameters, Net::param_count)),
        gradients_(allocate_for(b, memory_use::gradients, Net::param_count)),
        optimizer_state_(allocate_for(b, memory_use::optimizer_state, optimizer_count)),
        buffers_(allocate_for(b, memory_use::parameters, Net::buffer_count)),
        average_buffers_(allocate_for(b, memory_use::parameters, average_count)) {}

  /// Bytes that an object allocates.
  static constexpr std::size_t bytes() {
    using scalar = typename B::scalar;
    return allocation_bytes<scalar>(Net::param_count) * 2 +
           allocation_bytes<scalar>(optimizer_count) + allocation_bytes<scalar>(Net::buffer_count) +
           allocation_bytes<scalar>(average_count);
  }

  /// Those bytes by what they hold.
  static constexpr arena_bytes arenas() {
    using scalar = typename B::scalar;
    return {.parameters = allocation_bytes<scalar>(Net::param_count) +
                          allocation_bytes<scalar>(Net::buffer_count) +
                          allocation_bytes<scalar>(average_count),
            .gradients = allocation_bytes<scalar>(Net::param_count),
            .optimizer_state = allocation_bytes<scalar>(optimizer_count)};
  }

  /// Initial weights; player 0 is the generator, 1 + w the discriminator of worker w.
  void initialise(B& b, std::uint64_t seed, std::uint32_t player) {
    std::vector<float> params(Net::param_count), buffers(Net::buffer_count);
    network.initialise(params, buffers,
                       {.seed = seed, .worker = player, .use = purpose::initialise});
    b.upload(params, params_.data());
    b.upload(buffers, buffers_.data());
    if constexpr (averages) {
      b.upload(params, Opt::average(optimizer_state_.span(), Net::param_count).data());
      b.upload(buffers, average_buffers_.data());
    }
  }

  void clear_gradients(B& b) {
    launch(b, ops::fill{}, {gradients_.data(), gradients_.size(), 0.0f});
  }
  /// And some numbers of the same backend, in the same pass where it can.
  void clear_gradients(B& b, std::span<typename B::scalar> more) {
    if constexpr (Implements<B, ops::clear>) {
      launch(b, ops::clear{}, {gradients_.data(), gradients_.size(), more.data(), more.size()});
    } else {
      clear_gradients(b);
      launch(b, ops::fill{}, {more.data(), more.size(), 0.0f});
    }
  }

  /// One optimizer step on the accumulated gradients.
  void update(B& b) {
    ++step;
    optimizer.step(b, params_.span(), std::span<const typename B::scalar>(gradients_.span()),
                   optimizer_state_.span(), step);
    if constexpr (averages)
      launch(b, ops::ema_step{},
             {buffers_.data(), average_buffers_.data(), average_count, optimizer.decay_at(step)});
  }

  /// The same step part by part: begin_step once, then each part once, in any order.
  void begin_step() { ++step; }
  void step_part(B& b, const layer_slice& part) {
    static_assert(PartwiseOptimizer<Opt, B>,
                  "an update layer by layer needs an optimizer with step(backend, step_args), "
                  "which updates a part of an arena (concepts/optimizer.hpp)");
    optimizer.step(
        b, step_args<B>{params_.span(), std::span<const typename B::scalar>(gradients_.span()),
                        optimizer_state_.span(), step, part.first_param, part.params});
    if constexpr (averages)
      launch(b, ops::ema_step{},
             {buffers_.data() + part.first_buffer, average_buffers_.data() + part.first_buffer,
              part.buffers, optimizer.decay_at(step)});
  }

  [[nodiscard]] network_view<B> values() const { return {params_.span(), buffers_.span()}; }
  /// Averaged weights and statistics, or the current ones where nothing is averaged.
  [[nodiscard]] network_view<B> averaged_values() const {
    if constexpr (averages)
      return {Opt::average(optimizer_state_.span(), Net::param_count), average_buffers_.span()};
    else
      return values();
  }
  [[nodiscard]] std::span<typename B::scalar> gradients() const { return gradients_.span(); }
  [[nodiscard]] std::span<typename B::scalar> optimizer_state() const {
    return optimizer_state_.span();
  }
  [[nodiscard]] std::span<typename B::scalar> average_buffers() const {
    return average_buffers_.span();
  }

  Net network;
  Opt optimizer;
  std::int64_t step{};  ///< optimizer steps taken

 private:
  typename B::buffer_type params_, gradients_, optimizer_state_, buffers_, average_buffers_;
};

}  // namespace gantry::dist
