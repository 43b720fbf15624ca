// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Activations (ops/pointwise.hpp) on the device: by their own members where those are constexpr
// (nvcc calls them with --expt-relaxed-constexpr), else by an overload here.
#pragma once

#include <cuda_runtime.h>

#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0::kernels {

/// f(x) = x, for epilogues without an activation.
struct identity {
  [[nodiscard]] constexpr float value(float x) const { return x; }
};

template <class Function>
__device__ float value(const Function& f, float x) {
  return f.value(x);
}
__device__ inline float value(const function::tanh&, float x) { return tanhf(x); }
__device__ inline float value(const function::sigmoid&, float x) {
  return 1.0f / (1.0f + expf(-x));  // 1 / inf is the 0 that it should be
}

/// f' at f(x) = y.
template <class Function>
__device__ float derivative(const Function& f, float y) {
  return f.derivative(y);
}

}  // namespace gantry::kernels
