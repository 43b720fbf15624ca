// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/kernels/labels/launch.cuh"

#include "kernels/device.cuh"
#include "support/op_runs_labels.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

constexpr tolerance few{5e-6, 5e-6};
constexpr hwc shape{3, 5, 7};

}  // namespace

TEST_CASE("label kernels: classes behind the channels, and their gradient") {
  for (const bool option : {false, true})
    for (const int n : {1, 13}) {
      const run_options o{.n = n, .option = option};
      CHECK(agrees_on_device(runs::concat_label<shape, 5, 3>{o}, few));
      CHECK(agrees_on_device(runs::concat_label_backward<shape, 5, 3>{o}, few));
    }
}

TEST_CASE("label kernels: products with the row of a class") {
  CHECK(agrees_on_device(runs::label_product<shape, 4>{{.n = 13}}, few));
  CHECK(agrees_on_device(runs::label_product<hwc{6, 6, 33}, 3>{{.n = 3}}, {2e-5, 2e-5}));
}

TEST_CASE("label kernels: factor and shift of a class, behind a normalisation") {
  for (const bool option : {false, true})
    CHECK(agrees_on_device(runs::class_affine<shape, 5>{{.n = 13, .option = option}}, few));
}

TEST_CASE("label kernels: cross-entropies; more samples than a launch takes labels for") {
  for (const int n : {1, 13, 2050}) {
    const run_options o{.n = n};
    CHECK(agrees_on_device(runs::auxiliary_cross_entropy<10>{o}, few));
    CHECK(agrees_on_device(runs::softmax_cross_entropy<10>{o}, few));
  }
  CHECK(
      agrees_on_device(runs::concat_label_backward<hwc{1, 1, 2}, 5, 3>{{.n = 2050}}, {2e-5, 2e-5}));
}

TEST_CASE("label kernels: NaN stays in its sample and in the row of its class") {
  const run_options o{.n = 13, .poison = 7};
  CHECK(spreads_nan_on_device(runs::concat_label_backward<shape, 5, 3>{o}));
  CHECK(spreads_nan_on_device(runs::label_product<shape, 4>{o}));
  CHECK(spreads_nan_on_device(runs::class_affine<shape, 5>{o}));
  CHECK(spreads_nan_on_device(runs::auxiliary_cross_entropy<10>{o}));
}
