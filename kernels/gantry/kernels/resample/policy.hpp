// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/common/policy.hpp"

namespace gantry::inline v0::kernels {

/// A number per thread and turn: neighbouring threads have neighbouring channels, so that lines of
/// memory are read whole although addresses jump from pixel to pixel.
struct resample_policy_selector {
  constexpr stream_policy operator()() const { return {256, 1, 8}; }
};

}  // namespace gantry::kernels
