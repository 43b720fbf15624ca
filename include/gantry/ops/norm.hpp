// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "gantry/ops/operation.hpp"

namespace gantry::inline v0::ops {

/// Batch normalisation with the batch's own statistics (Ioffe and Szegedy, arXiv 1502.03167, Alg.
/// 1): y = gamma (x - mean) / sqrt(var + epsilon) + beta per channel, var biased. Stores mean and
/// 1 / sqrt(var + epsilon) for the backward and moves the running statistics by `momentum`
/// (running variance unbiased, as PyTorch). On backends with `takes_pairs`, x may be `paired`: two
/// batches of one size, whose statistics are taken, saved ([2][channels]) and moved to the running
/// ones one after the other.
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
    bool paired{};
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
/// and dbeta are accumulated and may be null together; dx may be null or alias dy. dx is also the
/// tangent along dy: the derivative of a channel by its inputs is a symmetric matrix.
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
    bool paired{};  ///< see batch_norm_forward
  };
};

/// Derivatives of F = <gy, ty> + <ey, y>, ty the tangent along tx. With r = 1 / sqrt(var +
/// epsilon), u = (x - mean) r, g = gamma gy, e = gamma ey, mean(.) over the batch and the pixels of
/// a channel, a = mean(tx), b = mean(u tx), c = mean(u g):
///   ex = r (e - mean(e) - u mean(u e))
///        - r^2 (c (tx - a) + b (g - mean(g)) + u (mean(g tx) - a mean(g) - 3 b c))
///   dgamma += gy r (tx - a - u b) + ey u    dbeta += ey
/// with every mean 0 where the statistics are fixed. ey may be null (zero), so may ex (not wanted),
/// and dgamma and dbeta together.
template <hwc Shape>
struct batch_norm_second_order {
  static constexpr std::string_view name = "batch_norm_second_order";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const_batch_of<S> tx;
    const_batch_of<S> gy;
    const_batch_of<S> ey;
    const typename S::scalar* gamma;
    const typename S::scalar* saved_mean;
    const typename S::scalar* saved_inverse_deviation;
    batch_of<S> ex;
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
