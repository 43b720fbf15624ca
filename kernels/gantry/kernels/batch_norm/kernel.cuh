// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/batch_norm/second_order.cuh"
#include "gantry/kernels/batch_norm/tile.cuh"

namespace gantry::inline v0::kernels {

template <class Selector, class Body>
__global__ void __launch_bounds__(Selector{}().threads)
    channel_sums_kernel(const __grid_constant__ channel_args<Body> args) {
  using tile = channel_tile<Selector{}().threads, Selector{}().channels, Body::sums>;
  __shared__ typename tile::shared_storage shared;
  tile{}(args, shared);
}

template <class Selector, bool Aligned, class Body>
__global__ void __launch_bounds__(Selector{}(Aligned).threads)
    batch_norm_kernel(const __grid_constant__ Body body) {
  stream_tile<Selector{}(Aligned).width>{}(body);
}

}  // namespace gantry::kernels
