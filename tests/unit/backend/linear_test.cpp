// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "support/host_backends.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

template <linear_geometry... G, class F>
void for_each_geometry(F&& f) {
  const auto one = [&]<linear_geometry Geometry>() {
    CAPTURE(Geometry.in.size());
    CAPTURE(Geometry.out);
    for_each_batch_size([&](int n) {
      CAPTURE(n);
      for (const bool option : {false, true})
        f.template operator()<Geometry>(run_options{.n = n, .option = option});
    });
  };
  (one.template operator()<G>(), ...);
}

/// One piece and several (64 columns each), square, narrow, wide, images as input.
template <class F>
void sweep(F&& f) {
  for_each_geometry<linear_geometry{{1, 1, 1}, 1}, linear_geometry{{1, 1, 7}, 5},
                    linear_geometry{{3, 2, 5}, 64}, linear_geometry{{1, 1, 65}, 1},
                    linear_geometry{{5, 5, 7}, 67}, linear_geometry{{1, 1, 33}, 200},
                    linear_geometry{{2, 3, 48}, 17}, linear_geometry{{3, 1, 20}, 16},
                    linear_geometry{{2, 2, 19}, 3}, linear_geometry{{1, 1, 544}, 34}>(f);
}

}  // namespace

TEST_CASE("linear ops: forward with and without bias") {
  sweep([]<linear_geometry G>(const run_options& o) {
    CHECK(products_agree(runs::linear_forward<G>{o}, product_tolerance(G.in.size())));
  });
}

TEST_CASE("linear ops: gradient by the input, overwriting and adding") {
  sweep([]<linear_geometry G>(const run_options& o) {
    CHECK(products_agree(runs::linear_backward_data<G>{o}, product_tolerance(G.out)));
  });
}

TEST_CASE("linear ops: gradient by the weights is added") {
  sweep([]<linear_geometry G>(const run_options& o) {
    CHECK(products_agree(runs::linear_backward_weights<G>{o}, product_tolerance(o.n)));
  });
}

TEST_CASE("linear ops: NaN reaches everything that depends on it") {
  constexpr linear_geometry g{{5, 5, 7}, 67};
  constexpr std::size_t in = 175, out = 67;
  CHECK(spreads_nan(runs::linear_forward<g>{{.n = 3, .poison = 200}}, out));
  CHECK(spreads_nan(runs::linear_backward_data<g>{{.n = 3, .poison = 70}}, in));
  CHECK(spreads_nan(runs::linear_backward_data<g>{{.n = 3, .option = true, .poison = 70}}, in));
  CHECK(spreads_nan(runs::linear_backward_weights<g>{{.n = 3, .poison = 200}}, out));
  CHECK(spreads_nan(runs::linear_backward_weights<g>{{.n = 3, .option = true, .poison = 70}}, in));
}
