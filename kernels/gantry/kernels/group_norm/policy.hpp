// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/common/policy.hpp"

namespace gantry::inline v0::kernels {

/// A row is a group of a sample.
template <int Terms>
using group_norm_policy_selector = row_policy_selector<Terms>;

/// Gradients of the parameters: a number per channel.
template <int Channels>
using group_parameters_policy_selector = channel_policy_selector<Channels>;

}  // namespace gantry::kernels
