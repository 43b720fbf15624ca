// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/loss/functions.hpp"

#include "support/grad_check.hpp"
#include "support/host_backends.hpp"
#include "support/op_runs_flat.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

/// Single precision of numbers up to 100.
constexpr tolerance single{1e-6, 1e-6};

template <class F>
void check_term(F f) {
  for (const int n : {1, 2, 3, 5, 17, 1000}) {
    CAPTURE(n);
    CHECK(agrees_on_host(runs::loss_term<F>{{.n = n}, f}, single));
  }
  // The sum is NaN; the gradient too, where the function's depends on its argument.
  CHECK(spreads_nan(runs::loss_term<F>{{.n = 17, .poison = 7}, f}, 1));
}

}  // namespace

TEST_CASE("loss ops: a term's gradient and sum for every loss function") {
  check_term(loss::cross_entropy_real{});
  check_term(loss::cross_entropy_fake{});
  check_term(loss::negative_cross_entropy_fake{});
  check_term(loss::half_square{1.0f});
  check_term(loss::margin{1.0f});
  check_term(loss::margin{-1.0f});
  check_term(loss::proportional{-1.0f});
}

TEST_CASE("loss ops: a term of cross-entropies has a NaN gradient where its logit is NaN") {
  const run_options o{.n = 17, .poison = 7};
  CHECK(spreads_nan(runs::loss_term<loss::cross_entropy_real>{o}, 2));
  CHECK(spreads_nan(runs::loss_term<loss::cross_entropy_fake>{o}, 2));
  CHECK(spreads_nan(runs::loss_term<loss::half_square>{o, {1.0f}}, 2));
}

TEST_CASE("loss ops: softmax cross-entropy for 2, 7, 10 and 17 classes") {
  const auto check = []<int Classes>() {
    CAPTURE(Classes);
    for_each_batch_size([](int n) {
      CAPTURE(n);
      using run = runs::softmax_cross_entropy<Classes>;
      CHECK(agrees_on_host(run{{.n = n}}, single));
      CHECK(agrees_on_host(run{{.n = n}, 60.0f}, single));
      CHECK(spreads_nan(run{{.n = n, .poison = 1}}, Classes + 1));
    });
  };
  check.operator()<2>();
  check.operator()<7>();
  check.operator()<10>();
  check.operator()<17>();
}

TEST_CASE("loss ops: softmax cross-entropy's gradient is that of its loss") {
  constexpr int classes = 5, n = 3;
  backend::reference<double> b;
  auto x = normal_doubles(classes * n, 1, 1);
  const std::vector<std::uint8_t> labels{4, 0, 2};
  std::vector<double> gradient(x.size(), std::numeric_limits<double>::quiet_NaN());
  const auto loss = [&] {
    double sum = 0, correct = 0;
    launch(b, ops::softmax_cross_entropy<classes>{},
           {{x.data(), n}, labels.data(), {gradient.data(), n}, &sum, &correct});
    return sum;
  };
  loss();
  const auto analytic = gradient;
  CHECK(check_slopes(x, analytic, loss, {.tolerance = 1e-8}));
}

TEST_CASE_TEMPLATE("loss ops: softmax cross-entropy by hand", backend_type, backend::cpu,
                   backend::reference<float>) {
  backend_type b;
  // Shares 1/4, 3/4 and 3/4, 1/4; the first sample is right, the second wrong.
  const float third = std::log(3.0f);
  const std::vector<float> x{1, 1 + third, 2 + third, 2};
  const std::vector<std::uint8_t> labels{1, 1};
  std::vector<float> gradient(4);
  float loss = 10, correct = 20;
  launch(b, ops::softmax_cross_entropy<2>{},
         {{x.data(), 2}, labels.data(), {gradient.data(), 2}, &loss, &correct});
  CHECK(close(loss, 10 + (std::log(4.0 / 3) + std::log(4.0)) / 2, {1e-6, 0}));
  CHECK(correct == 21);
  CHECK(compare(gradient, std::vector<float>{0.125f, -0.125f, 0.375f, -0.375f}, {1e-6, 0}));
}
