// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/filter.hpp"

namespace gantry::dist {

/// What a filter remembers of each stream of messages. A stream is the messages of one kind and
/// length to one receiver: two tensors of one length that go to the same rank share one.
class route_values {
 public:
  /// `name` begins the name of every vector.
  explicit route_values(std::string name) : name_(std::move(name)) {}

  /// The vector of the stream, `size` zeros at first.
  std::vector<float>& of(const message_route& route, std::size_t length, std::size_t size) {
    const std::string key = name_ + "/" + std::string(message_name(route.kind)) + "/to_" +
                            std::to_string(route.to) + "/" + std::to_string(length);
    std::vector<float>& values = values_[key];
    values.resize(size);
    return values;
  }

  template <class Visit>
  void visit_values(Visit&& visit) {
    for (auto& [name, values] : values_) visit(name, values);
  }

  /// See HasValues.
  bool restore(std::string_view name, std::vector<float> values) {
    if (!name.starts_with(name_ + "/")) return false;
    values_[std::string(name)] = std::move(values);
    return true;
  }

 private:
  std::string name_;
  std::map<std::string, std::vector<float>, std::less<>> values_;
};

}  // namespace gantry::dist
