// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/ops/operation.hpp"

namespace gantry::ops {

/// Batch normalisation with the batch's own statistics (Ioffe and Szegedy, arXiv 1502.03167, Alg.
/// 1): y = gamma (x - mean) / sqrt(var + epsilon) + beta per channel, var biased. Stores mean and
/// 1 / sqrt(var + epsilon) for the backward and moves the running statistics by `momentum`
/// (running variance unbiased, as PyTorch).
template <hwc Shape>
struct batch_norm_forward {
  static constexpr std::string_view name = "batch_norm_forward";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const typename S::scalar* gamma;
    const typename S::scalar* beta;
    typename S::scalar* running_mean;
    typename S::scalar* running_variance;
    typename S::scalar* saved_mean;
    typename S::scalar* saved_inverse_deviation;
    batch_of<S> y;
    float momentum, epsilon;
  };
};

/// Batch normalisation with the running statistics; stores them like the training form does.
template <hwc Shape>
struct batch_norm_inference {
  static constexpr std::string_view name = "batch_norm_inference";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const typename S::scalar* gamma;
    const typename S::scalar* beta;
    const typename S::scalar* running_mean;
    const typename S::scalar* running_variance;
    typename S::scalar* saved_mean;
    typename S::scalar* saved_inverse_deviation;
    batch_of<S> y;
    float epsilon;
  };
};

/// Gradient of batch_norm_forward (`fixed_statistics` false) or batch_norm_inference (true). dgamma
/// and dbeta are accumulated and may be null together; dx may be null or alias dy.
template <hwc Shape>
struct batch_norm_backward {
  static constexpr std::string_view name = "batch_norm_backward";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const_batch_of<S> dy;
    const typename S::scalar* gamma;
    const typename S::scalar* saved_mean;
    const typename S::scalar* saved_inverse_deviation;
    batch_of<S> dx;
    typename S::scalar* dgamma;
    typename S::scalar* dbeta;
    bool fixed_statistics;
  };
};

/// sum[c] += the sum of x over samples and pixels: the gradient of a bias per channel.
template <hwc Shape>
struct channel_sum {
  static constexpr std::string_view name = "channel_sum";
  template <class S>
  struct params {
    const_batch_of<S> x;
    typename S::scalar* sum;
  };
};

/// sum[c] += the sum over samples i and pixels of scale_i x_i.
template <hwc Shape>
struct scaled_channel_sum {
  static constexpr std::string_view name = "scaled_channel_sum";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const typename S::scalar* scale;
    typename S::scalar* sum;
  };
};

}  // namespace gantry::ops
