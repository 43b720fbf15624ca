// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "support/host_backends.hpp"
#include "support/op_runs_flat.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

/// Around vector lengths, and more than a piece of work (16384).
template <class F>
void for_each_count(F&& f) {
  for (const int n : {1, 3, 4, 15, 17, 1000, 16384, 40001}) {
    CAPTURE(n);
    for (const bool option : {false, true}) f(run_options{.n = n, .option = option});
  }
}

template <class F>
void for_each_shape(F&& f) {
  const auto one = [&]<hwc Shape>() {
    CAPTURE(Shape.size());
    for_each_batch_size([&](int n) {
      CAPTURE(n);
      for (const bool option : {false, true})
        f.template operator()<Shape>(run_options{.n = n, .option = option});
    });
  };
  one.template operator()<hwc{1, 1, 1}>();
  one.template operator()<hwc{3, 5, 7}>();
  one.template operator()<hwc{28, 28, 3}>();
  one.template operator()<hwc{64, 64, 5}>();
  one.template operator()<hwc{2, 3, 20}>();
  one.template operator()<hwc{2, 2, 32}>();
}

/// One rounding, or a few in a polynomial.
constexpr tolerance exact{}, few{1e-6, 5e-7};
/// 1 - y^2 is off by a rounding of 1, times gradients of up to 100.
constexpr tolerance backward{1e-6, 1e-5};

}  // namespace

TEST_CASE_TEMPLATE("pointwise ops: activations, apart and in place", f, function::relu,
                   function::leaky_relu, function::tanh, function::sigmoid) {
  f function{};
  if constexpr (requires { function.slope; }) function.slope = 0.2f;
  for_each_count([&](const run_options& o) {
    CHECK(agrees_on_host(runs::activation_forward<f>{o, function}, few));
    CHECK(agrees_on_host(runs::activation_backward<f>{o, function}, backward));
  });
}

TEST_CASE_TEMPLATE("pointwise ops: no activation swallows NaN", f, function::relu,
                   function::leaky_relu, function::tanh, function::sigmoid) {
  // In a vector's lanes and behind the last whole vector.
  for (const int poison : {0, 5, 14, 15, 16, 36})
    for (const bool in_place : {false, true}) {
      const run_options o{.n = 37, .option = in_place, .poison = poison};
      CHECK(spreads_nan(runs::activation_forward<f>{o}, 1));
      CHECK(spreads_nan(runs::activation_backward<f>{o}, 1));
    }
}

TEST_CASE("pointwise ops: tanh and sigmoid of large numbers and infinities") {
  constexpr float inf = std::numeric_limits<float>::infinity();
  std::vector<float> x{-inf, -1e30f, -100, -20, -9, 9, 20, 100, 1e30f, inf}, y(x.size());
  launch(cpu_with(1), ops::activation_forward<function::tanh>{},
         {x.data(), y.data(), x.size(), {}});
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(close(y[i], i < 5 ? -1 : 1, {0, 1e-6}));
  for (const float v : y) CHECK(std::abs(v) <= 1.0f);
  launch(cpu_with(1), ops::activation_forward<function::sigmoid>{},
         {x.data(), y.data(), x.size(), {}});
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(close(y[i], i < 5 ? 0 : 1, {0, 2e-4}));
}

TEST_CASE("pointwise ops: tanh of small numbers keeps their digits") {
  std::vector<float> x, y(60), expected;
  for (int i = 0; i < 60; ++i)
    x.push_back((i % 2 ? -1.0f : 1.0f) * std::pow(10.0f, -0.1f * static_cast<float>(i)));
  for (const float v : x) expected.push_back(static_cast<float>(std::tanh(static_cast<double>(v))));
  launch(cpu_with(1), ops::activation_forward<function::tanh>{},
         {x.data(), y.data(), x.size(), {}});
  CHECK(compare(y, expected, {1e-6, 0}));
}

TEST_CASE("pointwise ops: dropout draws the reference's mask, apart and in place") {
  for_each_shape([]<hwc S>(const run_options& o) {
    CHECK(agrees_on_host(runs::dropout<S>{o}, few));
    CHECK(agrees_on_host(runs::dropout<S>{o, 0.1f}, few));
    CHECK(agrees_on_host(runs::dropout<S>{o, 0.0f}, exact));
  });
  // Nothing is dropped, so NaN stays.
  CHECK(spreads_nan(runs::dropout<hwc{3, 5, 7}>{{.n = 2, .poison = 11}, 0.0f}, 1));
}

TEST_CASE("pointwise ops: accumulate, copy, fill, clamp") {
  for_each_count([](const run_options& o) {
    CHECK(agrees_on_host(runs::accumulate{o}, few));
    CHECK(agrees_on_host(runs::copy{o}, exact));
    CHECK(agrees_on_host(runs::fill{o}, exact));
    CHECK(agrees_on_host(runs::clamp{o}, exact));
  });
  const run_options o{.n = 37, .poison = 20};
  CHECK(spreads_nan(runs::accumulate{o}, 1));
  CHECK(spreads_nan(runs::copy{o}, 1));
  CHECK(spreads_nan(runs::clamp{o}, 1));
  const runs::fill with_nan{o, quiet_nan};
  CHECK(spreads_nan(with_nan, 37));
}

TEST_CASE("pointwise ops: clamp bounds both sides") {
  std::vector<float> y{-2, -0.5f, -0.25f, 0, 0.25f, 0.5f, 2};
  launch(cpu_with(1), ops::clamp{}, {y.data(), y.size(), 0.5f});
  CHECK(y == std::vector<float>{-0.5f, -0.5f, -0.25f, 0, 0.25f, 0.5f, 0.5f});
}

TEST_CASE("pointwise ops: samples go into the backend's layout and back") {
  for_each_shape([]<hwc S>(const run_options& o) {
    CHECK(agrees_on_host(runs::there_and_back<S>{o}, exact));
  });
  CHECK(spreads_nan(runs::there_and_back<hwc{3, 5, 7}>{{.n = 2, .poison = 11}}, 1));
}

TEST_CASE("pointwise ops: other extents, apart and in place") {
  const auto check = []<hwc From, hwc To>() {
    for_each_batch_size([](int n) {
      for (const bool in_place : {false, true})
        CHECK(agrees_on_host(runs::reshape<From, To>{{.n = n, .option = in_place}}, exact));
    });
  };
  check.operator()<hwc{1, 1, 96}, hwc{2, 3, 16}>();  // whole blocks: nothing moves
  check.operator()<hwc{2, 3, 16}, hwc{1, 1, 96}>();
  check.operator()<hwc{1, 1, 84}, hwc{7, 4, 3}>();  // vector to image
  check.operator()<hwc{7, 4, 3}, hwc{1, 1, 84}>();
  check.operator()<hwc{2, 2, 20}, hwc{4, 1, 20}>();
  check.operator()<hwc{2, 2, 20}, hwc{1, 2, 40}>();  // cut blocks
  check.operator()<hwc{4, 6, 2}, hwc{4, 3, 4}>();    // rows stay
  check.operator()<hwc{1, 1, 5}, hwc{5, 1, 1}>();
  check.operator()<hwc{3, 3, 3}, hwc{3, 3, 3}>();
}

TEST_CASE("pointwise ops: nothing happens to nothing") {
  float untouched = 5;
  backend::cpu& b = cpu_with(2);
  launch(b, ops::fill{}, {&untouched, 0, 1.0f});
  launch(b, ops::clamp{}, {&untouched, 0, 1.0f});
  launch(b, ops::copy{}, {nullptr, &untouched, 0});
  launch(b, ops::accumulate{}, {nullptr, &untouched, 0});
  launch(b, ops::activation_forward<function::relu>{}, {nullptr, &untouched, 0, {}});
  launch(b, ops::activation_forward<function::tanh>{}, {nullptr, &untouched, 0, {}});
  CHECK(untouched == 5);
}
