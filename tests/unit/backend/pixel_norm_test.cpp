// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "support/host_backends.hpp"
#include "support/op_runs_norms.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

/// Less and more than a block of 16 channels, whole blocks, one pixel.
template <class F>
void sweep(F&& f) {
  sweep_shapes<hwc{1, 1, 1}, hwc{1, 1, 19}, hwc{3, 5, 3}, hwc{4, 3, 16}, hwc{5, 3, 33},
               hwc{2, 2, 96}>(f);
}

}  // namespace

TEST_CASE("pixel norm ops: forward, derivative (apart and in place), second derivative") {
  sweep([]<hwc S>(const run_options& o) {
    CHECK(agrees_on_host(runs::pixel_norm_forward<S>{o}, product_tolerance(1)));
    CHECK(agrees_on_host(runs::pixel_norm_derivative<S>{o}, product_tolerance(16)));
    CHECK(agrees_on_host(runs::pixel_norm_second_order<S>{o}, product_tolerance(256)));
  });
}

TEST_CASE("pixel norm ops: NaN reaches everything that depends on it") {
  constexpr hwc s{4, 3, 33};
  constexpr int poison = (12 + 5) * 33 + 3;
  CHECK(spreads_nan(runs::pixel_norm_forward<s>{{.n = 3, .poison = poison}}, 33));
  CHECK(spreads_nan(runs::pixel_norm_derivative<s>{{.n = 3, .poison = poison}}, 33));
  CHECK(spreads_nan(runs::pixel_norm_second_order<s>{{.n = 3, .poison = poison}}, 33));
}
