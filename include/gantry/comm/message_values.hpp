// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0::comm {

/// The values of one message: on the host, or in parts on the device.
struct message_values {
  std::span<float> host{};
  device_parts parts{};

  [[nodiscard]] std::size_t size() const {
    std::size_t count = host.size();
    for (const std::span<float>& part : parts) count += part.size();
    return count;
  }
};

}  // namespace gantry::comm
