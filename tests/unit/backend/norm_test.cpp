// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "support/host_backends.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

/// Less and more than a block of 16 channels, whole blocks, one pixel, more rows than 64.
template <class F>
void sweep(F&& f) {
  sweep_shapes<hwc{1, 1, 1}, hwc{3, 2, 36}, hwc{1, 1, 19}, hwc{3, 5, 2}, hwc{4, 3, 16},
               hwc{7, 7, 33}, hwc{28, 28, 1}>(f);
}

/// Statistics of a few hundred numbers near 1, divided by a deviation that may be small.
constexpr tolerance statistics{2e-5, 2e-5};

template <minibatch_geometry... G, class F>
void for_each_minibatch(F&& f) {
  const auto one = [&]<minibatch_geometry Geometry>() {
    CAPTURE(Geometry.in);
    CAPTURE(Geometry.kernels);
    CAPTURE(Geometry.dims);
    for_each_batch_size([&](int n) {
      CAPTURE(n);
      for (const bool option : {false, true})
        f.template operator()<Geometry>(run_options{.n = n, .option = option});
    });
  };
  (one.template operator()<G>(), ...);
}

template <class F>
void minibatch_sweep(F&& f) {
  for_each_minibatch<minibatch_geometry{1, 1, 1}, minibatch_geometry{7, 3, 2},
                     minibatch_geometry{33, 17, 5}>(f);
}

}  // namespace

TEST_CASE("norm ops: batch normalisation in training, also of images that are far from 0") {
  sweep([]<hwc S>(const run_options& o) {
    if (o.n * S.pixels() == 1 && o.option) return;  // nothing but rounding errors of 100
    // Around 100 the float inputs themselves are 4e-6 apart: that, over the deviation.
    const tolerance t = o.option ? tolerance{1e-3, 1e-3} : statistics;
    CHECK(agrees_on_host(runs::batch_norm_forward<S>{o}, t));
  });
}

TEST_CASE("norm ops: batch normalisation in evaluation") {
  sweep([]<hwc S>(const run_options& o) {
    CHECK(agrees_on_host(runs::batch_norm_inference<S>{o}, statistics));
  });
}

TEST_CASE("norm ops: gradient of batch normalisation, each part alone and in place") {
  sweep([]<hwc S>(const run_options& o) {
    const tolerance t = product_tolerance(o.n * S.pixels() * 16);  // x is up to e^3 deviations off
    const runs::batch_norm_backward<S> run{o};
    CHECK(agrees_on_host(run, t));
    auto no_dx = run, no_dparams = run, in_place = run;
    no_dx.want_dx = false;
    no_dparams.want_dparams = false;
    in_place.in_place = true;
    CHECK(agrees_on_host(no_dx, t));
    CHECK(agrees_on_host(no_dparams, t));
    const auto apart = run(cpu_with(1)), skipped = no_dparams(cpu_with(1));
    CHECK(same_bits(in_place(cpu_with(1)), apart));
    const std::size_t images = nhwc::elements(S, o.n);
    CHECK(same_bits(std::span(skipped).first(images), std::span(apart).first(images)));
    CHECK(same_bits(no_dx(cpu_with(1)),
                    {apart.begin() + static_cast<std::ptrdiff_t>(images), apart.end()}));
  });
}

TEST_CASE("norm ops: second derivatives of batch normalisation, each part alone") {
  sweep_shapes<hwc{1, 1, 19}, hwc{3, 5, 2}, hwc{4, 3, 33}>([]<hwc S>(const run_options& o) {
    const tolerance t = product_tolerance(o.n * S.pixels() * 64);
    const runs::batch_norm_second_order<S> run{o};
    auto no_ex = run, no_dparams = run, fixed = run;
    no_ex.want_ex = false;
    no_dparams.want_dparams = false;
    fixed.fixed = true;
    CHECK(agrees_on_host(run, t));
    CHECK(agrees_on_host(no_ex, t));
    CHECK(agrees_on_host(no_dparams, t));
    CHECK(agrees_on_host(fixed, t));
  });
}

TEST_CASE("norm ops: sums per channel are added") {
  sweep([]<hwc S>(const run_options& o) {
    CHECK(agrees_on_host(runs::channel_sum<S>{o}, product_tolerance(o.n * S.pixels())));
  });
}

TEST_CASE("norm ops: mini-batch similarities") {
  minibatch_sweep([]<minibatch_geometry G>(const run_options& o) {
    CHECK(agrees_on_host(runs::minibatch_similarity_forward<G>{o}, product_tolerance(o.n)));
    CHECK(agrees_on_host(runs::minibatch_similarity_backward<G>{o}, product_tolerance(o.n)));
    CHECK(agrees_on_host(runs::minibatch_similarity_tangent<G>{o}, product_tolerance(4 * o.n)));
    CHECK(
        agrees_on_host(runs::minibatch_similarity_second_order<G>{o}, product_tolerance(4 * o.n)));
  });
}

TEST_CASE("norm ops: NaN reaches everything that depends on it") {
  constexpr hwc s{4, 3, 16};
  constexpr int poison = (12 + 5) * 16 + 3;
  // A channel's outputs and its four statistics; in evaluation one number.
  CHECK(spreads_nan(runs::batch_norm_forward<s>{{.n = 3, .poison = poison}}, 3 * 12 + 4));
  CHECK(spreads_nan(runs::batch_norm_inference<s>{{.n = 3, .poison = poison}}, 1));
  CHECK(spreads_nan(runs::batch_norm_backward<s>{{.n = 3, .poison = poison}}, 3 * 12 + 2));
  CHECK(spreads_nan(runs::batch_norm_backward<s>{{.n = 3, .option = true, .poison = poison}}, 3));
  CHECK(spreads_nan(runs::channel_sum<s>{{.n = 3, .poison = poison}}, 1));
  // Sample 1's kernel 0: all three samples' similarity.
  constexpr minibatch_geometry g{7, 3, 2};
  CHECK(spreads_nan(runs::minibatch_similarity_forward<g>{{.n = 3, .poison = 6}}, 3));
  // dy of sample 1's kernel 0 (column 7 of 10): the two numbers of all three samples.
  CHECK(spreads_nan(runs::minibatch_similarity_backward<g>{{.n = 3, .poison = 17}}, 6));
  // The same through a tangent of M, which reaches kernel 0 of all samples, and through gy.
  CHECK(spreads_nan(runs::minibatch_similarity_tangent<g>{{.n = 3, .poison = 6}}, 3));
  CHECK(spreads_nan(runs::minibatch_similarity_second_order<g>{{.n = 3, .poison = 17}}, 12));
  // A channel of ex, and its gamma; beta's gradient is ey's.
  CHECK(spreads_nan(runs::batch_norm_second_order<s>{{.n = 3, .poison = poison}}, 3 * 12 + 1));
}
