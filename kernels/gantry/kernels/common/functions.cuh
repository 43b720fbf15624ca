// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Activations (ops/pointwise.hpp) on the device: by their own members where those are constexpr
// (nvcc calls them with --expt-relaxed-constexpr), else by an overload here.
#pragma once

#include <cstddef>
#include <type_traits>

#include <cuda_runtime.h>

#include "gantry/kernels/common/pack.cuh"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0::kernels {

/// An activation that is chosen at launch, so that one kernel serves them all.
enum class activation_kind { none, relu, leaky_relu, tanh, sigmoid };
struct any_activation {
  activation_kind kind{};
  float slope{};
};

/// none where only the function's own kernel knows it.
template <class Function>
constexpr any_activation chosen(const Function& f) {
  using enum activation_kind;
  if constexpr (std::is_same_v<Function, function::relu>)
    return {relu, 0};
  else if constexpr (std::is_same_v<Function, function::leaky_relu>)
    return {leaky_relu, f.slope};
  else if constexpr (std::is_same_v<Function, function::tanh>)
    return {tanh, 0};
  else if constexpr (std::is_same_v<Function, function::sigmoid>)
    return {sigmoid, 0};
  else
    return {};
}

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

__device__ inline float value(const any_activation& f, float x) {
  switch (f.kind) {
    case activation_kind::relu:
      return function::relu{}.value(x);
    case activation_kind::leaky_relu:
      return function::leaky_relu{f.slope}.value(x);
    case activation_kind::tanh:
      return value(function::tanh{}, x);
    case activation_kind::sigmoid:
      return value(function::sigmoid{}, x);
    default:
      return x;
  }
}
__device__ inline float derivative(const any_activation& f, float y) {
  switch (f.kind) {
    case activation_kind::relu:
      return function::relu{}.derivative(y);
    case activation_kind::leaky_relu:
      return function::leaky_relu{f.slope}.derivative(y);
    case activation_kind::tanh:
      return function::tanh{}.derivative(y);
    case activation_kind::sigmoid:
      return function::sigmoid{}.derivative(y);
    default:
      return 1.0f;
  }
}

/// Whether f is made of straight lines, so that it costs a load little.
constexpr bool is_of_lines(const any_activation& f) {
  using enum activation_kind;
  return f.kind == none || f.kind == relu || f.kind == leaky_relu;
}
/// The same numbers as value(f, x), if is_of_lines(f).
__device__ inline float value_of_lines(const any_activation& f, float x) {
  if (f.kind == activation_kind::none) return x;
  return f.kind == activation_kind::relu ? function::relu{}.value(x)
                                         : function::leaky_relu{f.slope}.value(x);
}

/// What happens to results on their way to memory: f, or with a gate their product with f' at its
/// numbers.
struct activation_behind {
  any_activation f{};
  const float* gate{};

  /// Of results whose first has number i among all.
  template <int Width>
  __device__ pack<Width> finish(std::size_t i, const pack<Width>& v) const {
    if (!gate) return generate<Width>([&](int j) { return value(f, v.v[j]); });
    const auto y = load<Width>(gate + i);
    return generate<Width>([&](int j) { return v.v[j] * derivative(f, y.v[j]); });
  }
};

}  // namespace gantry::kernels
