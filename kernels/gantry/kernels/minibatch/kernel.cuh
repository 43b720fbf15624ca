// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/minibatch/deviation.cuh"
#include "gantry/kernels/minibatch/policy.hpp"
#include "gantry/kernels/minibatch/similarity.cuh"

namespace gantry::inline v0::kernels {

template <class Selector, class Body>
__global__ void __launch_bounds__(Selector{}().threads)
    similarity_kernel(const __grid_constant__ Body body) {
  stream_tile<Selector{}().width>{}(body);
}

template <class Selector, class Body>
__global__ void __launch_bounds__(Selector{}().threads)
    deviation_rows_kernel(const __grid_constant__ Body body) {
  using tile = row_tile<Selector{}().threads, Selector{}().row_threads>;
  __shared__ typename tile::template storage<Body::sums> shared;
  tile{}(body, shared);
}

}  // namespace gantry::kernels
