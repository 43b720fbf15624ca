// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

#include "gantry/concepts/strategy.hpp"
#include "gantry/dist/phase_listener.hpp"

namespace gantry::inline v0::dist {

/// Books the time since the last call on a phase, and tells the thread's listener.
class stopwatch {
 public:
  explicit stopwatch(phase_times& times) : times_(&times) {}
  void lap(phase p) {
    const auto now = clock::now();
    (*times_)[p] += std::chrono::duration<double>(now - last_).count();
    if (phase_listener* listener = phase_listener::current()) listener->on_phase(p, last_, now);
    last_ = now;
  }

 private:
  using clock = phase_listener::clock;
  phase_times* times_;
  clock::time_point last_ = clock::now();
};

}  // namespace gantry::dist
