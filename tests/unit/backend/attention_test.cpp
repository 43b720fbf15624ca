// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "support/host_backends.hpp"
#include "support/op_runs_attention.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

/// Calls f<attention_geometry>(n): one pixel, fewer and more pixels than a block of rows holds,
/// numbers of channels below, at and above 16.
template <class F>
void sweep(F&& f) {
  const auto one = [&]<attention_geometry G>() {
    CAPTURE(G.h);
    CAPTURE(G.w);
    CAPTURE(G.keys);
    CAPTURE(G.values);
    for_each_batch_size([&](int n) {
      CAPTURE(n);
      f.template operator()<G>(n);
    });
  };
  one.template operator()<attention_geometry{1, 1, 1, 1}>();
  one.template operator()<attention_geometry{3, 2, 2, 3}>();
  one.template operator()<attention_geometry{4, 4, 5, 16}>();
  one.template operator()<attention_geometry{7, 5, 8, 32}>();
  one.template operator()<attention_geometry{7, 9, 16, 5}>();
  one.template operator()<attention_geometry{8, 11, 19, 33}>();
}

/// Weights have the relative error of their scores, sums of `keys` products.
tolerance allowed(const attention_geometry& g) {
  const tolerance scores = product_tolerance(g.keys);
  return {4 * scores.absolute, 8 * scores.absolute};
}
/// Derivatives are sums over pixels of products with sums over keys and values.
tolerance allowed_slopes(const attention_geometry& g) {
  const tolerance sums = product_tolerance(g.keys + g.values + g.positions());
  return {8 * sums.absolute, 8 * sums.absolute};
}

}  // namespace

TEST_CASE("attention ops: forward") {
  sweep([]<attention_geometry G>(int n) {
    CHECK(agrees_on_host(runs::attention_forward<G>{{{.n = n}}}, allowed(G)));
  });
}

TEST_CASE("attention ops: gradient, tangent and second order") {
  sweep([]<attention_geometry G>(int n) {
    CHECK(agrees_on_host(runs::attention_backward<G>{{{.n = n}, 0.5f}}, allowed_slopes(G)));
    CHECK(agrees_on_host(runs::attention_tangent<G>{{{.n = n}, 0.5f}}, allowed_slopes(G)));
    for (const bool option : {false, true})
      CHECK(agrees_on_host(runs::attention_second_order<G>{{{.n = n, .option = option}, 0.5f}},
                           allowed_slopes(G)));
  });
}

TEST_CASE("attention ops: scores far above what an exponential holds") {
  constexpr attention_geometry g{5, 4, 3, 2};
  // Scores of some thousands: all weight is on one pixel, and the results are copies.
  CHECK(agrees_on_host(runs::attention_forward<g>{{{.n = 3}, 40.0f}}, {1e-3, 1e-3}));
}

TEST_CASE("attention ops: NaN reaches everything that depends on it") {
  constexpr attention_geometry g{7, 7, 3, 5};
  constexpr int wide = g.projected().c, sample = g.projected().size(), results = g.result().size();
  constexpr auto all = static_cast<std::size_t>(g.positions());
  // A query: one pixel's result. A key: every pixel's. A value: one channel of every pixel.
  CHECK(spreads_nan(runs::attention_forward<g>{{{.n = 3, .poison = sample + 4 * wide}}}, 5 + 1));
  CHECK(spreads_nan(runs::attention_forward<g>{{{.n = 3, .poison = sample + 4 * wide + 3}}},
                    all * (5 + 1)));
  CHECK(spreads_nan(runs::attention_forward<g>{{{.n = 3, .poison = sample + 48 * wide + 6}}}, all));
  // The first pixel's first key, where a search for the largest score begins.
  CHECK(spreads_nan(runs::attention_forward<g>{{{.n = 3, .poison = sample + 3}}}, all * (5 + 1)));
  const int one = results + 2 * 5 + 1;
  CHECK(spreads_nan(runs::attention_backward<g>{{{.n = 3, .poison = one}}}, all * (3 + 1) + 3));
  CHECK(spreads_nan(runs::attention_tangent<g>{{{.n = 3, .poison = sample + 2 * wide + 4}}},
                    all * 5));
  CHECK(spreads_nan(runs::attention_second_order<g>{{{.n = 3, .poison = one}}}, all * (3 + 1) + 3));
}

TEST_CASE("attention ops: a copy times a number, and its gradient") {
  for (const int n : {1, 17, 5000, 20000}) {
    CAPTURE(n);
    CHECK(agrees_on_host(runs::scaled_copy{{.n = n}}, product_tolerance(1)));
    CHECK(agrees_on_host(runs::scaled_copy_gradient{{.n = n}}, product_tolerance(n)));
    CHECK(spreads_nan(runs::scaled_copy{{.n = n, .poison = 0}}, 1));
    CHECK(spreads_nan(runs::scaled_copy_gradient{{.n = n, .poison = 0}}, 2));
  }
}
