// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/grouped_conv2d/policy.hpp"
#include "gantry/kernels/grouped_conv2d/tile.cuh"

namespace gantry::inline v0::kernels {

template <class Selector, class Body>
__global__ void __launch_bounds__(Selector{}().threads)
    grouped_conv2d_kernel(const __grid_constant__ Body body) {
  stream_tile<Selector{}().width>{}(body);
}

template <class Selector, class Body>
__global__ void __launch_bounds__(Selector{}().threads)
    grouped_weights_kernel(const __grid_constant__ Body body) {
  using tile = row_tile<Selector{}().threads, Selector{}().row_threads>;
  __shared__ typename tile::template storage<Body::sums> shared;
  tile{}(body, shared);
}

}  // namespace gantry::kernels
