// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// How kernels are started (<<<>>> itself is in recorder.cuh, nowhere else). Where the compiler is
// no CUDA compiler, <cuda_runtime.h> is the emulator's (tests/simt) and brings launch() and
// dynamic_shared().
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <cuda_runtime.h>

#include "gantry/base/math.hpp"
#include "gantry/kernels/common/check.cuh"
#include "gantry/kernels/common/policy.hpp"
#include "gantry/kernels/common/recorder.cuh"
#include "gantry/ops/operation.hpp"

namespace gantry::inline v0::kernels {

/// Activations are fp32, [n][h][w][c].
using device_storage = storage<float, nhwc>;
template <class Op>
using params_of = typename Op::template params<device_storage>;

/// What a launch needs beside its op. Launches on one stream may share the scratch: each leaves the
/// tickets at 0, as it must find them.
struct context {
  cudaStream_t stream{};
  int multiprocessors{132};
  float* partials{};  ///< sums of blocks
  std::size_t partial_count{};
  unsigned* tickets{};  ///< how many blocks have finished
  std::size_t ticket_count{};
  std::size_t* launches{};      ///< counts kernels, unless null
  launch_recorder* recorder{};  ///< takes launches while it is active; may be null
};

/// A context whose products are computed in one way.
template <gemm_math Math>
struct math_context : context {};

/// Starts a kernel with its one argument. @throws device_error
template <class Params>
void start(const context& c, void (*kernel)(Params), const launch_size& size,
           const std::type_identity_t<Params>& params) {
  constexpr std::size_t needs_no_permission = 48 << 10;
  if (size.shared_bytes > needs_no_permission)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(size.shared_bytes)),
          "cudaFuncSetAttribute");
  if (c.recorder && c.recorder->active())
    c.recorder->kernel(kernel, size, params);
  else
    start_now(kernel, size, params, c.stream);
  if (c.launches) ++*c.launches;
}

/// The block's dynamic shared memory as a T.
template <class T>
__device__ T& dynamic_shared() {
#if defined(__CUDACC__)
  extern __shared__ __align__(16) unsigned char bytes[];
  return *reinterpret_cast<T*>(bytes);
#else
  return *simt::dynamic_shared<T>();
#endif
}

}  // namespace gantry::kernels
