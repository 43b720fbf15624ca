// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include "gantry/base/thread_pool.hpp"
#include "gantry/comm/timed.hpp"
#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/link_model.hpp"

namespace gantry::inline v0::comm {

/// Real seconds since the start of a run. Who waits gives its permit to compute to others.
class wall_clock {
 public:
  template <class W>
  explicit wall_clock(const W& world) : pool_(world.pool()) {}
  [[nodiscard]] double now() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  void wait_until(double second) const {
    if (second <= now()) return;
    compute_permit permit(*pool_);
    permit.release();
    std::this_thread::sleep_until(start_ + std::chrono::duration<double>(second));
    permit.acquire();
  }
  /// Computing takes the time it takes.
  void compute(double) const {}

 private:
  std::shared_ptr<thread_pool> pool_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

template <World Inner, LinkModel Model>
using throttled_world = timed_world<Inner, Model, wall_clock>;

/// A world whose links are as slow as the model says, in real time: a message can be received only
/// when its arrival has come. Sending costs the sender nothing, so communication and compute
/// overlap where a strategy lets them. For measurements on one machine.
template <World Inner, LinkModel Model>
throttled_world<Inner, Model> throttled(Inner inner, Model model) {
  return {std::move(inner), std::move(model)};
}

}  // namespace gantry::comm
