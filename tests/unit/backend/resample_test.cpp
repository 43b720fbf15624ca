// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "support/host_backends.hpp"
#include "support/op_runs_resample.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

/// Calls f<hwc, factor>(options): less and more than a block of 16 channels, whole blocks, one
/// pixel, extents that the factor does not divide.
template <class F>
void sweep(F&& f) {
  const auto one = [&]<hwc Shape, int Factor>() {
    CAPTURE(Shape.h);
    CAPTURE(Shape.w);
    CAPTURE(Shape.c);
    CAPTURE(Factor);
    for_each_batch_size([&](int n) {
      CAPTURE(n);
      f.template operator()<Shape, Factor>(run_options{.n = n});
    });
  };
  one.template operator()<hwc{3, 3, 1}, 3>();
  one.template operator()<hwc{5, 4, 3}, 2>();
  one.template operator()<hwc{2, 2, 19}, 1>();
  one.template operator()<hwc{4, 7, 16}, 2>();
  one.template operator()<hwc{7, 6, 33}, 3>();
  one.template operator()<hwc{8, 9, 64}, 2>();
}

}  // namespace

TEST_CASE("resample ops: sums and copies of squares") {
  sweep([]<hwc S, int F>(const run_options& o) {
    constexpr square_geometry g{S, F};
    CHECK(agrees_on_host(runs::sum_squares<g>{o}, product_tolerance(F * F)));
    CHECK(agrees_on_host(runs::spread_squares<g>{o}, product_tolerance(1)));
  });
}

TEST_CASE("resample ops: bilinear enlargement and its adjoint") {
  sweep([]<hwc S, int F>(const run_options& o) {
    constexpr bilinear_geometry g{S, F};
    CHECK(agrees_on_host(runs::bilinear_forward<g>{o}, product_tolerance(4)));
    CHECK(agrees_on_host(runs::bilinear_backward<g>{o}, product_tolerance(4 * F * F)));
  });
  constexpr bilinear_geometry pixel{{1, 1, 20}, 2};
  CHECK(agrees_on_host(runs::bilinear_forward<pixel>{{.n = 3}}, product_tolerance(4)));
  CHECK(agrees_on_host(runs::bilinear_backward<pixel>{{.n = 3}}, product_tolerance(4)));
}

TEST_CASE("resample ops: the filter and its adjoint") {
  const auto one = []<hwc Large>() {
    for (const int n : {1, 3}) {
      CHECK(agrees_on_host(runs::filter_halve<Large>{{.n = n}}, product_tolerance(16)));
      CHECK(agrees_on_host(runs::filter_double<Large>{{.n = n}}, product_tolerance(4)));
    }
  };
  one.operator()<hwc{2, 2, 3}>();
  one.operator()<hwc{4, 8, 19}>();
  one.operator()<hwc{6, 4, 32}>();
  constexpr hwc s{4, 6, 17};
  CHECK(spreads_nan(runs::filter_halve<s>{{.n = 3, .poison = (24 + 6 + 2) * 17 + 3}}, 4));
  CHECK(spreads_nan(runs::filter_double<s>{{.n = 3, .poison = (6 + 1) * 17 + 3}}, 12));
}

TEST_CASE("resample ops: sums over all pixels and copies to all") {
  sweep([]<hwc S, int F>(const run_options& o) {
    CHECK(agrees_on_host(runs::sum_pixels<S>{o}, product_tolerance(S.pixels())));
    CHECK(agrees_on_host(runs::spread_pixels<S>{o}, product_tolerance(1)));
  });
}

TEST_CASE("resample ops: NaN reaches everything that depends on it") {
  constexpr hwc s{4, 6, 17};
  constexpr int poison = (24 + 6 + 2) * 17 + 3;  // sample 1, pixel (1, 2)
  constexpr square_geometry squares{s, 2};
  constexpr bilinear_geometry enlarged{s, 2};
  CHECK(spreads_nan(runs::sum_squares<squares>{{.n = 3, .poison = poison}}, 1));
  CHECK(spreads_nan(runs::spread_squares<squares>{{.n = 3, .poison = 6 * 17 + 3}}, 4));
  CHECK(spreads_nan(runs::bilinear_forward<enlarged>{{.n = 3, .poison = poison}}, 16));
  CHECK(spreads_nan(runs::bilinear_backward<enlarged>{{.n = 3, .poison = poison}}, 2));
  CHECK(spreads_nan(runs::sum_pixels<s>{{.n = 3, .poison = poison}}, 1));
  CHECK(spreads_nan(runs::spread_pixels<s>{{.n = 3, .poison = 17 + 3}}, 24));
}
