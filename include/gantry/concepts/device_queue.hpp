// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace gantry::inline v0 {

/// A queue of a device's work, for those who put their own behind what is in it or ahead of what
/// comes: a cudaStream_t, or null, of which nothing is known but that all work has ended.
struct device_queue {
  void* handle{};
  [[nodiscard]] explicit operator bool() const { return handle != nullptr; }
};

}  // namespace gantry
