// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/attention/policy.hpp"
#include "gantry/kernels/attention/scaled_copy.cuh"
#include "gantry/kernels/attention/tile.cuh"

namespace gantry::inline v0::kernels {

template <class Selector, class Body>
__global__ void __launch_bounds__(Selector{}().threads)
    attention_kernel(const __grid_constant__ Body body) {
  using tile = attention_tile<Selector{}().threads>;
  tile{}(body, dynamic_shared<typename tile::template shared_storage<Body>>());
}

template <class Selector, bool Aligned>
__global__ void __launch_bounds__(Selector{}(Aligned).threads)
    scaled_copy_kernel(const __grid_constant__ scaled_copy_body body) {
  stream_tile<Selector{}(Aligned).width>{}(body);
}

template <class Selector>
__global__ void __launch_bounds__(Selector{}().threads)
    scaled_gradient_kernel(const __grid_constant__ scaled_gradient_args args) {
  using tile = scaled_gradient_tile<Selector{}().threads>;
  __shared__ typename tile::shared_storage shared;
  tile{}(args, shared);
}

}  // namespace gantry::kernels
