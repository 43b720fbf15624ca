// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/common/policy.hpp"

namespace gantry::inline v0::kernels {

/// A result per thread: neighbours have neighbouring channels.
struct learned_basis_policy_selector {
  constexpr stream_policy operator()() const { return {256, 1, 8}; }
};

}  // namespace gantry::kernels
