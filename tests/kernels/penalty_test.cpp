// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/kernels/batch_norm/launch.cuh"
#include "gantry/kernels/penalty/launch.cuh"
#include "gantry/kernels/pointwise/launch.cuh"
#include "gantry/loss/functions.hpp"

#include "kernels/device.cuh"
#include "support/op_runs_penalty.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

constexpr tolerance few{2e-6, 2e-6}, sums{2e-5, 2e-5};

/// One number, odd extents, packs within a sample, more than a block.
template <class F>
void sweep(F&& f) {
  const auto one = [&]<hwc Shape>() {
    CAPTURE(Shape.size());
    for (const int n : {1, 3, 17}) {
      CAPTURE(n);
      f.template operator()<Shape>(run_options{.n = n, .option = n == 3});
    }
  };
  one.template operator()<hwc{1, 1, 1}>();
  one.template operator()<hwc{3, 5, 7}>();
  one.template operator()<hwc{16, 16, 4}>();
}

}  // namespace

TEST_CASE("penalty kernels: value and derivative") {
  using gradient_norm::distance_from_one, gradient_norm::squared;
  sweep([]<hwc S>(run_options o) {
    CHECK(agrees_on_device(runs::gradient_penalty<S, squared>{o}, few));
    CHECK(agrees_on_device(runs::gradient_penalty<S, distance_from_one>{o}, few));
    o.poison = 0;
    CHECK(spreads_nan_on_device(runs::gradient_penalty<S, distance_from_one>{o}));
  });
}

TEST_CASE("penalty kernels: points between samples and around them") {
  sweep([]<hwc S>(run_options o) {
    CHECK(agrees_on_device(runs::interpolate<S>{o}, few));
    CHECK(agrees_on_device(runs::perturb<S>{o}, few));
    o.poison = 0;
    CHECK(spreads_nan_on_device(runs::perturb<S>{o}));
  });
}

TEST_CASE("penalty kernels: a factor per sample") {
  sweep([]<hwc S>(run_options o) {
    CHECK(agrees_on_device(runs::accumulate_scaled<S>{o}, few));
    CHECK(agrees_on_device(runs::scaled_channel_sum<S>{o}, sums));
  });
}

TEST_CASE("penalty kernels: second derivatives of activations") {
  for (const int n : {1, 4, 1003})
    for (const bool option : {false, true}) {
      const run_options o{.n = n, .option = option};
      CHECK(agrees_on_device(runs::activation_second_order<function::tanh>{o}, few));
      CHECK(agrees_on_device(runs::activation_second_order<function::softplus>{o}, few));
    }
}

TEST_CASE("pointwise kernels: relativistic losses") {
  using loss::cross_entropy_fake, loss::cross_entropy_real;
  for (const int n : {1, 17, 600})
    for (const bool option : {false, true}) {
      CAPTURE(n);
      const run_options o{.n = n, .option = option};
      CHECK(agrees_on_device(runs::paired_term<cross_entropy_real>{o}, {2e-6, 2e-5}));
      CHECK(agrees_on_device(
          runs::relativistic_average_terms<cross_entropy_real, cross_entropy_fake>{o}, few));
    }
  const run_options poisoned{.n = 300, .poison = 299};
  CHECK(spreads_nan_on_device(runs::paired_term<cross_entropy_real>{poisoned}));
}
