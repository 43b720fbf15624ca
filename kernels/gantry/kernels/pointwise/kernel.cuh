// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/pointwise/policy.hpp"
#include "gantry/kernels/pointwise/tile.cuh"

namespace gantry::inline v0::kernels {

template <class Selector, bool Aligned, class Body>
__global__ void __launch_bounds__(Selector{}(Aligned).threads)
    pointwise_kernel(const __grid_constant__ Body body) {
  stream_tile<Selector{}(Aligned).width>{}(body);
}

template <class Selector, class Function>
__global__ void __launch_bounds__(Selector{}().threads)
    loss_term_kernel(const __grid_constant__ loss_args<Function> args) {
  using tile = loss_tile<Selector{}().threads>;
  __shared__ typename tile::shared_storage shared;
  tile{}(args, shared);
}

template <class Selector, class Function>
__global__ void __launch_bounds__(Selector{}().threads)
    paired_term_kernel(const __grid_constant__ paired_args<Function> args) {
  using tile = loss_tile<Selector{}().threads>;
  __shared__ typename tile::shared_storage shared;
  tile{}(args, shared);
}

template <class Selector, class OnA, class OnB>
__global__ void __launch_bounds__(Selector{}().threads)
    two_loss_terms_kernel(const __grid_constant__ two_terms_args<OnA, OnB> args) {
  using tile = loss_tile<Selector{}().threads>;
  __shared__ typename tile::shared_storage shared;
  tile{}(args, shared);
}

template <class Selector, class OnA, class OnB>
__global__ void __launch_bounds__(Selector{}().threads)
    relativistic_average_kernel(const __grid_constant__ average_args<OnA, OnB> args) {
  using tile = average_tile<Selector{}().threads>;
  __shared__ typename tile::shared_storage shared;
  tile{}(args, shared);
}

}  // namespace gantry::kernels
