// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/labels/policy.hpp"
#include "gantry/kernels/labels/tile.cuh"

namespace gantry::inline v0::kernels {

template <class Selector, class Body>
__global__ void __launch_bounds__(Selector{}().threads)
    labels_kernel(const __grid_constant__ Body body) {
  stream_tile<Selector{}().width>{}(body);
}

template <class Selector, class Body>
__global__ void __launch_bounds__(Selector{}().threads)
    label_rows_kernel(const __grid_constant__ Body body) {
  using tile = row_tile<Selector{}().threads, Selector{}().row_threads>;
  __shared__ typename tile::template storage<Body::sums> shared;
  tile{}(body, shared);
}

template <class Selector, class Body>
__global__ void __launch_bounds__(Selector{}().threads)
    label_table_kernel(const __grid_constant__ Body body) {
  using tile = label_table_tile<Selector{}().threads, Selector{}().channels, Body::sums>;
  __shared__ typename tile::shared_storage shared;
  tile{}(body, shared);
}

template <class Selector, int Classes, int First>
__global__ void __launch_bounds__(Selector{}().threads)
    cross_entropy_kernel(const __grid_constant__ cross_entropy_args<Classes, First> args) {
  using tile = cross_entropy_tile<Selector{}().threads>;
  __shared__ typename tile::shared_storage shared;
  tile{}(args, shared);
}

template <class Selector, class OnA, class OnB, int Classes>
__global__ void __launch_bounds__(Selector{}().threads)
    classified_loss_kernel(const __grid_constant__ classified_args<OnA, OnB, Classes> args) {
  using tile = loss_tile<Selector{}().threads>;
  __shared__ typename tile::shared_storage shared;
  tile{}(args, shared);
}

}  // namespace gantry::kernels
