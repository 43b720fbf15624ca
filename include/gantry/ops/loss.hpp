// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "gantry/ops/operation.hpp"

namespace gantry::ops {

/// One term of an adversarial loss: *sum += scale * sum_i f(x_i), gradient_i = scale * f'(x_i).
/// Function has value(x) and derivative(x).
template <class Function>
struct loss_term {
  static constexpr std::string_view name = "loss_term";
  template <class S>
  struct params {
    const typename S::scalar* logits;
    typename S::scalar* gradient;
    std::size_t count;
    float scale;
    typename S::scalar* sum;
    Function f;
  };
};

/// Mean cross-entropy of softmax(logits) against labels, its gradient, and the number of samples
/// whose largest logit is the label's; both sums are added to.
template <int Classes>
struct softmax_cross_entropy {
  static constexpr std::string_view name = "softmax_cross_entropy";
  template <class S>
  struct params {
    const_batch_of<S> logits;
    const std::uint8_t* labels;
    batch_of<S> gradient;
    typename S::scalar* loss;
    typename S::scalar* correct;
  };
};

}  // namespace gantry::ops
