// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A preset for --device cuda, in the arithmetics that --precision names.
#pragma once

#include "gantry/backend/cuda/any.cuh"
#include "gantry/models/augmented.hpp"

#include "preset_program.hpp"

template <gantry::kernels::gemm_math... Math>
struct on_cuda {
  using backend = gantry::backend::any_cuda<Math...>;
  /// On the rank's device, with a stream of its own: ranks of a machine take turns on its devices.
  static backend make(const program_options& o, int rank) {
    return backend(o.precision,
                   {.device = gantry::backend::device_of(o.local_rank.value_or(rank))});
  }
  static gantry::train::backend_maker<backend> maker(const program_options& o) {
    return [&o](int rank) { return make(o, rank); };
  }
};
