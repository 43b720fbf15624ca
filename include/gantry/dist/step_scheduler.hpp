// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// How many steps each node takes in a round, and when a worker's generator runs: the task
// schedulers of EntGAN. The server asks its scheduler before a round and tells each worker.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "gantry/base/error.hpp"

namespace gantry::inline v0::dist {

/// What a worker does in one round.
struct worker_steps {
  int discriminator{1};
  int fakes_every{1};  ///< its generator runs before every so many discriminator steps
  friend constexpr bool operator==(const worker_steps&, const worker_steps&) = default;
};

/// A scheduler decides from what it has seen, and remembers it in `visit_values`.
///   begin(n)               once, before it is asked: n workers
///   for_worker(n)          n = 1, 2, ...
///   for_server()           generator steps
///   observe(node, seconds) one step of a node took so long; node 0 is the server
///   forget(n)              worker n has stopped
template <class S>
concept StepScheduler = std::copyable<S> &&
    requires(S& s, const S& cs, int n, double seconds,
             void (*f)(const std::string&, std::vector<float>&)) {
  { s.begin(n) } -> std::same_as<void>;
  { cs.for_worker(n) } -> std::same_as<worker_steps>;
  { cs.for_server() } -> std::same_as<int>;
  { s.observe(n, seconds) } -> std::same_as<void>;
  { s.forget(n) } -> std::same_as<void>;
  s.visit_values(f);
};

/// The same numbers in every round.
struct fixed_steps {
  int discriminator{1}, generator{1}, fakes_every{1};

  /// @throws usage_error for numbers below 1
  void begin(int) const {
    expects(discriminator >= 1 && generator >= 1 && fakes_every >= 1,
            "layerwise_overlap: the numbers of discriminator and generator steps, and of steps for "
            "which generated samples are used, must be at least 1");
  }
  [[nodiscard]] worker_steps for_worker(int) const { return {discriminator, fakes_every}; }
  [[nodiscard]] int for_server() const { return generator; }
  void observe(int, double) const {}
  void forget(int) const {}
  void visit_values(auto&&) const {}
};

/// Balances by measured times: a worker takes `most.discriminator` steps if it is the fastest, and
/// otherwise as many as it can in the same time; the server as many, up to `most.generator`, as it
/// can in the time of the slowest worker. So nobody waits long for a slow node. A round follows the
/// times of the rounds before, so a run is not repeatable bit for bit; the times it has seen and so
/// its decisions go into checkpoints.
struct balanced_steps {
  fixed_steps most{};
  float smoothing{0.5f};         ///< weight of the past in the mean of measured times
  std::vector<float> seconds{};  ///< seen: of one step of the server, of workers 1, 2, ...; 0: none

  void begin(int workers) {
    most.begin(workers);
    expects(smoothing >= 0.0f && smoothing < 1.0f,
            "layerwise_overlap: the weight of past times must be at least 0 and below 1");
    seconds.resize(static_cast<std::size_t>(workers) + 1);
  }
  [[nodiscard]] worker_steps for_worker(int n) const {
    const double own = time_of(n);
    const int steps = own > 0 ? clamp(most.discriminator * fastest() / own, most.discriminator)
                              : most.discriminator;
    return {steps, most.fakes_every};
  }
  [[nodiscard]] int for_server() const {
    double longest = 0;
    for (std::size_t n = 1; n < seconds.size(); ++n)
      longest = std::max(
          longest, time_of(static_cast<int>(n)) * for_worker(static_cast<int>(n)).discriminator);
    return longest > 0 && time_of(0) > 0 ? clamp(longest / time_of(0), most.generator)
                                         : most.generator;
  }
  void observe(int node, double measured) {
    float& mean = seconds[static_cast<std::size_t>(node)];
    const auto latest = static_cast<float>(measured);
    mean = mean > 0 ? smoothing * mean + (1.0f - smoothing) * latest : latest;
  }
  void forget(int n) {
    if (static_cast<std::size_t>(n) < seconds.size()) seconds[static_cast<std::size_t>(n)] = 0;
  }
  void visit_values(auto&& f) { f("step_seconds", seconds); }

 private:
  [[nodiscard]] double time_of(int node) const {
    const auto i = static_cast<std::size_t>(node);
    return i < seconds.size() ? static_cast<double>(seconds[i]) : 0.0;
  }
  [[nodiscard]] double fastest() const {
    double found = 0;
    for (std::size_t n = 1; n < seconds.size(); ++n) {
      const double t = time_of(static_cast<int>(n));
      if (t > 0 && (found == 0 || t < found)) found = t;
    }
    return found;
  }
  /// Rounds to a number of steps from 1 up; half a step too long is still in time.
  static int clamp(double steps, int most) {
    return static_cast<int>(std::clamp(std::round(steps), 1.0, static_cast<double>(most)));
  }
};

/// One of several schedulers, chosen at run time.
template <StepScheduler... Schedulers>
struct any_steps {
  std::variant<Schedulers...> chosen;

  void begin(int workers) {
    std::visit([&](auto& s) { s.begin(workers); }, chosen);
  }
  [[nodiscard]] worker_steps for_worker(int n) const {
    return std::visit([&](const auto& s) { return s.for_worker(n); }, chosen);
  }
  [[nodiscard]] int for_server() const {
    return std::visit([](const auto& s) { return s.for_server(); }, chosen);
  }
  void observe(int node, double measured) {
    std::visit([&](auto& s) { s.observe(node, measured); }, chosen);
  }
  void forget(int n) {
    std::visit([&](auto& s) { s.forget(n); }, chosen);
  }
  void visit_values(auto&& f) {
    std::visit([&](auto& s) { s.visit_values(f); }, chosen);
  }
};

}  // namespace gantry::dist
