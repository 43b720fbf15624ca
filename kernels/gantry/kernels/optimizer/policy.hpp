// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/common/policy.hpp"

namespace gantry::inline v0::kernels {

/// Adam with an average holds five packs and their results: 128 registers a thread are enough, and
/// four blocks a multiprocessor keep more bytes in flight than memory can deliver.
struct optimizer_policy_selector {
  constexpr stream_policy operator()(bool aligned) const { return {256, aligned ? 4 : 1, 4}; }
};

}  // namespace gantry::kernels
