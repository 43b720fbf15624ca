// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A preset for --device cuda, in the arithmetics that --precision names, and with the libraries'
// kernels, too, where the build has them.
#pragma once

#if defined(GANTRY_WITH_LIBRARIES)
#include "gantry/backend/cuda/vendor.cuh"
#else
#include "gantry/backend/cuda/any.cuh"
#endif
#include "gantry/models/augmented.hpp"

#include "preset_program.hpp"

template <gantry::kernels::gemm_math... Math>
struct on_cuda {
  /// On the rank's device, with a stream of its own: ranks of a machine take turns on its devices.
#if defined(GANTRY_WITH_LIBRARIES)
  using backend = gantry::backend::vendor_cuda<Math...>;
  static backend make(const program_options& o, int rank) {
    using enum gantry::backend::device_kernels;
    return backend(o.kernels == "vendor" ? vendor : own, o.precision, options(o, rank));
  }
#else
  using backend = gantry::backend::any_cuda<Math...>;
  static backend make(const program_options& o, int rank) {
    return backend(o.precision, options(o, rank));
  }
#endif
  static gantry::train::backend_maker<backend> maker(const program_options& o) {
    return [&o](int rank) { return make(o, rank); };
  }

 private:
  static gantry::backend::cuda_options options(const program_options& o, int rank) {
    return {.device = gantry::backend::device_of(o.local_rank.value_or(rank))};
  }
};
