// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/common/policy.hpp"

namespace gantry::inline v0::kernels {

/// A number per thread: neighbours have neighbouring channels of a pixel.
struct augment_policy_selector {
  constexpr stream_policy operator()() const { return {256, 1, 8}; }
};

/// Colours: a row is a sample, its terms are numbers, its results pixels.
template <int Terms>
using augment_rows_policy_selector = row_policy_selector<Terms>;

}  // namespace gantry::kernels
