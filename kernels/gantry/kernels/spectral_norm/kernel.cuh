// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/spectral_norm/policy.hpp"
#include "gantry/kernels/spectral_norm/tile.cuh"

namespace gantry::inline v0::kernels {

/// Tile: one of those of tile.cuh, Args: what it takes.
template <class Selector, template <int> class Tile, class Args>
__global__ void __launch_bounds__(Selector{}().threads)
    spectral_kernel(const __grid_constant__ Args args) {
  using tile = Tile<Selector{}().threads>;
  __shared__ typename tile::shared_storage shared;
  tile{}(args, shared);
}

template <class Selector>
__global__ void __launch_bounds__(Selector{}().threads)
    spectral_gradient_kernel(const __grid_constant__ spectral_gradient_body body) {
  stream_tile<1>{}(body);
}

}  // namespace gantry::kernels
