// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Convolutions in groups, and the learned basis that generators with them begin with.
#include <doctest/doctest.h>

#include "gantry/backend/reference/grouped_conv2d.hpp"
#include "gantry/backend/reference/learned_basis.hpp"
#include "gantry/kernels/grouped_conv2d/launch.cuh"
#include "gantry/kernels/learned_basis/launch.cuh"

#include "kernels/device.cuh"
#include "support/op_runs_grouped.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

/// y, then dx and dbasis. option: dx alone.
template <hwc Out>
struct basis_run : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    constexpr hwc in{1, 1, Out.c};
    const auto x = runs::clean_batch<in>(b, *this, 1);
    const auto dy = runs::poisoned_batch<Out>(b, *this, 2);
    const auto basis = runs::numbers(b, Out.size(), 3), dbasis = runs::numbers(b, Out.size(), 4);
    const device_batch<B, Out> y(b, n);
    const device_batch<B, in> dx(b, n);
    launch(b, ops::learned_basis<Out>{}, {x.view(), basis.data(), y.view()});
    launch(b, ops::learned_basis_backward<Out>{},
           {x.view(), dy.view(), basis.data(), dx.view(), option ? nullptr : dbasis.data()});
    return joined({y.read(), dx.read(), dbasis.read()});
  }
};

template <grouped_geometry G>
void check() {
  for (const bool option : {false, true}) {
    const run_options o{.n = 3, .option = option};
    CHECK(agrees_on_device(runs::grouped_conv2d_forward<G>{o}, product_tolerance(G.part().taps())));
    if (option) continue;
    CHECK(agrees_on_device(runs::grouped_conv2d_backward_data<G>{o},
                           product_tolerance(G.part().taps())));
    CHECK(agrees_on_device(runs::grouped_conv2d_backward_weights<G>{o},
                           product_tolerance(o.n * G.out().pixels())));
  }
}

}  // namespace

TEST_CASE("grouped convolution kernels: some groups, a group per channel") {
  check<grouped_geometry{{7, 5, 6}, 4, 3, 2, 1, 2}>();
  check<grouped_geometry{{5, 6, 5}, 5, 3, 1, 1, 5}>();
}

TEST_CASE("learned basis kernels: forward and gradients") {
  for (const bool option : {false, true})
    CHECK(agrees_on_device(basis_run<hwc{4, 3, 7}>{{.n = 5, .option = option}}, {5e-6, 5e-6}));
}

TEST_CASE("grouped convolution and basis kernels: NaN in one place") {
  constexpr grouped_geometry g{{7, 5, 6}, 4, 3, 2, 1, 2};
  const run_options o{.n = 3, .poison = 20};
  CHECK(spreads_nan_on_device(runs::grouped_conv2d_forward<g>{o}));
  CHECK(spreads_nan_on_device(runs::grouped_conv2d_backward_data<g>{o}));
  CHECK(spreads_nan_on_device(runs::grouped_conv2d_backward_weights<g>{o}));
  CHECK(spreads_nan_on_device(basis_run<hwc{4, 3, 7}>{o}));
}
