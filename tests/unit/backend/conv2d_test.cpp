// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "support/host_backends.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

template <conv_geometry... G, class F>
void for_each_geometry(F&& f) {
  const auto one = [&]<conv_geometry Geometry>() {
    CAPTURE(Geometry.in.h);
    CAPTURE(Geometry.in.w);
    CAPTURE(Geometry.in.c);
    CAPTURE(Geometry.filters);
    CAPTURE(Geometry.kernel);
    CAPTURE(Geometry.stride);
    CAPTURE(Geometry.pad);
    for_each_batch_size([&](int n) {
      CAPTURE(n);
      for (const bool option : {false, true})
        f.template operator()<Geometry>(run_options{.n = n, .option = option});
    });
  };
  (one.template operator()<G>(), ...);
}

/// {in}, filters, kernel, stride, pad: kernels 1 to 5, strides 1 to 3, padding from none to more
/// than the kernel, pixels that no window reaches, one pixel, more images than a piece of work
/// holds; fewer than 16 channels on both sides, on either side, on none; whole and cut blocks of
/// 16.
template <class F>
void sweep(F&& f) {
  for_each_geometry<conv_geometry{{1, 1, 1}, 1, 1}, conv_geometry{{1, 1, 3}, 2, 5, 3, 2},
                    conv_geometry{{4, 3, 5}, 3, 1}, conv_geometry{{5, 4, 2}, 3, 1, 2},
                    conv_geometry{{3, 2, 1}, 2, 1, 1, 1}, conv_geometry{{4, 5, 3}, 1, 2},
                    conv_geometry{{5, 3, 2}, 2, 2, 3, 1}, conv_geometry{{6, 7, 4}, 5, 3, 1, 1},
                    conv_geometry{{8, 5, 2}, 3, 3, 2}, conv_geometry{{8, 6, 3}, 17, 4, 2, 1},
                    conv_geometry{{4, 4, 19}, 1, 4}, conv_geometry{{7, 9, 1}, 2, 5, 3, 2},
                    conv_geometry{{5, 6, 1}, 2, 5, 1, 4}, conv_geometry{{14, 14, 16}, 4, 5, 1, 2},
                    conv_geometry{{6, 5, 16}, 16, 4, 2, 1}, conv_geometry{{5, 7, 20}, 33, 3, 2, 1},
                    conv_geometry{{4, 3, 48}, 18, 3, 1, 1}, conv_geometry{{4, 4, 32}, 100, 4, 1},
                    conv_geometry{{9, 8, 3}, 35, 5, 2, 2}, conv_geometry{{5, 5, 2}, 16, 2, 3, 2},
                    conv_geometry{{2, 3, 528}, 17, 1}, conv_geometry{{4, 4, 17}, 2, 4},
                    conv_geometry{{3, 3, 16}, 16, 3, 2, 4}>(f);
}

}  // namespace

TEST_CASE("conv ops: forward with and without bias") {
  sweep([]<conv_geometry G>(const run_options& o) {
    CHECK(products_agree(runs::conv2d_forward<G>{o}, product_tolerance(G.taps())));
  });
}

TEST_CASE("conv ops: gradient by the input with and without bias") {
  sweep([]<conv_geometry G>(const run_options& o) {
    CHECK(products_agree(runs::conv2d_backward_data<G>{o},
                         product_tolerance(G.kernel * G.kernel * G.filters)));
  });
}

TEST_CASE("conv ops: gradient by the weights is added") {
  sweep([]<conv_geometry G>(const run_options& o) {
    CHECK(products_agree(runs::conv2d_backward_weights<G>{o},
                         product_tolerance(o.n * G.out().pixels())));
  });
}

/// Geometries of Winograd's forms: odd results along both axes or one, cut groups of columns; 3
/// x 3.
template <class F>
void winograd_sweep(F&& f) {
  for_each_geometry<conv_geometry{{7, 6, 80}, 64, 3, 1, 1},
                    conv_geometry{{10, 14, 80}, 64, 4, 2, 1},
                    conv_geometry{{8, 10, 64}, 336, 4, 2, 1}>(f);
}

/// Transformed numbers are sums of up to four, so more is allowed than for a direct sum; typical
/// errors are a direct sum's (docs/05_cpu_kernels.md).
tolerance widened(tolerance t) { return {4 * t.relative, 4 * t.absolute}; }

TEST_CASE("conv ops: minimal filtering, within four times the direct sums' tolerance") {
  winograd_sweep([]<conv_geometry G>(const run_options& o) {
    static_assert(backend::detail::fits_winograd(G) || backend::detail::fits_winograd_3x3(G),
                  "this geometry has a minimal form");
    if (o.n == 2 || o.n == 5 || (o.option && o.n != 3)) return;  // the reference takes its time
    CHECK(agrees_on_host(runs::conv2d_forward<G>{o}, widened(product_tolerance(G.taps()))));
    CHECK(agrees_on_host(runs::conv2d_backward_data<G>{o},
                         widened(product_tolerance(G.kernel * G.kernel * G.filters))));
    CHECK(agrees_on_host(runs::conv2d_backward_weights<G>{o},
                         widened(product_tolerance(o.n * G.out().pixels()))));
  });
}

TEST_CASE("conv ops: minimal filtering can be switched off") {
  constexpr conv_geometry g{{8, 8, 64}, 64, 4, 2, 1};
  const run_options o{.n = 3};
  backend::cpu direct(1), minimal(1);
  direct.minimal_filtering = false;
  const auto allowed = widened(product_tolerance(g.taps()));
  const auto a = runs::conv2d_forward<g>{o}(direct), b = runs::conv2d_forward<g>{o}(minimal);
  CHECK(compare(a, b, allowed));
  CHECK_FALSE(same_bits(a, b));
}

TEST_CASE("conv ops: NaN reaches everything that depends on it") {
  // Pixel (3, 2) of 8 x 6 is seen by 2 x 2 windows of 4 x 4 with stride 2 and pad 1.
  constexpr conv_geometry g{{8, 6, 3}, 5, 4, 2, 1};
  constexpr int pixel = (8 * 6 + 3 * 6 + 2) * 3;  // in the second sample
  CHECK(spreads_nan(runs::conv2d_forward<g>{{.n = 3, .poison = pixel}}, 4 * 5));
  CHECK(spreads_nan(runs::conv2d_backward_weights<g>{{.n = 3, .poison = pixel}}, 4 * 5));
  // Output pixel (1, 1) of 4 x 3 reads 16 pixels, all inside.
  constexpr int out = (4 * 3 + 1 * 3 + 1) * 5;
  CHECK(spreads_nan(runs::conv2d_backward_data<g>{{.n = 3, .poison = out}}, 16 * 3));
  CHECK(spreads_nan(runs::conv2d_backward_weights<g>{{.n = 3, .option = true, .poison = out}},
                    16 * 3));
}
