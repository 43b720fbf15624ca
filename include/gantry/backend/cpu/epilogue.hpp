// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Activations over stretches of memory: as ops of their own (pointwise.hpp), and as what a product
// or a norm does with results that are still in the cache.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include <Eigen/Core>

#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0::backend::detail {

/// Numbers that a loop keeps aside, in the first-level cache.
inline constexpr std::size_t activation_stretch = 512;

/// y = f(x); y may be x.
template <class Function>
void activate(const Function& f, const float* x, float* y, std::size_t count) {
  const Function own = f;  // no store can reach it, so the loop is vectorised
  for (std::size_t i = 0; i < count; ++i) y[i] = own.value(x[i]);
}

/// Eigen's tanh is vectorised, the standard library's is not.
inline void activate(const function::tanh&, const float* x, float* y, std::size_t count) {
  const auto n = static_cast<std::ptrdiff_t>(count);
  Eigen::Map<Eigen::ArrayXf>(y, n) = Eigen::Map<const Eigen::ArrayXf>(x, n).tanh();
}

/// The products first, then the choice: a product inside of a choice would be a branch, which
/// compilers do not vectorise.
inline void activate(const function::leaky_relu& f, const float* x, float* y, std::size_t count) {
  std::array<float, activation_stretch> scaled;
  const float slope = f.slope;
  for (std::size_t i = 0; i < count; i += activation_stretch) {
    const std::size_t n = std::min(activation_stretch, count - i);
    for (std::size_t j = 0; j < n; ++j) scaled[j] = slope * x[i + j];
    for (std::size_t j = 0; j < n; ++j) y[i + j] = x[i + j] > 0 ? x[i + j] : scaled[j];
  }
}

/// dx = dy f'(x), f' taken from y = f(x); dx may be dy. The slopes first, then the products, for
/// the same reason.
template <class Function>
void gate(const Function& f, const float* y, const float* dy, float* dx, std::size_t count) {
  std::array<float, activation_stretch> slope;
  const Function own = f;
  for (std::size_t i = 0; i < count; i += activation_stretch) {
    const std::size_t n = std::min(activation_stretch, count - i);
    for (std::size_t j = 0; j < n; ++j) slope[j] = own.derivative(y[i + j]);
    for (std::size_t j = 0; j < n; ++j) dx[i + j] = dy[i + j] * slope[j];
  }
}

/// What is done to each stretch of finished results. Not a template, so that a product is compiled
/// once for all activations; a call is for thousands of numbers.
struct epilogue {
  void (*change)(const epilogue& e, float* y, std::size_t at, std::size_t count){};
  const void* function{};
  const float* output{};  ///< of the activation before an input gradient

  /// `y` are `count` results, of which the first is number `at` of the batch.
  void operator()(float* y, std::size_t at, std::size_t count) const {
    if (change) change(*this, y, at, count);
  }
};

template <class Function>
epilogue activating(const Function& f) {
  return {[](const epilogue& e, float* y, std::size_t, std::size_t count) {
            activate(*static_cast<const Function*>(e.function), y, y, count);
          },
          &f, nullptr};
}
template <class Function>
epilogue gating(const Function& f, const float* output) {
  return {[](const epilogue& e, float* y, std::size_t at, std::size_t count) {
            gate(*static_cast<const Function*>(e.function), e.output + at, y, y, count);
          },
          &f, output};
}
/// Of the parameters of ops::activated or ops::gated, which must outlive it.
template <class Params>
epilogue epilogue_of(const Params& p) {
  if constexpr (requires { p.y; })
    return gating(p.f, p.y);
  else
    return activating(p.f);
}

/// What a product of a layer reads and writes.
struct layer_product {
  const float* x;
  int n;
  const float* weight;
  const float* bias;  ///< per channel of y; may be null
  float* y;
  epilogue end{};  ///< for finished stretches of y
};

}  // namespace gantry::backend::detail
