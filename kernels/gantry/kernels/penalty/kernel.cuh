// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/penalty/policy.hpp"
#include "gantry/kernels/penalty/tile.cuh"

namespace gantry::inline v0::kernels {

template <class Selector, class Function>
__global__ void __launch_bounds__(Selector{}().threads)
    gradient_penalty_kernel(const __grid_constant__ penalty_args<Function> args) {
  using tile = penalty_tile<Selector{}().threads>;
  __shared__ typename tile::shared_storage shared;
  tile{}(args, shared);
}

template <class Selector>
__global__ void __launch_bounds__(Selector{}().threads)
    deviation_kernel(const __grid_constant__ deviation_args args) {
  using tile = deviation_tile<Selector{}().threads>;
  __shared__ typename tile::shared_storage shared;
  tile{}(args, shared);
}

template <class Selector, bool Aligned, class Body>
__global__ void __launch_bounds__(Selector{}(Aligned).threads)
    points_kernel(const __grid_constant__ Body body) {
  stream_tile<Selector{}(Aligned).width>{}(body);
}

}  // namespace gantry::kernels
