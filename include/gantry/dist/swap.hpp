// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "gantry/base/rng.hpp"

namespace gantry::inline v0::dist {

/// Who gets whose discriminator.
enum class swap_rule {
  derangement,  ///< a random permutation in which nobody keeps its own
  pairs,        ///< random disjoint pairs; with an odd number one worker keeps its own
  ring,         ///< each worker passes to the next
};

/// How often discriminators are swapped: never, every so many iterations, or every so many passes
/// over a worker's shard.
struct swap_interval {
  enum class unit { never, iterations, epochs } measure{unit::epochs};
  double amount{1};

  /// Iterations between swaps for shards of m samples and batches of b: m E / b (arXiv 1811.03850,
  /// Alg. 1), at least 1; 0 = never.
  [[nodiscard]] std::uint32_t iterations(std::int64_t shard, int batch) const {
    if (measure == unit::never || amount <= 0) return 0;
    const double every =
        measure == unit::iterations ? amount : amount * static_cast<double>(shard) / batch;
    return static_cast<std::uint32_t>(std::clamp(std::round(every), 1.0, 4e9));
  }
};
constexpr swap_interval epochs(double amount) { return {swap_interval::unit::epochs, amount}; }
constexpr swap_interval iterations(double amount) {
  return {swap_interval::unit::iterations, amount};
}
inline constexpr swap_interval never{swap_interval::unit::never, 0};

/// target[i] = the position that receives the discriminator of position i, among n live workers. A
/// pure function of the stream; the identity for n < 2.
inline std::vector<std::uint32_t> swap_targets(swap_rule rule, std::uint32_t n, stream_id id) {
  std::vector<std::uint32_t> target(n);
  std::iota(target.begin(), target.end(), 0u);
  if (n < 2) return target;
  if (rule == swap_rule::ring) {
    std::rotate(target.begin(), target.begin() + 1, target.end());
  } else if (rule == swap_rule::pairs) {
    const std::vector<std::uint32_t> order = random_permutation(n, id);
    for (std::uint32_t i = 0; i + 1 < n; i += 2) {
      target[order[i]] = order[i + 1];
      target[order[i + 1]] = order[i];
    }
  } else {
    // Rejection keeps all derangements equally likely; about one draw in e succeeds.
    const auto has_fixed_point = [&] {
      for (std::uint32_t i = 0; i < n; ++i)
        if (target[i] == i) return true;
      return false;
    };
    while (has_fixed_point()) {
      target = random_permutation(n, id);
      ++id.salt;
    }
  }
  return target;
}

}  // namespace gantry::dist
