// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/common/policy.hpp"

namespace gantry::inline v0::kernels {

/// Four pixels of an image are one load of four bytes and one store of sixteen.
using image_batch_policy_selector = stream_policy_selector;

}  // namespace gantry::kernels
