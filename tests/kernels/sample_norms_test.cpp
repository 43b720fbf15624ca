// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Group, layer and instance norm (one group, as many as channels) and pixel norm.
#include <doctest/doctest.h>

#include "gantry/kernels/group_norm/launch.cuh"
#include "gantry/kernels/pixel_norm/launch.cuh"

#include "kernels/device.cuh"
#include "support/op_runs_norms.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

/// Statistics of a few hundred numbers near 1, divided by a deviation that may be small.
constexpr tolerance statistics{2e-5, 2e-5};

template <hwc S, int Groups>
void check_group_norm() {
  CAPTURE(Groups);
  for (const bool option : {false, true}) {
    const run_options o{.n = 3, .option = option};
    // Around 100 the float inputs themselves are 4e-6 apart: that, over the deviation.
    const tolerance t = option ? tolerance{1e-3, 1e-3} : statistics;
    CHECK(agrees_on_device(runs::group_norm_forward<S, Groups>{o}, t));
    CHECK(agrees_on_device(runs::group_norm_tangent<S, Groups>{o}, statistics));
    CHECK(agrees_on_device(runs::group_norm_second_order<S, Groups>{o}, {1e-4, 1e-4}));
  }
  CHECK(agrees_on_device(runs::group_norm_backward<S, Groups>{{.n = 17}}, {5e-5, 5e-5}));
}

}  // namespace

TEST_CASE(
    "group norm kernels: groups, one for all, one per channel; a warp and a block per group") {
  check_group_norm<hwc{3, 5, 6}, 2>();
  check_group_norm<hwc{3, 5, 5}, 5>();
  check_group_norm<hwc{6, 7, 27}, 1>();
}

TEST_CASE("group norm kernels: in place, in part") {
  constexpr hwc shape{3, 5, 6};
  const run_options o{.n = 3};
  CHECK(agrees_on_device(runs::group_norm_backward<shape, 2>{o, true, true, true}, statistics));
  CHECK(agrees_on_device(runs::group_norm_backward<shape, 2>{o, true, false}, statistics));
  CHECK(agrees_on_device(runs::group_norm_backward<shape, 2>{o, false, true}, statistics));
  CHECK(agrees_on_device(runs::group_norm_second_order<shape, 2>{o, true, false}, {1e-4, 1e-4}));
  CHECK(agrees_on_device(runs::group_norm_second_order<shape, 2>{o, false, true}, {1e-4, 1e-4}));
}

TEST_CASE("pixel norm kernels: forward, derivative and second order") {
  constexpr hwc shape{3, 5, 7};
  for (const bool option : {false, true}) {
    const run_options o{.n = 3, .option = option};
    CHECK(agrees_on_device(runs::pixel_norm_forward<shape>{o}, statistics));
    CHECK(agrees_on_device(runs::pixel_norm_derivative<shape>{o}, statistics));
    CHECK(agrees_on_device(runs::pixel_norm_second_order<shape>{o}, statistics));
  }
  CHECK(agrees_on_device(runs::pixel_norm_forward<hwc{1, 2, 1100}>{{.n = 2}}, statistics));
}

TEST_CASE("norm kernels within a sample: NaN stays in its group or pixel") {
  const run_options o{.n = 3, .poison = 40};
  constexpr hwc shape{3, 5, 6};
  CHECK(spreads_nan_on_device(runs::group_norm_forward<shape, 2>{o}));
  CHECK(spreads_nan_on_device(runs::group_norm_backward<shape, 2>{o}));
  CHECK(spreads_nan_on_device(runs::group_norm_second_order<shape, 2>{o}));
  CHECK(spreads_nan_on_device(runs::pixel_norm_forward<hwc{3, 5, 7}>{o}));
  CHECK(spreads_nan_on_device(runs::pixel_norm_second_order<hwc{3, 5, 7}>{o}));
}
