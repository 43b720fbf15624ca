// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "gantry/concepts/backend.hpp"

namespace gantry::inline v0::backend {

/// The oracle: plain loops, sums in double, one thread. T is float or double (the gradient checker
/// uses double).
template <class T>
class reference {
 public:
  using scalar = T;
  using storage = gantry::storage<T, nhwc>;
  using buffer_type = host_buffer<T>;
  static constexpr std::string_view name = "reference";

  buffer_type allocate(std::size_t count) { return {count, meter_}; }
  void upload(std::span<const float> source, T* target) { std::ranges::copy(source, target); }
  void download(const T* source, std::span<float> target) {
    std::transform(source, source + target.size(), target.begin(),
                   [](T value) { return static_cast<float>(value); });
  }
  void synchronize() {}
  [[nodiscard]] const memory_meter& meter() const { return *meter_; }

 private:
  std::shared_ptr<memory_meter> meter_ = std::make_shared<memory_meter>();
};

}  // namespace gantry::backend
