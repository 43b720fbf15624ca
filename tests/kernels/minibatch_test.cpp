// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/backend/reference/minibatch_deviation.hpp"
#include "gantry/kernels/minibatch/launch.cuh"

#include "kernels/device.cuh"
#include "support/op_runs_deviation.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

constexpr tolerance few{1e-5, 1e-5};
constexpr minibatch_geometry similarity{7, 5, 3};
constexpr hwc thin{3, 2, 5}, thick{4, 5, 53};

template <hwc S, int Size>
void check_deviation(const run_options& o) {
  CHECK(agrees_on_device(runs::deviation_forward<S, Size>{o}, few));
  CHECK(agrees_on_device(runs::deviation_backward<S, Size>{o}, few));
  CHECK(agrees_on_device(runs::deviation_tangent<S, Size>{o}, few));
  // Behind deviations near 0, where two of a group nearly agree.
  CHECK(agrees_on_device(runs::deviation_second_order<S, Size>{o}, {1e-3, 1e-3}));
}

}  // namespace

TEST_CASE("mini-batch kernels: similarities and their derivatives") {
  for (const bool option : {false, true})
    for (const int n : {1, 2, 19}) {
      const run_options o{.n = n, .option = option};
      CHECK(agrees_on_device(runs::minibatch_similarity_forward<similarity>{o}, few));
      CHECK(agrees_on_device(runs::minibatch_similarity_backward<similarity>{o}, few));
      CHECK(agrees_on_device(runs::minibatch_similarity_tangent<similarity>{o}, few));
      CHECK(agrees_on_device(runs::minibatch_similarity_second_order<similarity>{o}, few));
    }
}

TEST_CASE("mini-batch kernels: deviations of groups, some smaller than the others") {
  for (const bool option : {false, true})
    for (const int n : {1, 4, 7}) check_deviation<thin, 4>({.n = n, .option = option});
  check_deviation<thick, 3>({.n = 5});
}

TEST_CASE("mini-batch kernels: NaN in one place") {
  const run_options o{.n = 5, .poison = 8};
  CHECK(spreads_nan_on_device(runs::minibatch_similarity_forward<similarity>{o}));
  CHECK(spreads_nan_on_device(runs::minibatch_similarity_backward<similarity>{o}));
  CHECK(spreads_nan_on_device(runs::deviation_forward<thin, 4>{o}));
  CHECK(spreads_nan_on_device(runs::deviation_backward<thin, 4>{o}));
}
