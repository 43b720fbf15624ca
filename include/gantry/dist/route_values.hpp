// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/filter.hpp"

namespace gantry::inline v0::dist {

/// What a filter remembers of each stream of messages. A stream is the messages of one kind and
/// length to one receiver: two tensors of one length that go to the same rank share one. All of it
/// is one vector that describes itself, so that a checkpoint can hold it under one name, whatever
/// streams there are.
class route_values {
 public:
  explicit route_values(std::string name) : name_(std::move(name)) {}

  /// The values of a stream, `size` zeros at first; valid until the next call.
  /// @throws error if what was read from a checkpoint is no such vector
  std::span<float> of(const message_route& route, std::size_t length, std::size_t size) {
    const header wanted{static_cast<float>(route.kind),
                        static_cast<float>(route.to),
                        low(length),
                        high(length),
                        low(size),
                        high(size)};
    std::size_t at = 0;
    while (at < all_.size()) {
      const std::span<const float> rest = std::span<const float>(all_).subspan(at);
      const std::size_t stored = rest.size() < header_size ? rest.size() : size_of(rest);
      if (rest.size() < header_size || stored > rest.size() - header_size)
        throw error("the values " + name_ +
                    " of a filter were expected to be whole and are not; "
                    "use another checkpoint");
      if (std::equal(wanted.begin(), wanted.end(), rest.begin()))
        return std::span(all_).subspan(at + header_size, size);
      at += header_size + stored;
    }
    all_.insert(all_.end(), wanted.begin(), wanted.end());
    all_.resize(all_.size() + size);
    return std::span(all_).last(size);
  }

  template <class Visit>
  void visit_values(Visit&& visit) {
    visit(name_, all_);
  }

 private:
  /// Kind, receiver, length and size; a float counts to 2^24, so the last two have two digits.
  static constexpr std::size_t header_size = 6, base = std::size_t{1} << 24;
  using header = std::array<float, header_size>;
  static float low(std::size_t n) { return static_cast<float>(n % base); }
  static float high(std::size_t n) { return static_cast<float>(n / base); }
  static std::size_t size_of(std::span<const float> head) {
    return static_cast<std::size_t>(head[4]) + static_cast<std::size_t>(head[5]) * base;
  }

  std::string name_;
  std::vector<float> all_;
};

}  // namespace gantry::dist
