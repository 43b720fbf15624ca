// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/kernels/conv2d/launch.cuh"

#include "kernels/device.cuh"
#include "kernels/math_tolerance.hpp"

using namespace gantry;
using namespace gantry::test;
using kernels::gemm_math;

namespace {

/// All passes of one geometry.
template <gemm_math Math, conv_geometry G>
void check_geometry(std::initializer_list<int> batch_sizes) {
  CAPTURE(G.in.h);
  CAPTURE(G.in.c);
  CAPTURE(G.filters);
  CAPTURE(G.kernel);
  CAPTURE(G.stride);
  for (const int n : batch_sizes) {
    CAPTURE(n);
    const run_options plain{.n = n}, with_bias{.n = n, .option = true};
    const auto taps = math_tolerance(Math, G.taps());
    CHECK(agrees_on_device<Math>(runs::conv2d_forward<G>{with_bias}, taps));
    CHECK(agrees_on_device<Math>(runs::conv2d_backward_data<G>{plain},
                                 math_tolerance(Math, G.kernel * G.kernel * G.filters)));
    CHECK(agrees_on_device<Math>(runs::conv2d_backward_weights<G>{plain},
                                 math_tolerance(Math, n * G.out().pixels())));
  }
}

constexpr conv_geometry down{{8, 6, 8}, 12, 4, 2, 1};  // a DCGAN's layer, small

}  // namespace

TEST_CASE("conv2d kernels: odd geometries in fp32") {
  constexpr auto math = gemm_math::fp32;
  check_geometry<math, conv_geometry{{1, 1, 1}, 1, 1}>({1});
  check_geometry<math, conv_geometry{{5, 7, 3}, 5, 3, 1, 1}>({1, 3});
  check_geometry<math, conv_geometry{{6, 5, 4}, 8, 3, 2, 1}>({2});  // taps per phase differ
  check_geometry<math, conv_geometry{{7, 6, 2}, 3, 5, 3, 2}>({2});  // phases of different extent
  check_geometry<math, conv_geometry{{5, 5, 4}, 4, 1, 2}>({2});     // phases without a tap
  check_geometry<math, conv_geometry{{4, 4, 20}, 70, 4}>({3});      // to one pixel
}

TEST_CASE("conv2d kernels: 4 x 4 with stride 2 in every arithmetic, both directions") {
  check_geometry<gemm_math::fp32, down>({1, 5});
  check_geometry<gemm_math::tf32, down>({2});
  check_geometry<gemm_math::bf16, down>({2});
  check_geometry<gemm_math::bf16x6, down>({2});
  // With a bias it is the forward of a transposed convolution.
  for (const int n : {1, 3})
    CHECK(agrees_on_device(runs::conv2d_backward_data<down>{{.n = n, .option = true}},
                           product_tolerance(4 * down.filters)));
}

TEST_CASE("conv2d kernels: NaN reaches all that it touches and nothing else") {
  const run_options o{.n = 2, .poison = 101};
  CHECK(spreads_nan_on_device(runs::conv2d_forward<down>{o}));
  CHECK(spreads_nan_on_device(runs::conv2d_backward_data<down>{o}));
  CHECK(spreads_nan_on_device(runs::conv2d_backward_weights<down>{o}));
}

// Four phases of 2 x 2 taps: no product with a zero between the pixels.
static_assert(kernels::conv_backward_data_shape({{64, 64, 3}, 64, 4, 2, 1}, 1).phases == 4);
static_assert(kernels::conv_backward_data_shape({{64, 64, 3}, 64, 4, 2, 1}, 1).depth == 4 * 64);
static_assert(kernels::conv_backward_data_shape({{64, 64, 3}, 64, 4, 2, 1}, 1).rows == 32 * 32);
