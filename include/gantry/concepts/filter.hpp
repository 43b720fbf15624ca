// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What may be done to a message on its way: the contract of filters. A communicator that filters
// (comm/filtered.hpp) calls `encode` where a message leaves and `decode` where it arrives; each
// rank has filters of its own, made alike.
#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0 {

/// What a message is and where it goes; known to both ends.
struct message_route {
  message kind{};
  rank_t from{}, to{};
};

/// Which messages go through a filter: kinds, and directions as seen from the lead, rank 0.
struct message_selection {
  std::vector<message> kinds{message::feedback};
  bool to_lead{true}, from_lead{true}, between_workers{true};

  [[nodiscard]] bool has(const message_route& r) const {
    const bool direction = r.to == 0 ? to_lead : r.from == 0 ? from_lead : between_workers;
    if (!direction) return false;
    for (const message kind : kinds)
      if (kind == r.kind) return true;
    return false;
  }
};

/// visit_values(f) calls f(name, std::vector<float>&) for all that a filter remembers between
/// messages, always under the same names, so that a checkpoint can hold it and give it back.
template <class F>
concept ShowsValues = requires(F& f, void (*visit)(const std::string&, std::vector<float>&)) {
  f.visit_values(visit);
};

/// Changes values and leaves their number: the receiver takes them as they are.
///   apply(route, values)   before they are sent
template <class F>
concept ValueFilter = std::copyable<F> && ShowsValues<F> &&
    requires(F& f, const message_route& route, std::span<float> values) {
  { f.apply(route, values) } -> std::same_as<void>;
};

/// Writes values in another form for the wire. A transport carries the bits of floats unchanged,
/// whatever they stand for.
///   wire_size(n)                  floats on the wire for n values; depends on nothing else, since
///                                 both ends must know it
///   encode(route, values, wire)   `wire` has wire_size(values.size()) floats
///   decode(route, wire, values)   the same with the ends exchanged
/// A NaN or an infinity among the values must not arrive as a number.
template <class F>
concept Filter = std::copyable<F> && ShowsValues<F> &&
    requires(F& f, const F& cf, const message_route& route, std::span<const float> in,
             std::span<float> out) {
  { cf.wire_size(std::size_t{}) } -> std::same_as<std::size_t>;
  { f.encode(route, in, out) } -> std::same_as<void>;
  { f.decode(route, in, out) } -> std::same_as<void>;
};

}  // namespace gantry
