// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/learned_basis/policy.hpp"
#include "gantry/kernels/learned_basis/tile.cuh"

namespace gantry::inline v0::kernels {

template <class Selector, class Body>
__global__ void __launch_bounds__(Selector{}().threads)
    learned_basis_kernel(const __grid_constant__ Body body) {
  stream_tile<Selector{}().width>{}(body);
}

}  // namespace gantry::kernels
