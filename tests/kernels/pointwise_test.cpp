// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/kernels/philox/launch.cuh"
#include "gantry/kernels/pointwise/launch.cuh"
#include "gantry/loss/functions.hpp"

#include "kernels/device.cuh"

using namespace gantry;
using namespace gantry::test;

namespace {

template <class F>
void for_each_count(F&& f) {
  for (const int n : {1, 3, 4, 1003, 26000}) {
    CAPTURE(n);
    for (const bool option : {false, true}) f(run_options{.n = n, .option = option});
  }
}

constexpr tolerance exact{}, few{1e-6, 5e-7};
/// 1 - y^2 is off by a rounding of 1, times gradients of up to 100.
constexpr tolerance backward{1e-6, 1e-5};

template <class F>
F sample() {
  F f{};
  if constexpr (requires { f.slope; }) f.slope = 0.2f;
  if constexpr (requires { f.target; }) f.target = 0.9f;
  if constexpr (requires { f.sign; }) f.sign = -1;
  if constexpr (requires { f.factor; }) f.factor = -1.5f;
  return f;
}

/// Each thread writes a number; the last block adds them up.
struct late_args {
  float *numbers, *sum;
  unsigned* tickets;  ///< blocks that have finished, and those that have left the function
};

/// Thread 0 of the first block is early, its last thread late: until the other blocks are through,
/// or for a while where nothing else runs beside it.
template <int Threads>
__global__ void __launch_bounds__(Threads) late_kernel(const __grid_constant__ late_args a) {
  __shared__ bool flag;
  if (blockIdx.x == 0 && threadIdx.x == Threads - 1)
    for (int i = 0; i < 4000 && atomicAdd(a.tickets + 1, 0u) < gridDim.x - 1; ++i)
      __nanosleep(1000);
  a.numbers[blockIdx.x * Threads + threadIdx.x] = 1;
  if (kernels::is_last_block(a.tickets, gridDim.x, flag) && threadIdx.x == 0) {
    float sum = 0;
    for (unsigned i = 0; i < gridDim.x * Threads; ++i) sum += a.numbers[i];
    *a.sum = sum;
  }
  if (threadIdx.x == 0) atomicAdd(a.tickets + 1, 1u);
}

}  // namespace

TEST_CASE("sums over blocks: the last one sees what all threads of the others wrote") {
  auto& b = aligned_device();
  constexpr int threads = 1024;
  constexpr unsigned blocks = 8;  // enough for the emulator to use more than one of its threads
  const device_array<device_backend> numbers(b, std::size_t{blocks * threads}),
      sum(b, std::size_t{1}), tickets(b, std::vector<float>{0, 0});
  start(b.context(), late_kernel<threads>, {dim3(blocks), threads},
        {numbers.data(), sum.data(), reinterpret_cast<unsigned*>(tickets.data())});
  CHECK(sum.read()[0] == blocks * threads);
}

TEST_CASE_TEMPLATE("pointwise kernels: activations, apart and in place", f, function::relu,
                   function::leaky_relu, function::tanh, function::sigmoid) {
  for_each_count([](const run_options& o) {
    CHECK(agrees_on_device(runs::activation_forward<f>{o, sample<f>()}, few));
    CHECK(agrees_on_device(runs::activation_backward<f>{o, sample<f>()}, backward));
  });
  const run_options poisoned{.n = 37, .poison = 36};
  CHECK(spreads_nan_on_device(runs::activation_forward<f>{poisoned, sample<f>()}));
  CHECK(spreads_nan_on_device(runs::activation_backward<f>{poisoned, sample<f>()}));
}

TEST_CASE("pointwise kernels: copies and sums") {
  for_each_count([](const run_options& o) {
    CHECK(agrees_on_device(runs::copy{o}, exact));
    CHECK(agrees_on_device(runs::accumulate{o}, few));
    CHECK(agrees_on_device(runs::fill{o}, exact));
    CHECK(agrees_on_device(runs::clamp{o}, exact));
  });
  CHECK(spreads_nan_on_device(runs::clamp{{.n = 37, .poison = 36}}));
}

TEST_CASE_TEMPLATE("pointwise kernels: loss terms and their seeds", f, loss::cross_entropy_real,
                   loss::cross_entropy_fake, loss::half_square, loss::margin) {
  for (const int n : {1, 64, 257, 5000}) {
    CAPTURE(n);
    CHECK(agrees_on_device(runs::loss_term<f>{{.n = n}, sample<f>()}, {2e-6, 2e-6}));
  }
  CHECK(spreads_nan_on_device(runs::loss_term<f>{{.n = 300, .poison = 299}, sample<f>()}));
}

TEST_CASE("pointwise kernels: both terms of a discriminator's loss in one kernel") {
  using margins = runs::two_loss_terms<loss::margin, loss::cross_entropy_fake>;
  for (const int n : {1, 64, 5000})
    CHECK(agrees_on_device(margins{{.n = n}, {1.0f}, {}}, {2e-6, 2e-6}));
  CHECK(spreads_nan_on_device(margins{{.n = 300, .poison = 299}, {1.0f}, {}}));
}

TEST_CASE("pointwise kernels: two arrays are cleared in one launch") {
  for (device_backend* b : {&aligned_device(), &shifted_device()})
    for (const std::size_t n : {2u, 5u, 1003u}) {
      const device_array<device_backend> y(*b, n), more(*b, 2);
      launch(b->context(), ops::clear{}, {y.data(), n, more.data(), 2});
      CHECK(y.read() == std::vector<float>(n, 0.0f));
      CHECK(more.read() == std::vector<float>(2, 0.0f));
    }
}

TEST_CASE("philox kernels: the streams of base/rng.hpp, number for number") {
  constexpr stream_id id{
      .seed = 0x123456789abcdefu, .step = 7, .worker = 3, .use = purpose::latent};
  for (device_backend* b : {&aligned_device(), &shifted_device()})
    for (const std::size_t n : {1u, 3u, 4u, 6u, 1003u, 26001u}) {
      CAPTURE(n);
      std::vector<float> expected(n);
      fill_normal(std::span<float>(expected), id);
      const device_array<device_backend> normal(*b, n), uniform(*b, n);
      kernels::fill_normal(b->context(), {normal.data(), n, {id, nullptr}});
      CHECK(compare(normal.read(), expected, {1.2e-7, 1e-12}));
      kernels::fill_uniform(b->context(), {uniform.data(), n, {id, nullptr}});
      random_sequence sequence(id);
      for (float& v : expected) v = sequence.uniform();
      CHECK(same_bits(uniform.read(), expected));
    }
}

TEST_CASE("philox kernels: the step may lie in device memory") {
  auto& b = aligned_device();
  constexpr std::size_t n = 100;
  stream_id id{.seed = 1, .use = purpose::latent};
  const device_array<device_backend> y(b, n), step(b, std::vector<float>{std::bit_cast<float>(9u)});
  kernels::fill_uniform(b.context(),
                        {y.data(), n, {id, reinterpret_cast<const std::uint32_t*>(step.data())}});
  id.step = 9;
  random_sequence sequence(id);
  std::vector<float> expected(n);
  for (float& v : expected) v = sequence.uniform();
  CHECK(same_bits(y.read(), expected));
}

TEST_CASE("philox kernels: dropout draws the reference's mask") {
  for (const int n : {1, 3, 17})
    for (const bool in_place : {false, true}) {
      const run_options o{.n = n, .option = in_place};
      CHECK(agrees_on_device(runs::dropout<hwc{3, 5, 7}>{o, 0.5f}, few));
      CHECK(agrees_on_device(runs::dropout<hwc{1, 1, 1}>{o, 0.3f}, few));
      CHECK(agrees_on_device(runs::dropout<hwc{16, 16, 8}>{o, 0.1f}, few));
    }
}

TEST_CASE("philox kernels: the second batch of a pair draws from a stream of its own") {
  for (const int n : {2, 8}) {  // 105 numbers to a batch, which no pack ends with, and 420
    CHECK(agrees_on_device(runs::dropout<hwc{3, 5, 7}>{{.n = n}, 0.5f, true}, few));
    CHECK(agrees_on_device(runs::dropout<hwc{3, 5, 7}>{{.n = n, .option = true}, 0.5f, true}, few));
  }
}
