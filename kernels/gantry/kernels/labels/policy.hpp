// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "gantry/kernels/common/policy.hpp"

namespace gantry::inline v0::kernels {

/// Labels lie in host memory and travel in the kernel's argument, which the driver copies at the
/// launch: nothing has to be kept alive or waited for, and a graph gets new ones as it gets any
/// changed argument. A batch with more samples takes several launches, in order.
struct label_list {
  static constexpr int most = 1024;
  std::uint8_t v[most];
};

/// A number per thread: neighbours have neighbouring channels.
struct labels_policy_selector {
  constexpr stream_policy operator()() const { return {256, 1, 8}; }
};

/// A block per class and group of channels.
template <int Channels>
using label_table_policy_selector = channel_policy_selector<Channels>;

/// One block over all samples, a thread for each.
struct cross_entropy_policy_selector {
  constexpr row_policy operator()() const { return {256, 256}; }
};

}  // namespace gantry::kernels
