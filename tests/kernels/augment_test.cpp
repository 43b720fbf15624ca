// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/backend/reference/augment.hpp"
#include "gantry/kernels/augment/launch.cuh"

#include "kernels/device.cuh"
#include "support/op_runs_augment.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

constexpr hwc shape{6, 7, 3};

template <template <hwc> class Run, hwc S>
void check(tolerance t) {
  for (const bool option : {false, true})
    for (const bool in_place : {false, true}) {
      Run<S> run{};
      run.n = 13;
      run.option = option;
      run.probability = 0.75f;
      run.in_place = in_place;
      CHECK(agrees_on_device(run, t));
      run.in_place = false;
      run.poison = 40;
      CHECK(spreads_nan_on_device(run));
    }
}

}  // namespace

TEST_CASE("augmentation kernels: the reference's changes of some samples, also in place") {
  check<runs::augment_color, shape>({5e-6, 5e-6});
  check<runs::augment_translation, shape>({});
  check<runs::augment_cutout, shape>({});
  check<runs::augment_flip, shape>({});
}

TEST_CASE("augmentation kernels: samples of many numbers, scratch for some of them") {
  runs::augment_color<hwc{20, 20, 3}> color{};
  color.n = 3;
  CHECK(agrees_on_device(color, {5e-6, 5e-6}));
  runs::augment_translation<hwc{300, 300, 3}> translation{};
  translation.n = 5;
  translation.in_place = true;
  CHECK(agrees_on_device(translation, {}));
}
