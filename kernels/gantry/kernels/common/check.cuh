// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include "gantry/base/error.hpp"

namespace gantry::inline v0::kernels {

/// @throws device_error that names the call
inline void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // the next call is not to be blamed
  throw device_error(call, cudaGetErrorName(status), cudaGetErrorString(status));
}

}  // namespace gantry::kernels
