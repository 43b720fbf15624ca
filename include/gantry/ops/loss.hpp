// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "gantry/ops/operation.hpp"

namespace gantry::inline v0::ops {

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

/// Two terms of an adversarial loss at once, each a mean over its outputs: *sum += mean_i f(a_i) +
/// mean_j g(b_j), with the derivatives.
template <class OnA, class OnB>
struct two_loss_terms {
  static constexpr std::string_view name = "two_loss_terms";
  template <class S>
  struct params {
    const typename S::scalar* a;
    const typename S::scalar* b;
    typename S::scalar* gradient_a;
    typename S::scalar* gradient_b;
    std::size_t count_a;
    std::size_t count_b;
    typename S::scalar* sum;
    OnA f;
    OnB g;
  };
};

/// Pairs of outputs: *sum += scale sum_i f(a_i - b_i) with its derivatives; either gradient may be
/// null.
template <class Function>
struct paired_term {
  static constexpr std::string_view name = "paired_term";
  template <class S>
  struct params {
    const typename S::scalar* a;
    const typename S::scalar* b;
    typename S::scalar* gradient_a;
    typename S::scalar* gradient_b;
    std::size_t count;
    float scale;
    typename S::scalar* sum;
    Function f;
  };
};

/// Outputs against the mean of the others: *sum += mean_i f(a_i - mean b) + mean_j g(b_j - mean a)
/// with its derivatives; either gradient may be null.
template <class OnA, class OnB>
struct relativistic_average_terms {
  static constexpr std::string_view name = "relativistic_average_terms";
  template <class S>
  struct params {
    const typename S::scalar* a;
    const typename S::scalar* b;
    typename S::scalar* gradient_a;
    typename S::scalar* gradient_b;
    std::size_t count;
    typename S::scalar* sum;
    OnA f;
    OnB g;
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
