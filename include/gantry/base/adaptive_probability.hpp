// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

namespace gantry::inline v0 {

/// How often images are changed in front of a discriminator, steered by how sure it is of real ones
/// (Karras et al., arXiv 2006.06676, section 3.1): r_t = E sign D(real) above the target means that
/// it overfits, and raises the probability, below lowers it, always by the same step.
struct adaptive_probability {
  float target{0.6f};
  std::int64_t images{500000};  ///< that it takes from 0 to 1 at least
  float value{0.0f};            ///< in 0 .. 1
  int every{4};                 ///< learning steps of the discriminator from change to change

  /// After `seen` more real images, whose mean sign of D is `sign`. NaN changes nothing.
  [[nodiscard]] constexpr adaptive_probability updated(double sign, std::int64_t seen) const {
    const double direction = sign > static_cast<double>(target)   ? 1
                             : sign < static_cast<double>(target) ? -1
                                                                  : 0;
    const double step = static_cast<double>(seen) / static_cast<double>(images);
    adaptive_probability next = *this;
    next.value =
        static_cast<float>(std::clamp(static_cast<double>(value) + direction * step, 0.0, 1.0));
    return next;
  }
};

/// E sign D(x) over a batch of logits; 0 has no sign, NaN anywhere gives NaN.
template <class T>
[[nodiscard]] constexpr double mean_sign(std::span<const T> logits) {
  double sum = 0;
  for (const T v : logits) sum += v > T(0) ? 1.0 : v < T(0) ? -1.0 : static_cast<double>(v);
  return logits.empty() ? 0.0 : sum / static_cast<double>(logits.size());
}

}  // namespace gantry
