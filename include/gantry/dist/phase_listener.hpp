// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <utility>

#include "gantry/concepts/strategy.hpp"

namespace gantry::inline v0::dist {

/// Hears of every stretch of time that a stopwatch of its thread books on a phase. The roles of a
/// strategy use their stopwatches on the thread of their rank, so one listener per rank hears all.
class phase_listener {
 public:
  using clock = std::chrono::steady_clock;

  phase_listener() = default;
  phase_listener(const phase_listener&) = delete;
  phase_listener& operator=(const phase_listener&) = delete;
  virtual ~phase_listener() { listen(false); }

  /// Stretches arrive in the order of their ends. A watch that starts before another one has ended
  /// books the time of both.
  virtual void on_phase(phase p, clock::time_point begin, clock::time_point end) = 0;

  /// The one of this thread, or null.
  static phase_listener* current() { return slot(); }

 protected:
  /// Hears the calling thread from now on, or no longer.
  void listen(bool on) {
    if (on)
      earlier_ = std::exchange(slot(), this);
    else if (slot() == this)
      slot() = earlier_;
  }

 private:
  static phase_listener*& slot() {
    static thread_local phase_listener* listener = nullptr;
    return listener;
  }

  phase_listener* earlier_{};
};

}  // namespace gantry::dist
