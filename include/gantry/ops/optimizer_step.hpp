// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// One update of a whole flat arena; every array has the arena's length.
#pragma once

#include <cstddef>
#include <string_view>

#include "gantry/ops/operation.hpp"

namespace gantry::inline v0::ops {

/// Kingma and Ba, arXiv 1412.6980, Alg. 1, in PyTorch's form:
/// w -= rate / correction1 * m / (sqrt(v / correction2) + epsilon). If `average` is not null, then
/// also average = average_decay average + (1 - average_decay) w, in the same pass.
struct adam_step {
  static constexpr std::string_view name = "adam_step";
  template <class S>
  struct params {
    typename S::scalar* weight;
    const typename S::scalar* gradient;
    typename S::scalar* first_moment;
    typename S::scalar* second_moment;
    std::size_t count;
    float rate, beta1, beta2, epsilon;
    double correction1, correction2;  ///< 1 - beta^t
    typename S::scalar* average{};
    float average_decay{};
  };
};

/// v = momentum v + g; w -= rate v (v = g at the first step, as PyTorch). Without momentum the
/// velocity may be null.
struct sgd_step {
  static constexpr std::string_view name = "sgd_step";
  template <class S>
  struct params {
    typename S::scalar* weight;
    const typename S::scalar* gradient;
    typename S::scalar* velocity;
    std::size_t count;
    float rate, momentum;
  };
};

/// s = decay s + (1 - decay) g^2; w -= rate g / (sqrt(s) + epsilon) (Tieleman and Hinton 2012,
/// PyTorch's form).
struct rmsprop_step {
  static constexpr std::string_view name = "rmsprop_step";
  template <class S>
  struct params {
    typename S::scalar* weight;
    const typename S::scalar* gradient;
    typename S::scalar* square_average;
    std::size_t count;
    float rate, decay, epsilon;
  };
};

/// average = decay average + (1 - decay) value.
struct ema_step {
  static constexpr std::string_view name = "ema_step";
  template <class S>
  struct params {
    const typename S::scalar* value;
    typename S::scalar* average;
    std::size_t count;
    float decay;
  };
};

}  // namespace gantry::ops
