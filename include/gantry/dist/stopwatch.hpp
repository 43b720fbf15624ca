// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

#include "gantry/concepts/strategy.hpp"

namespace gantry::dist {

/// Books the time since the last call on a phase.
class stopwatch {
 public:
  explicit stopwatch(phase_times& times) : times_(&times) {}
  void lap(phase p) {
    const auto now = clock::now();
    (*times_)[p] += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

 private:
  using clock = std::chrono::steady_clock;
  phase_times* times_;
  clock::time_point last_ = clock::now();
};

}  // namespace gantry::dist
