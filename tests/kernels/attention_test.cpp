// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/backend/reference/attention.hpp"
#include "gantry/kernels/attention/launch.cuh"

#include "kernels/device.cuh"
#include "support/op_runs_attention.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

/// Sums over a few dozen pixels, behind exponentials of scores of some units.
constexpr tolerance sums{2e-5, 5e-5};

template <attention_geometry G>
void check() {
  for (const bool option : {false, true}) {
    const runs::attention_run<G> o{{.n = 2, .option = option}};
    CHECK(agrees_on_device(runs::attention_second_order<G>{o}, {1e-4, 2e-4}));
    if (option) continue;
    CHECK(agrees_on_device(runs::attention_forward<G>{o}, sums));
    CHECK(agrees_on_device(runs::attention_backward<G>{o}, sums));
    CHECK(agrees_on_device(runs::attention_tangent<G>{o}, sums));
  }
}

}  // namespace

TEST_CASE("attention kernels: fewer and more pixels and channels than a warp has lanes") {
  check<attention_geometry{3, 2, 1, 5}>();
  check<attention_geometry{5, 8, 3, 37}>();
}

TEST_CASE("attention kernels: scores far apart") {
  constexpr attention_geometry g{4, 5, 3, 6};
  CHECK(agrees_on_device(runs::attention_forward<g>{{{.n = 2}, 10.0f}}, {1e-4, 1e-4}));
}

TEST_CASE("attention kernels: a copy times a number and its gradient") {
  for (const int n : {1, 37, 9001}) {
    CHECK(agrees_on_device(runs::scaled_copy{{.n = n}}, {2e-6, 2e-6}));
    CHECK(agrees_on_device(runs::scaled_copy_gradient{{.n = n}}, {2e-5, 2e-5}));
  }
}

TEST_CASE("attention kernels: NaN stays in its sample") {
  constexpr attention_geometry g{3, 2, 1, 5};
  const runs::attention_run<g> o{{.n = 3, .poison = 10}};
  CHECK(spreads_nan_on_device(runs::attention_forward<g>{o}));
  CHECK(spreads_nan_on_device(runs::attention_backward<g>{o}));
  CHECK(spreads_nan_on_device(runs::attention_second_order<g>{o}));
}
