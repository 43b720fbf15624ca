// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/common/policy.hpp"

namespace gantry::inline v0::kernels {

/// Similarities: a result per thread.
struct similarity_policy_selector {
  constexpr stream_policy operator()() const { return {256, 1, 8}; }
};

/// Deviations: a row is a group of samples, its terms are the numbers of one of them.
template <int Terms>
using deviation_rows_policy_selector = row_policy_selector<Terms>;

}  // namespace gantry::kernels
