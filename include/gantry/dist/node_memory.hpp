// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <initializer_list>

#include "gantry/concepts/strategy.hpp"
#include "gantry/dist/discriminator_player.hpp"
#include "gantry/dist/generator_player.hpp"
#include "gantry/tensor/buffer.hpp"

namespace gantry::inline v0::dist {

/// What a node holds: its networks, activations in what else it allocates from its backend, and
/// messages.
constexpr arena_bytes node_memory(std::initializer_list<arena_bytes> networks,
                                  std::size_t allocated, std::size_t messages) {
  arena_bytes all{.messages = messages};
  for (const arena_bytes& n : networks) {
    all.parameters += n.parameters;
    all.gradients += n.gradients;
    all.optimizer_state += n.optimizer_state;
    allocated -= n.total();
  }
  all.activations = allocated;
  return all;
}

/// What a node has had from its backend at most. Messages lie on the host and are on no meter.
inline arena_bytes measured_memory(const memory_meter& meter) {
  const arena_bytes networks{.parameters = meter.noted(memory_use::parameters),
                             .gradients = meter.noted(memory_use::gradients),
                             .optimizer_state = meter.noted(memory_use::optimizer_state)};
  return node_memory({networks}, meter.peak(), 0);
}

template <Topology T, Backend B>
constexpr arena_bytes generator_arenas = generator_player<T, B>::state_type::arenas();
template <Topology T, Backend B>
constexpr arena_bytes discriminator_arenas = discriminator_player<T, B>::state_type::arenas();

}  // namespace gantry::dist
