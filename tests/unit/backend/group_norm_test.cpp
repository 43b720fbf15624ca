// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "support/host_backends.hpp"
#include "support/op_runs_norms.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

/// Less and more than a block of 16 channels, groups across blocks and within one, whole blocks,
/// one pixel, more pixels than 64.
template <class F>
void sweep(F&& f) {
  const auto one = [&]<hwc Shape, int Groups>() {
    CAPTURE(Shape.h);
    CAPTURE(Shape.w);
    CAPTURE(Shape.c);
    CAPTURE(Groups);
    for_each_batch_size([&](int n) {
      CAPTURE(n);
      for (const bool option : {false, true})
        f.template operator()<Shape, Groups>(run_options{.n = n, .option = option});
    });
  };
  one.template operator()<hwc{1, 1, 8}, 2>();
  one.template operator()<hwc{3, 5, 2}, 2>();
  one.template operator()<hwc{3, 2, 36}, 3>();
  one.template operator()<hwc{5, 3, 48}, 16>();
  one.template operator()<hwc{9, 8, 33}, 33>();
  one.template operator()<hwc{28, 28, 1}, 1>();
}

/// Statistics of a few hundred numbers near 1, divided by a deviation that may be small.
constexpr tolerance statistics{2e-5, 2e-5};

}  // namespace

TEST_CASE("group norm ops: forward, also of images that are far from 0") {
  sweep([]<hwc S, int G>(const run_options& o) {
    // Around 100 the float inputs themselves are 4e-6 apart: that, over the deviation.
    const tolerance t = o.option ? tolerance{1e-3, 1e-3} : statistics;
    CHECK(agrees_on_host(runs::group_norm_forward<S, G>{o}, t));
  });
}

TEST_CASE("group norm ops: gradient, each part alone and in place") {
  sweep([]<hwc S, int G>(const run_options& o) {
    const tolerance t = product_tolerance(o.n * S.pixels() * 16);  // x is up to e^3 deviations off
    const runs::group_norm_backward<S, G> run{o};
    CHECK(agrees_on_host(run, t));
    auto no_dx = run, no_dparams = run, in_place = run;
    no_dx.want_dx = false;
    no_dparams.want_dparams = false;
    in_place.in_place = true;
    const auto apart = run(cpu_with(1)), skipped = no_dparams(cpu_with(1));
    CHECK(same_bits(in_place(cpu_with(1)), apart));
    const std::size_t images = nhwc::elements(S, o.n);
    CHECK(same_bits(std::span(skipped).first(images), std::span(apart).first(images)));
    CHECK(same_bits(no_dx(cpu_with(1)),
                    {apart.begin() + static_cast<std::ptrdiff_t>(images), apart.end()}));
  });
}

TEST_CASE("group norm ops: tangent, apart and in place") {
  sweep([]<hwc S, int G>(const run_options& o) {
    CHECK(agrees_on_host(runs::group_norm_tangent<S, G>{o}, product_tolerance(S.pixels() * 256)));
  });
}

TEST_CASE("group norm ops: second derivatives, each part alone") {
  sweep([]<hwc S, int G>(const run_options& o) {
    // Inverse deviations of up to e^3, their squares and cubes times sums of a group.
    const double rounding = 1e-4 * std::sqrt(static_cast<double>(S.size() * o.n));
    const runs::group_norm_second_order<S, G> run{o};
    CHECK(agrees_on_host(run, {1e-4, rounding}));
    auto no_ex = run, no_dparams = run;
    no_ex.want_ex = false;
    no_dparams.want_dparams = false;
    const auto all = run(cpu_with(1)), skipped = no_dparams(cpu_with(1));
    const std::size_t images = nhwc::elements(S, o.n);
    CHECK(same_bits(std::span(skipped).first(images), std::span(all).first(images)));
    CHECK(same_bits(no_ex(cpu_with(1)),
                    {all.begin() + static_cast<std::ptrdiff_t>(images), all.end()}));
  });
}

TEST_CASE("group norm ops: NaN reaches everything that depends on it") {
  constexpr hwc s{4, 3, 32};
  constexpr int poison = (12 + 5) * 32 + 3;  // sample 1, group 0 of 4
  constexpr int group = 12 * 8;
  CHECK(spreads_nan(runs::group_norm_forward<s, 4>{{.n = 3, .poison = poison}}, group + 2));
  CHECK(spreads_nan(runs::group_norm_backward<s, 4>{{.n = 3, .poison = poison}}, group + 2));
  CHECK(spreads_nan(runs::group_norm_backward<s, 4>{{.n = 3, .option = true, .poison = poison}},
                    group + 1));
  CHECK(spreads_nan(runs::group_norm_tangent<s, 4>{{.n = 3, .poison = poison}}, group));
  CHECK(spreads_nan(runs::group_norm_second_order<s, 4>{{.n = 3, .poison = poison}}, group + 1));
}
