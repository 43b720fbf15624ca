// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/group_norm/policy.hpp"
#include "gantry/kernels/group_norm/tile.cuh"

namespace gantry::inline v0::kernels {

template <class Selector, class Body>
__global__ void __launch_bounds__(Selector{}().threads)
    group_norm_kernel(const __grid_constant__ Body body) {
  using tile = row_tile<Selector{}().threads, Selector{}().row_threads>;
  __shared__ typename tile::template storage<Body::sums> shared;
  tile{}(body, shared);
}

template <class Selector, class Body>
__global__ void __launch_bounds__(Selector{}().threads)
    group_parameters_kernel(const __grid_constant__ channel_args<Body> args) {
  using tile = channel_tile<Selector{}().threads, Selector{}().channels, Body::sums>;
  __shared__ typename tile::shared_storage shared;
  tile{}(args, shared);
}

}  // namespace gantry::kernels
