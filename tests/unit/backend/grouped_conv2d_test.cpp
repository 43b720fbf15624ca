// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "support/host_backends.hpp"
#include "support/op_runs_grouped.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

/// {in}, filters, kernel, stride, pad, groups: a group per channel, thin samples, groups that cut
/// blocks of 16, groups of one and of more blocks on either side, one pixel, pixels that no window
/// reaches.
template <class F>
void sweep(F&& f) {
  const auto one = [&]<grouped_geometry Geometry>() {
    CAPTURE(Geometry.in.h);
    CAPTURE(Geometry.in.c);
    CAPTURE(Geometry.filters);
    CAPTURE(Geometry.groups);
    for_each_batch_size([&](int n) {
      CAPTURE(n);
      for (const bool option : {false, true})
        f.template operator()<Geometry>(run_options{.n = n, .option = option});
    });
  };
  one.template operator()<grouped_geometry{{5, 4, 6}, 6, 3, 1, 1, 6}>();
  one.template operator()<grouped_geometry{{4, 5, 6}, 4, 2, 2, 0, 2}>();
  one.template operator()<grouped_geometry{{5, 4, 48}, 24, 3, 2, 1, 6}>();
  one.template operator()<grouped_geometry{{5, 7, 32}, 32, 3, 1, 1, 2}>();
  one.template operator()<grouped_geometry{{6, 5, 64}, 96, 3, 2, 1, 2}>();
  one.template operator()<grouped_geometry{{1, 1, 64}, 128, 1, 1, 0, 4}>();
  one.template operator()<grouped_geometry{{3, 3, 32}, 32, 2, 3, 3, 2}>();
}

}  // namespace

TEST_CASE("grouped conv ops: forward with and without bias") {
  sweep([]<grouped_geometry G>(const run_options& o) {
    CHECK(agrees_on_host(runs::grouped_conv2d_forward<G>{o}, product_tolerance(G.part().taps())));
  });
}

TEST_CASE("grouped conv ops: gradient by the input") {
  sweep([]<grouped_geometry G>(const run_options& o) {
    CHECK(agrees_on_host(runs::grouped_conv2d_backward_data<G>{o},
                         product_tolerance(G.kernel * G.kernel * G.part().filters)));
  });
}

TEST_CASE("grouped conv ops: gradient by the weights is added") {
  sweep([]<grouped_geometry G>(const run_options& o) {
    CHECK(agrees_on_host(runs::grouped_conv2d_backward_weights<G>{o},
                         product_tolerance(o.n * G.out().pixels())));
  });
}

TEST_CASE("grouped conv ops: a group of all channels is the convolution itself") {
  constexpr conv_geometry whole{{5, 7, 32}, 48, 3, 1, 1};
  constexpr grouped_geometry grouped{{5, 7, 32}, 48, 3, 1, 1, 1};
  const auto bits = [](const auto& a, const auto& b) {
    return same_bits(a(cpu_with(1)), b(cpu_with(1)));
  };
  CHECK(bits(runs::grouped_conv2d_forward<grouped>{{.n = 3, .option = true}},
             runs::conv2d_forward<whole>{{.n = 3, .option = true}}));
  CHECK(bits(runs::grouped_conv2d_backward_data<grouped>{{.n = 3}},
             runs::conv2d_backward_data<whole>{{.n = 3}}));
  CHECK(bits(runs::grouped_conv2d_backward_weights<grouped>{{.n = 3}},
             runs::conv2d_backward_weights<whole>{{.n = 3}}));
}

TEST_CASE("grouped conv ops: NaN reaches everything that depends on it, in its group alone") {
  constexpr grouped_geometry g{{4, 4, 32}, 32, 3, 1, 1, 2};
  constexpr int poison = (16 + 5) * 32 + 20;  // pixel (1, 1) of sample 1, group 1
  const runs::grouped_conv2d_forward<g> run{{.n = 3, .poison = poison}};
  CHECK(spreads_nan(run, 9 * 16));
  const auto y = run(cpu_with(1));
  CHECK(std::ranges::count_if(y, [](float v) { return std::isnan(v); }) == 9 * 16);
  CHECK(spreads_nan(runs::grouped_conv2d_backward_data<g>{{.n = 3, .poison = poison}}, 9 * 16));
  CHECK(spreads_nan(runs::grouped_conv2d_backward_weights<g>{{.n = 3, .poison = poison}}, 9 * 16));
  CHECK(spreads_nan(
      runs::grouped_conv2d_backward_weights<g>{{.n = 3, .option = true, .poison = poison}},
      9 * 16));
}
