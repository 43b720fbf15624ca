// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/kernels/gemm/launch.cuh"

#include "kernels/device.cuh"
#include "kernels/math_tolerance.hpp"

using namespace gantry;
using namespace gantry::test;
using kernels::gemm_math;
using kernels::gemm_size;

namespace {

/// Forward, both gradients, with and without their options, small and large tiles.
template <gemm_math Math, linear_geometry G>
void check_layer(std::initializer_list<int> batch_sizes) {
  for (const int n : batch_sizes)
    for (const bool option : {false, true}) {
      CAPTURE(G.in.size());
      CAPTURE(G.out);
      CAPTURE(n);
      const run_options o{.n = n, .option = option};
      CHECK(agrees_on_device<Math>(runs::linear_forward<G>{o}, math_tolerance(Math, G.in.size())));
      CHECK(agrees_on_device<Math>(runs::linear_backward_data<G>{o}, math_tolerance(Math, G.out)));
      if (!option)
        CHECK(agrees_on_device<Math>(runs::linear_backward_weights<G>{o}, math_tolerance(Math, n)));
    }
}

template <gemm_math Math>
void check_arithmetic() {
  check_layer<Math, linear_geometry{{1, 1, 1}, 1}>({1});
  check_layer<Math, linear_geometry{{1, 1, 300}, 10}>({5});      // small, the depth is shared
  check_layer<Math, linear_geometry{{1, 1, 70}, 400}>({1, 67});  // large
  check_layer<Math, linear_geometry{{3, 5, 7}, 33}>({2, 70});    // no extent is a multiple of 4
  const run_options poisoned{.n = 3, .poison = 150};
  CHECK(
      spreads_nan_on_device<Math>(runs::linear_forward<linear_geometry{{3, 5, 7}, 33}>{poisoned}));
}

}  // namespace

TEST_CASE("gemm kernels: fp32") { check_arithmetic<gemm_math::fp32>(); }
TEST_CASE("gemm kernels: tf32") { check_arithmetic<gemm_math::tf32>(); }
TEST_CASE("gemm kernels: bf16") { check_arithmetic<gemm_math::bf16>(); }
TEST_CASE("gemm kernels: bf16 in two parts") { check_arithmetic<gemm_math::bf16x3>(); }
TEST_CASE("gemm kernels: bf16 in three parts") { check_arithmetic<gemm_math::bf16x6>(); }

#if !defined(__CUDACC__)  // the emulator counts them
TEST_CASE("gemm kernels: the fragments are read without bank conflicts") {
  const auto before = simt::pool::instance().statistics().bank_conflicts;
  const run_options o{.n = 17};
  runs::linear_forward<linear_geometry{{1, 1, 64}, 64}>{o}(aligned_device<gemm_math::bf16>());
  runs::linear_forward<linear_geometry{{1, 1, 64}, 64}>{o}(aligned_device<gemm_math::bf16x6>());
  CHECK(simt::pool::instance().statistics().bank_conflicts == before);
}
#endif

// The choice of tiles, for a device of 132 multiprocessors.
static_assert(kernels::select_gemm({4096, 4096, 1024}, gemm_math::bf16, 132) ==
              kernels::gemm_choice{gemm_size::large, 1});
static_assert(kernels::select_gemm({64, 1024, 784}, gemm_math::tf32, 132) ==
              kernels::gemm_choice{gemm_size::small, 6});
static_assert(kernels::select_gemm({100000, 64, 1024}, gemm_math::bf16, 132) ==
              kernels::gemm_choice{gemm_size::small, 1});
static_assert(kernels::select_gemm({64, 10, 64}, gemm_math::fp32, 132) ==
              kernels::gemm_choice{gemm_size::small, 1});
