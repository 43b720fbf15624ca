// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/common/policy.hpp"

namespace gantry::inline v0::kernels {

/// A row is a pixel: its channels lie side by side.
template <int Channels>
using pixel_norm_policy_selector = row_policy_selector<Channels>;

}  // namespace gantry::kernels
