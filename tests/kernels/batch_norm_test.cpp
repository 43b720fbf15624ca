// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/kernels/batch_norm/launch.cuh"

#include "kernels/device.cuh"

using namespace gantry;
using namespace gantry::test;

namespace {

/// One channel, fewer and more than a warp's, packs and none, several blocks per channel.
template <class F>
void sweep(F&& f) {
  const auto one = [&]<hwc Shape>() {
    CAPTURE(Shape.size());
    CAPTURE(Shape.c);
    for (const int n : {1, 2, 5, 17}) {
      CAPTURE(n);
      for (const bool option : {false, true})
        f.template operator()<Shape>(run_options{.n = n, .option = option});
    }
  };
  one.template operator()<hwc{1, 1, 1}>();
  one.template operator()<hwc{3, 5, 3}>();
  one.template operator()<hwc{4, 3, 36}>();
  one.template operator()<hwc{16, 17, 8}>();
}

/// Statistics of a few hundred numbers near 1, divided by a deviation that may be small.
constexpr tolerance statistics{2e-5, 2e-5};

}  // namespace

TEST_CASE("batch norm kernels: training, also of images that are far from 0") {
  sweep([]<hwc S>(const run_options& o) {
    if (o.n * S.pixels() == 1 && o.option) return;  // nothing but rounding errors of 100
    // Around 100 the float inputs themselves are 4e-6 apart: that, over the deviation.
    const tolerance t = o.option ? tolerance{1e-3, 1e-3} : statistics;
    CHECK(agrees_on_device(runs::batch_norm_forward<S>{o}, t));
  });
}

TEST_CASE("batch norm kernels: the two batches of a pair have statistics of their own") {
  constexpr hwc shape{3, 5, 3}, wide{16, 17, 8};  // 45 numbers a sample: packs over the boundary
  CHECK(agrees_on_device(runs::batch_norm_forward<shape>{{.n = 2}, true}, statistics));
  CHECK(agrees_on_device(runs::batch_norm_forward<wide>{{.n = 10}, true}, statistics));
  for (const bool in_place : {false, true})
    CHECK(agrees_on_device(runs::batch_norm_backward<shape>{{.n = 6}, true, true, in_place, true},
                           statistics));
  CHECK(agrees_on_device(runs::batch_norm_backward<wide>{{.n = 10}, true, true, false, true},
                         statistics));
}

TEST_CASE("batch norm kernels: evaluation") {
  sweep([]<hwc S>(const run_options& o) {
    if (!o.option) CHECK(agrees_on_device(runs::batch_norm_inference<S>{o}, statistics));
  });
}

TEST_CASE("batch norm kernels: gradients, with either statistics, in place, in part") {
  sweep([]<hwc S>(const run_options& o) {
    CHECK(agrees_on_device(runs::batch_norm_backward<S>{o}, statistics));
  });
  constexpr hwc shape{3, 5, 3};
  const run_options o{.n = 4};
  CHECK(agrees_on_device(runs::batch_norm_backward<shape>{o, true, true, true}, statistics));
  CHECK(agrees_on_device(runs::batch_norm_backward<shape>{o, true, false}, statistics));
  CHECK(agrees_on_device(runs::batch_norm_backward<shape>{o, false, true}, statistics));
}

TEST_CASE("batch norm kernels: second order, with either statistics, in part") {
  constexpr hwc shape{3, 5, 3}, wide{4, 3, 36};
  for (const bool option : {false, true})
    for (const bool fixed : {false, true}) {
      const run_options o{.n = 5, .option = option};
      CHECK(
          agrees_on_device(runs::batch_norm_second_order<shape>{o, true, true, fixed}, statistics));
      CHECK(
          agrees_on_device(runs::batch_norm_second_order<wide>{o, true, true, fixed}, statistics));
    }
  const run_options o{.n = 40, .option = true};
  CHECK(agrees_on_device(runs::batch_norm_second_order<shape>{o, true, false}, statistics));
  CHECK(agrees_on_device(runs::batch_norm_second_order<shape>{o, false, true}, statistics));
}

TEST_CASE("batch norm kernels: sums per channel") {
  sweep([]<hwc S>(const run_options& o) {
    if (!o.option) CHECK(agrees_on_device(runs::channel_sum<S>{o}, statistics));
  });
}

TEST_CASE("batch norm kernels: NaN stays in its channel") {
  constexpr hwc shape{4, 3, 36};
  const run_options o{.n = 3, .poison = 100};
  CHECK(spreads_nan_on_device(runs::batch_norm_forward<shape>{o}));
  CHECK(spreads_nan_on_device(runs::batch_norm_inference<shape>{o}));
  CHECK(spreads_nan_on_device(runs::batch_norm_backward<shape>{o}));
  CHECK(spreads_nan_on_device(runs::batch_norm_second_order<shape>{o}));
  CHECK(spreads_nan_on_device(runs::channel_sum<shape>{o}));
}

TEST_CASE("kernels: scratch that is too small is refused") {
  auto c = aligned_device().context();
  c.partial_count = 10;
  CHECK_THROWS_WITH_AS(launch(c, ops::channel_sum<hwc{1, 1, 4}>{}, {{nullptr, 1}, nullptr}),
                       doctest::Contains("two numbers per sum and channel"), usage_error);
}
