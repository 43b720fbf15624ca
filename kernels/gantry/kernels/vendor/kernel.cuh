// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/vendor/policy.hpp"
#include "gantry/kernels/vendor/tile.cuh"

namespace gantry::inline v0::kernels {

template <class Selector, bool Aligned, class Body>
__global__ void __launch_bounds__(Selector{}(Aligned).threads)
    vendor_kernel(const __grid_constant__ Body body) {
  stream_tile<Selector{}(Aligned).width>{}(body);
}

}  // namespace gantry::kernels
