// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/rng.hpp"
#include "gantry/dist/worker_weights.hpp"

namespace gantry::inline v0::dist {

enum class scheduling_policy : int { all, random, round_robin, best_channel, proportional_fair };
inline constexpr std::array<std::string_view, 5> scheduling_names{
    "all", "random", "round_robin", "best_channel", "proportional_fair"};

/// Which workers take part in a round. The policies by channel need a model of it, which is a
/// stand-in for a real one: independent Rayleigh fading, so that the power gain g of a worker in a
/// round is exponential with mean 1, and the rate that Shannon's formula gives,
/// r = log2(1 + snr g) bits per second and hertz.
struct device_scheduling {
  scheduling_policy policy{scheduling_policy::all};
  double fraction{1};  ///< of the live workers; at least one takes part
  double snr{10};      ///< mean signal-to-noise ratio
  double window{10};   ///< rounds over which proportional_fair averages a worker's rate

  /// How many of so many live workers take part.
  [[nodiscard]] int count(int live) const {
    return policy == scheduling_policy::all ? live : part_of(fraction, live);
  }
  /// The rate of worker n in a round, a pure function of the seed.
  [[nodiscard]] double rate(std::uint64_t seed, std::uint32_t round, int n) const {
    const stream_id id{.seed = seed,
                       .step = round,
                       .worker = static_cast<std::uint32_t>(n),
                       .use = purpose::selection,
                       .salt = 1};
    return std::log2(1 - snr * std::log(static_cast<double>(uniform_at(id, 0))));
  }
};

/// @throws usage_error for settings out of range
inline void check(const device_scheduling& how) {
  expects(how.fraction > 0 && how.fraction <= 1,
          "the fraction of workers that take part must be above 0 and at most 1");
  expects(how.snr > 0 && how.window >= 1,
          "a channel needs a signal-to-noise ratio above 0 and a window of at least 1 round");
}

/// The workers of a round, in ascending order. round_robin goes on behind the last worker of the
/// round before; best_channel takes the highest rates; proportional_fair the highest rates relative
/// to what the worker got so far. `memory` is carried from round to round: the last worker, and the
/// average rate of each.
inline std::vector<int> scheduled_workers(const device_scheduling& how, std::span<const int> live,
                                          std::uint64_t seed, std::uint32_t round,
                                          std::span<float> memory) {
  const auto count = static_cast<std::size_t>(how.count(static_cast<int>(live.size())));
  std::vector<int> chosen(live.begin(), live.end());
  if (how.policy == scheduling_policy::random)
    return random_workers(live, static_cast<int>(count),
                          {.seed = seed, .step = round, .use = purpose::selection});
  if (how.policy == scheduling_policy::round_robin) {
    const int last = static_cast<int>(memory[0]);
    const auto next = std::ranges::find_if(chosen, [&](int n) { return n > last; });
    if (next != chosen.end()) std::rotate(chosen.begin(), next, chosen.end());
    memory[0] = static_cast<float>(chosen[count - 1]);
  } else if (how.policy != scheduling_policy::all) {
    const auto average = [&](int n) -> float& { return memory[static_cast<std::size_t>(n)]; };
    const auto merit = [&](int n) {
      const double rate = how.rate(seed, round, n);
      // A worker that never took part has no average yet and comes first.
      return how.policy == scheduling_policy::best_channel
                 ? rate
                 : rate / std::max(1e-6, static_cast<double>(average(n)));
    };
    std::ranges::stable_sort(chosen, [&](int a, int b) { return merit(a) > merit(b); });
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const double got = i < count ? how.rate(seed, round, chosen[i]) : 0.0;
      float& a = average(chosen[i]);
      a = static_cast<float>((1 - 1 / how.window) * static_cast<double>(a) + got / how.window);
    }
  }
  chosen.resize(count);
  std::ranges::sort(chosen);
  return chosen;
}

}  // namespace gantry::dist
