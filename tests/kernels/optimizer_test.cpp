// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/kernels/optimizer/launch.cuh"

#include "kernels/device.cuh"

using namespace gantry;
using namespace gantry::test;

namespace {

/// Less than a pack, whole packs, a tail, and more than one turn of the grid.
constexpr int counts[] = {1, 3, 4, 1003, 13000};
constexpr tolerance rounding{1e-5, 1e-6};

}  // namespace

TEST_CASE("optimizer kernels: updates agree with the reference") {
  for (const int n : counts) {
    CAPTURE(n);
    for (const bool option : {false, true}) {
      const run_options o{.n = n, .option = option};
      CHECK(agrees_on_device(runs::adam_step{{o}}, rounding));
      CHECK(agrees_on_device(runs::sgd_step{{o}}, rounding));
    }
    CHECK(agrees_on_device(runs::rmsprop_step{{run_options{.n = n}}}, rounding));
    CHECK(agrees_on_device(runs::ema_step{{run_options{.n = n}}}, rounding));
  }
}

TEST_CASE("optimizer kernels: a NaN gradient reaches the weight and its state") {
  const run_options o{.n = 37, .option = true, .poison = 33};
  CHECK(spreads_nan_on_device(runs::adam_step{{o}}));
  CHECK(spreads_nan_on_device(runs::sgd_step{{o}}));
  CHECK(spreads_nan_on_device(runs::rmsprop_step{{o}}));
  CHECK(spreads_nan_on_device(runs::ema_step{{o}}));
}

TEST_CASE("optimizer kernels: Adam writes its weights in bf16, too") {
  auto& b = aligned_device();
  constexpr int n = 1003;
  const auto weight = runs::numbers(b, n, 1), gradient = runs::numbers(b, n, 2);
  const device_array<device_backend> first(b, std::vector<float>(n)),
      second(b, std::vector<float>(n));
  const device_buffer half((n + 1) / 2, 0);
  launch(b.context(),
         kernels::adam_and_copies{{weight.data(), gradient.data(), first.data(), second.data(), n,
                                   0.1f, 0.5f, 0.9f, 1e-8f, 0.5, 0.1},
                                  reinterpret_cast<__nv_bfloat16*>(half.data())});
  std::vector<__nv_bfloat16> found(n);
  kernels::check(
      cudaMemcpy(found.data(), half.data(), n * sizeof(__nv_bfloat16), cudaMemcpyDeviceToHost),
      "cudaMemcpy");
  std::vector<float> rounded, expected = weight.read();
  for (float& v : expected) v = __bfloat162float(__float2bfloat16_rn(v));
  for (const auto v : found) rounded.push_back(__bfloat162float(v));
  CHECK(same_bits(rounded, expected));
}
