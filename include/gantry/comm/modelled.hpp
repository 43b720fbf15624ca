// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <utility>

#include "gantry/comm/timed.hpp"
#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/link_model.hpp"

namespace gantry::inline v0::comm {

/// Seconds that are added up, not waited for.
class virtual_clock {
 public:
  template <class W>
  explicit virtual_clock(const W&) {}
  [[nodiscard]] double now() const { return now_; }
  void wait_until(double second) { now_ = std::max(now_, second); }
  void compute(double seconds) { now_ += seconds; }

 private:
  double now_{};
};

template <World Inner, LinkModel Model>
using modelled_world = timed_world<Inner, Model, virtual_clock>;

/// A world that runs as fast as it can and says how long it would have taken: a clock per rank that
/// moves by what is charged and by the arrival of messages. The seconds depend on who sends what to
/// whom in which order, never on how threads were scheduled.
template <World Inner, LinkModel Model>
modelled_world<Inner, Model> modelled(Inner inner, Model model) {
  return {std::move(inner), std::move(model)};
}

}  // namespace gantry::comm
