// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/optimizer/policy.hpp"
#include "gantry/kernels/optimizer/tile.cuh"

namespace gantry::inline v0::kernels {

template <class Selector, bool Aligned, class Body>
__global__ void __launch_bounds__(Selector{}(Aligned).threads)
    optimizer_step_kernel(const __grid_constant__ Body body) {
  if constexpr (requires { body.buffers; }) body.buffers.move();
  stream_tile<Selector{}(Aligned).width>{}(body);
}

}  // namespace gantry::kernels
