// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/loss/functions.hpp"
#include "gantry/ops/pointwise.hpp"

#include "support/host_backends.hpp"
#include "support/op_runs_penalty.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

constexpr tolerance single{2e-6, 2e-6};
/// Sums of up to 784 samples' numbers.
constexpr tolerance sums{2e-5, 2e-5};

template <class F>
void sweep(F&& f) {
  sweep_shapes<hwc{1, 1, 1}, hwc{3, 5, 2}, hwc{1, 1, 19}, hwc{4, 3, 16}, hwc{7, 7, 33},
               hwc{28, 28, 1}>(f);
}

template <class Function>
void check_second_order() {
  for (const int n : {1, 3, 17, 1000})
    for (const bool option : {false, true}) {
      CAPTURE(n);
      CHECK(agrees_on_host(runs::activation_second_order<Function>{{.n = n, .option = option}},
                           single));
    }
  CHECK(spreads_nan(runs::activation_second_order<Function>{{.n = 17, .poison = 7}}, 1));
}

}  // namespace

TEST_CASE("penalty ops: value and derivative of a penalty") {
  sweep([]<hwc Shape>(run_options o) {
    CHECK(agrees_on_host(runs::gradient_penalty<Shape, gradient_norm::squared>{o}, single));
    CHECK(
        agrees_on_host(runs::gradient_penalty<Shape, gradient_norm::distance_from_one>{o}, single));
    o.poison = 0;
    CHECK(spreads_nan(runs::gradient_penalty<Shape, gradient_norm::squared>{o}, 2));
    CHECK(spreads_nan(runs::gradient_penalty<Shape, gradient_norm::distance_from_one>{o},
                      static_cast<std::size_t>(Shape.size()) + 1));
  });
}

TEST_CASE("penalty ops: a gradient of zero has no direction and no NaN") {
  backend::cpu b(1);
  std::vector<float> g(8), v(8, quiet_nan);
  float sum = 0;
  launch(b, ops::gradient_penalty<hwc{1, 1, 4}, gradient_norm::distance_from_one>{},
         {{g.data(), 2}, {v.data(), 2}, 10.0f, &sum, {}});
  CHECK(sum == 10.0f);
}

TEST_CASE("penalty ops: points between samples and around them") {
  sweep([]<hwc Shape>(run_options o) {
    CHECK(agrees_on_host(runs::interpolate<Shape>{o}, single));
    CHECK(agrees_on_host(runs::perturb<Shape>{o}, single));
    o.poison = 0;
    CHECK(spreads_nan(runs::interpolate<Shape>{o}, 1));
    CHECK(spreads_nan(runs::perturb<Shape>{o}, static_cast<std::size_t>(Shape.size() * o.n)));
  });
}

TEST_CASE("penalty ops: a factor per sample") {
  sweep([]<hwc Shape>(run_options o) {
    CHECK(agrees_on_host(runs::accumulate_scaled<Shape>{o}, single));
    CHECK(agrees_on_host(runs::scaled_channel_sum<Shape>{o}, sums));
    o.poison = 0;
    CHECK(spreads_nan(runs::accumulate_scaled<Shape>{o}, 1));
    CHECK(spreads_nan(runs::scaled_channel_sum<Shape>{o}, 1));
  });
}

TEST_CASE("penalty ops: second derivatives of activations") {
  check_second_order<function::tanh>();
  check_second_order<function::sigmoid>();
  check_second_order<function::softplus>();
}

TEST_CASE("loss ops: relativistic terms") {
  using loss::cross_entropy_fake, loss::cross_entropy_real, loss::half_square;
  for (const int n : {1, 2, 3, 5, 17, 1000})
    for (const bool option : {false, true}) {
      CAPTURE(n);
      const run_options o{.n = n, .option = option};
      CHECK(agrees_on_host(runs::paired_term<cross_entropy_real>{o}, single));
      CHECK(agrees_on_host(
          runs::relativistic_average_terms<cross_entropy_real, cross_entropy_fake>{o}, single));
    }
  const run_options poisoned{.n = 17, .poison = 7};
  CHECK(spreads_nan(runs::paired_term<cross_entropy_real>{poisoned}, 3));
  CHECK(spreads_nan(
      runs::relativistic_average_terms<cross_entropy_real, cross_entropy_fake>{poisoned}, 35));
}
