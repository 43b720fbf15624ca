// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/cuda/cuda.cuh"
#include "gantry/backend/reference/reference.hpp"
#include "gantry/loss/functions.hpp"

#include "support/compare.hpp"
#include "support/op_runs_flat.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

backend::cuda& device() {
  static backend::cuda b;
  return b;
}

/// The backend agrees with the reference in double; a second run gives the same bits.
template <class Run>
void check(const Run& run, tolerance t) {
  backend::reference<double> oracle;
  const auto found = run(device());
  CHECK(compare(found, run(oracle), t));
  CHECK(same_bits(run(device()), found));
}

constexpr tolerance few{1e-6, 1e-6}, statistics{2e-5, 2e-5};

struct op_without_kernel {
  static constexpr std::string_view name = "op_without_kernel";
  template <class S>
  struct params {
    typename S::scalar* y;
  };
};

}  // namespace

static_assert(Backend<backend::cuda> && Backend<backend::cuda_bf16x3>);
static_assert(backend::cuda::name == "cuda" && backend::cuda_tf32::name == "cuda_tf32");
static_assert(Implements<backend::cuda, ops::copy>);
static_assert(!Implements<backend::cuda, op_without_kernel>);

TEST_CASE("cuda: products") {
  constexpr linear_geometry dense{{3, 5, 7}, 33};
  constexpr conv_geometry conv{{7, 5, 3}, 6, 4, 2, 1};
  for (const bool option : {false, true}) {
    const run_options o{.n = 3, .option = option};
    check(runs::linear_forward<dense>{o}, product_tolerance(dense.in.size()));
    check(runs::linear_backward_data<dense>{o}, product_tolerance(dense.out));
    check(runs::linear_backward_weights<dense>{o}, product_tolerance(o.n));
    check(runs::conv2d_forward<conv>{o}, product_tolerance(conv.taps()));
    check(runs::conv2d_backward_data<conv>{o}, product_tolerance(conv.taps()));
    check(runs::conv2d_backward_weights<conv>{o}, product_tolerance(o.n * conv.out().pixels()));
  }
}

namespace {

/// y = tanh(W x + bias), with what `between` does before the activation.
template <class F>
std::pair<std::vector<float>, std::size_t> layer(backend::cuda& b, const F& between) {
  static constexpr linear_geometry g{{3, 5, 7}, 33};
  const run_options o{.n = 3};
  const auto x = runs::clean_batch<g.in>(b, o, 1);
  const auto weight = runs::numbers(b, g.weights(), 2), bias = runs::numbers(b, g.out, 3);
  const device_batch<backend::cuda, hwc{1, 1, g.out}> y(b, o.n);
  float* const data = y.view().data;
  b.synchronize();
  const std::size_t before = b.launches();
  launch(b, ops::linear_forward<g>{}, {x.view(), weight.data(), bias.data(), y.view()});
  between(data);
  launch(b, ops::activation_forward<function::tanh>{},
         {data, data, nhwc::elements(hwc{1, 1, g.out}, o.n), {}});
  auto found = y.read();
  return {found, b.launches() - before};
}

}  // namespace

TEST_CASE("cuda: an activation is part of the product before it, with the same bits") {
  backend::cuda fused, apart(backend::cuda_options{.fuse = false});
  const auto nothing = [](float*) {};
  const auto [expected, two] = layer(apart, nothing);
  CHECK(two == 2);
  const auto [found, one] = layer(fused, nothing);
  CHECK(same_bits(found, expected));
  CHECK(one == 1);
  const auto other = fused.allocate(1);
  const auto [after, three] = layer(fused, [&](float*) {
    launch(fused, ops::fill{}, {other.data(), 1, 1.0f});
  });
  CHECK(same_bits(after, expected));
  CHECK(three == 3);  // something else came between
  std::vector<float> seen(1);
  const auto [read, again] = layer(fused, [&](float* y) { fused.download(y, seen); });
  CHECK(same_bits(read, expected));
  CHECK(std::tanh(seen[0]) == doctest::Approx(expected[0]));  // the host saw the product's result
  CHECK(again == 2);
}

namespace {

/// f of a batch norm's results, which a product reads after `between`; all three, and the launches.
template <class Function, class F>
std::pair<std::vector<float>, std::size_t> normed(backend::cuda& b, const Function& f,
                                                  const F& between) {
  static constexpr hwc shape{1, 3, 8};
  static constexpr linear_geometry g{shape, 33};
  const run_options o{.n = 5};
  const auto x = runs::clean_batch<shape>(b, o, 1);
  const auto weight = runs::numbers(b, g.weights(), 2);
  const auto gamma = runs::numbers(b, shape.c, 3), beta = runs::numbers(b, shape.c, 4);
  const auto mean = runs::numbers(b, shape.c, 5), variance = runs::numbers(b, shape.c, 6);
  const device_array<backend::cuda> saved(b, shape.c), inverse(b, shape.c);
  const device_batch<backend::cuda, shape> z(b, o.n);
  const device_batch<backend::cuda, hwc{1, 1, g.out}> y(b, o.n);
  b.synchronize();
  const std::size_t before = b.launches();
  launch(b, ops::batch_norm_forward<shape>{},
         {x.view(), gamma.data(), beta.data(), mean.data(), variance.data(), saved.data(),
          inverse.data(), z.view(), 0.1f, 1e-5f, false});
  float* const data = z.view().data;
  launch(b, ops::activation_forward<Function>{}, {data, data, nhwc::elements(shape, o.n), f});
  between(data);
  launch(b, ops::linear_forward<g>{}, {z.view(), weight.data(), nullptr, y.view()});
  auto found = joined({y.read(), z.read()});
  return {found, b.launches() - before};
}

}  // namespace

TEST_CASE("cuda: a product takes in the batch norm that it reads, with the same bits") {
  backend::cuda fused, apart(backend::cuda_options{.fuse = false});
  const auto nothing = [](float*) {};
  constexpr function::leaky_relu leaky{0.2f};
  const auto [expected, four] = normed(apart, leaky, nothing);
  CHECK(four == 4);
  const auto [found, two] = normed(fused, leaky, nothing);
  CHECK(same_bits(found, expected));
  CHECK(two == 2);  // its statistics, and all else
  const auto other = fused.allocate(1);
  const auto [after, between] = normed(fused, leaky, [&](float*) {
    launch(fused, ops::fill{}, {other.data(), 1, 1.0f});
  });
  CHECK(same_bits(after, expected));
  CHECK(between == 4);
  const auto [bent, three] = normed(fused, function::tanh{}, nothing);
  CHECK(same_bits(bent, normed(apart, function::tanh{}, nothing).first));
  CHECK(three == 3);  // too much for a load
}

namespace {

/// The gradients of a batch norm and of the weights before it; dx, dweight, and the launches.
std::pair<std::vector<float>, std::size_t> norm_gradients(backend::cuda& b) {
  static constexpr hwc shape{1, 3, 8};
  static constexpr linear_geometry g{{1, 1, 5}, shape.size()};
  const run_options o{.n = 6};
  const auto x = runs::clean_batch<shape>(b, o, 1), dy = runs::clean_batch<shape>(b, o, 2);
  const auto in = runs::clean_batch<g.in>(b, o, 3);
  const auto gamma = runs::numbers(b, shape.c, 4), mean = runs::numbers(b, 2 * shape.c, 5);
  const auto inverse = runs::numbers(b, 2 * shape.c, 6), dgamma = runs::numbers(b, shape.c, 7);
  const auto dbeta = runs::numbers(b, shape.c, 8), dweight = runs::numbers(b, g.weights(), 9);
  const device_batch<backend::cuda, shape> dx(b, o.n);
  b.synchronize();
  const std::size_t before = b.launches();
  launch(b, ops::batch_norm_backward<shape>{},
         {x.view(), dy.view(), gamma.data(), mean.data(), inverse.data(), dx.view(), dgamma.data(),
          dbeta.data(), false, true});
  launch(b, ops::linear_backward_weights<g>{}, {in.view(), dx.view(), dweight.data()});
  auto found = joined({dweight.read(), dx.read(), dgamma.read(), dbeta.read()});
  return {found, b.launches() - before};
}

}  // namespace

TEST_CASE("cuda: a weight gradient takes in the batch norm's that it reads, with the same bits") {
  backend::cuda fused, apart(backend::cuda_options{.fuse = false});
  const auto [expected, apart_launches] = norm_gradients(apart);
  const auto [found, launches] = norm_gradients(fused);
  CHECK(same_bits(found, expected));
  CHECK(apart_launches == 4);  // the sums of either half, the pass, the product
  CHECK(launches == 3);
}

namespace {

/// The gradient of a layer f(first(x)), where `first` is a mask or a copy, and its launches.
template <class First>
std::pair<std::vector<float>, std::size_t> masked(backend::cuda& b, const First& first) {
  static constexpr hwc shape{3, 5, 7};
  const run_options o{.n = 3};
  const auto x = runs::clean_batch<shape>(b, o, 1), gate = runs::clean_batch<shape>(b, o, 2);
  const device_batch<backend::cuda, shape> dx(b, o.n);
  b.synchronize();
  const std::size_t before = b.launches(), count = nhwc::elements(shape, o.n);
  first(x.view(), dx.view(), count);
  launch(b, ops::activation_backward<function::leaky_relu>{},
         {gate.view().data, dx.view().data, dx.view().data, count, {0.2f}});
  auto found = dx.read();
  return {found, b.launches() - before};
}

/// What three arrays hold that are cleared one after the other, and the launches.
std::pair<std::vector<float>, std::size_t> clear_three(backend::cuda& b, std::size_t first,
                                                       std::size_t second, float value) {
  const auto x = runs::numbers(b, first, 1), y = runs::numbers(b, second, 2);
  const auto losses = runs::numbers(b, 2, 3);
  b.synchronize();
  const std::size_t before = b.launches();
  launch(b, ops::fill{}, {x.data(), first, value});
  launch(b, ops::clear{}, {y.data(), second, losses.data(), 2});
  auto found = joined({x.read(), y.read(), losses.read()});
  return {found, b.launches() - before};
}

}  // namespace

TEST_CASE("cuda: a mask or a copy takes in the derivative behind it, with the same bits") {
  backend::cuda fused, apart(backend::cuda_options{.fuse = false});
  const auto check_both = [&](const auto& first) {
    const auto in = [&](backend::cuda& b) {
      return masked(b, [&](auto from, auto to, std::size_t n) { first(b, from, to, n); });
    };
    const auto [expected, two] = in(apart);
    const auto [found, one] = in(fused);
    CHECK(same_bits(found, expected));
    CHECK(two == 2);
    CHECK(one == 1);
  };
  check_both([](backend::cuda& b, auto from, auto to, std::size_t) {
    launch(b, ops::dropout<hwc{3, 5, 7}>{}, {from, to, 0.4f, {.seed = 3, .use = purpose::dropout}});
  });
  check_both([](backend::cuda& b, auto from, auto to, std::size_t n) {
    launch(b, ops::copy{}, {from.data, to.data, n});
  });
}

TEST_CASE("cuda: arrays of two networks are cleared in one kernel") {
  backend::cuda b;
  for (const auto& [first, second] :
       {std::pair<std::size_t, std::size_t>{1003, 510}, {510, 1003}, {1, 7}}) {
    const auto [found, one] = clear_three(b, first, second, 0);
    CHECK(same_bits(found, std::vector<float>(first + second + 2, 0.0f)));
    CHECK(one == 1);
  }
  const auto [ones, two] = clear_three(b, 5, 7, 1);
  std::vector<float> expected(5 + 7 + 2, 0.0f);
  std::fill_n(expected.begin(), 5, 1.0f);
  CHECK(same_bits(ones, expected));
  CHECK(two == 2);
}

TEST_CASE("cuda: batch norm") {
  constexpr hwc shape{3, 5, 7};
  const run_options o{.n = 3};
  check(runs::batch_norm_forward<shape>{o}, statistics);
  check(runs::batch_norm_inference<shape>{o}, statistics);
  check(runs::batch_norm_backward<shape>{o}, statistics);
  check(runs::channel_sum<shape>{o}, statistics);
}

TEST_CASE("cuda: numbers one by one") {
  for (const bool option : {false, true}) {
    const run_options o{.n = 101, .option = option};
    check(runs::activation_forward<function::tanh>{o}, few);
    check(runs::activation_backward<function::leaky_relu>{o, {0.2f}}, few);
    check(runs::adam_step{o}, few);
    check(runs::sgd_step{o}, few);
  }
  const run_options o{.n = 101};
  check(runs::accumulate{o}, few);
  check(runs::copy{o}, {});
  check(runs::fill{o}, {});
  check(runs::clamp{o}, {});
  check(runs::rmsprop_step{o}, few);
  check(runs::ema_step{o}, few);
  check(runs::dropout<hwc{3, 5, 7}>{{.n = 3}}, few);
  check(runs::loss_term<loss::cross_entropy_real>{o}, {2e-6, 2e-6});
}

TEST_CASE("cuda: samples there and back, and with other extents") {
  check(runs::there_and_back<hwc{3, 5, 7}>{{.n = 3}}, {});
  for (const bool in_place : {false, true})
    check(runs::reshape<hwc{3, 5, 7}, hwc{1, 15, 7}>{{.n = 3, .option = in_place}}, {});
}
