// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/common/policy.hpp"

namespace gantry::inline v0::kernels {

/// A result per thread: a group is too narrow for the tiles of a product of matrices.
struct grouped_policy_selector {
  constexpr stream_policy operator()() const { return {256, 1, 8}; }
};

/// Gradients of weights: a row is a weight, its terms are the pixels of one sample's result.
template <int Terms>
using grouped_weights_policy_selector = row_policy_selector<Terms>;

}  // namespace gantry::kernels
