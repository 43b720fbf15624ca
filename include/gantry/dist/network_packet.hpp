// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A network as a part of one contiguous message.
#pragma once

#include <cstddef>
#include <span>

#include "gantry/dist/network_state.hpp"

namespace gantry::inline v0::dist {

/// What goes with the parameters of a network that travels.
struct travels {
  bool statistics{true};  ///< batch normalisation's running statistics
  bool moments{false};    ///< the optimizer's moments; an average of weights is none
};

/// Numbers in an optimizer's state that are moments, not averaged weights.
template <class State>
inline constexpr std::size_t moment_count = State::optimizer_count -
                                            (State::averages ? State::param_count : 0);

/// Floats of a network in a message.
template <class State>
constexpr std::size_t packed_network(const travels& with) {
  return State::param_count + (with.statistics ? State::buffer_count : 0) +
         (with.moments ? moment_count<State> : 0);
}

/// Calls f(part of the state) for all that travels, in the order of the message.
template <class State, class F>
void visit_parts(State& state, const travels& with, F&& f) {
  f(state.values().params);
  if (with.statistics) f(state.values().buffers);
  if (with.moments) f(state.optimizer_state().first(moment_count<State>));
}

/// Calls f(part of the state, part of the message) for all that travels. @returns what the network
/// leaves of the message
template <class State, class F>
std::span<float> visit_packet(State& state, const travels& with, std::span<float> message, F&& f) {
  visit_parts(state, with, [&](auto part) {
    f(part, message.first(part.size()));
    message = message.subspan(part.size());
  });
  return message;
}

/// Copies a network to the front of a message. @returns the rest of the message
template <Backend B, class State>
std::span<float> pack_network(B& b, State& state, const travels& with, std::span<float> message) {
  return visit_packet(state, with, message,
                      [&](auto part, std::span<float> to) { b.download(part.data(), to); });
}

/// Takes a network from the front of a message. @returns the rest of the message
template <Backend B, class State>
std::span<float> unpack_network(B& b, State& state, const travels& with, std::span<float> message) {
  return visit_packet(state, with, message,
                      [&](auto part, std::span<float> from) { b.upload(from, part.data()); });
}

}  // namespace gantry::dist
