// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "gantry/concepts/filter.hpp"

namespace gantry::inline v0::dist {

/// Sends values as they are: the end of a chain that only changes values.
struct exact {
  [[nodiscard]] constexpr std::size_t wire_size(std::size_t n) const { return n; }
  void encode(const message_route&, std::span<const float> values, std::span<float> wire) const {
    std::ranges::copy(values, wire.begin());
  }
  void decode(const message_route&, std::span<const float> wire, std::span<float> values) const {
    std::ranges::copy(wire, values.begin());
  }
  template <class Visit>
  void visit_values(Visit&&) const {}
};

/// First changes the values, then encodes them: filter_chain{clip_and_noise{...}, int8_blocks{}}.
/// What comes first is what a worker promises (privacy); an encoder after it sees only its result.
template <ValueFilter First, Filter Rest>
class filter_chain {
 public:
  filter_chain(First first, Rest rest) : first_(std::move(first)), rest_(std::move(rest)) {}

  [[nodiscard]] std::size_t wire_size(std::size_t n) const { return rest_.wire_size(n); }
  void encode(const message_route& route, std::span<const float> values, std::span<float> wire) {
    changed_.assign(values.begin(), values.end());
    first_.apply(route, changed_);
    rest_.encode(route, changed_, wire);
  }
  void decode(const message_route& route, std::span<const float> wire, std::span<float> values) {
    rest_.decode(route, wire, values);
  }
  template <class Visit>
  void visit_values(Visit&& visit) {
    first_.visit_values(visit);
    rest_.visit_values(visit);
  }

 private:
  First first_;
  Rest rest_;
  std::vector<float> changed_;
};

static_assert(Filter<exact>, "a chain must be able to end in sending values as they are");

}  // namespace gantry::dist
