// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What runs with a batch norm beside a product need of it.
#pragma once

#include <cstddef>

#include "gantry/ops/norm.hpp"

#include "support/op_runs.hpp"

namespace gantry::test {

/// Samples that an op sees; `batch` says whose statistics they have.
struct samples {
  int first, count, batch;
  bool pair;
};

/// The arrays of a batch norm, of one batch or of a pair.
template <Backend B, hwc Norm>
struct norm_arrays {
  device_array<B> gamma, beta, mean, variance, saved, inverse;
  norm_arrays(B& b, bool paired)
      : gamma(runs::numbers(b, Norm.c, 14)),
        beta(runs::numbers(b, Norm.c, 15)),
        mean(runs::numbers(b, Norm.c, 16)),
        variance(runs::numbers(b, Norm.c, 17)),
        saved(b, static_cast<std::size_t>((paired ? 2 : 1) * Norm.c)),
        inverse(b, static_cast<std::size_t>((paired ? 2 : 1) * Norm.c)) {}

  auto params(const auto& x, const auto& y, const samples& s) const {
    const int c = s.batch * Norm.c;
    return typename ops::batch_norm_forward<Norm>::template params<typename B::storage>{
        runs::part(x, s.first, s.count),
        gamma.data(),
        beta.data(),
        mean.data(),
        variance.data(),
        saved.data() + c,
        inverse.data() + c,
        runs::part(y, s.first, s.count),
        0.1f,
        1e-5f,
        s.pair};
  }
};

/// The same for its gradient.
template <Backend B, hwc Norm>
struct norm_gradient_arrays {
  device_array<B> gamma, mean, inverse, dgamma, dbeta;
  norm_gradient_arrays(B& b, bool paired)
      : gamma(runs::numbers(b, Norm.c, 15)),
        mean(runs::numbers(b, (paired ? 2 : 1) * Norm.c, 16)),
        inverse(b, runs::positive_floats((paired ? 2 : 1) * Norm.c, 17)),
        dgamma(runs::numbers(b, Norm.c, 18)),
        dbeta(runs::numbers(b, Norm.c, 19)) {}

  auto params(const auto& x, const auto& dy, const auto& dx, const samples& s) const {
    const int c = s.batch * Norm.c;
    return typename ops::batch_norm_backward<Norm>::template params<typename B::storage>{
        runs::part(x, s.first, s.count),
        runs::part(dy, s.first, s.count),
        gamma.data(),
        mean.data() + c,
        inverse.data() + c,
        runs::part(dx, s.first, s.count),
        dgamma.data(),
        dbeta.data(),
        false,
        s.pair};
  }
};

}  // namespace gantry::test
