// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "support/host_backends.hpp"
#include "support/op_runs_flat.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

/// Three steps in single precision; the state may be 1e-8.
constexpr tolerance three_steps{2e-6, 1e-12};

/// Around vector lengths, and more than a piece of work (16384).
constexpr int counts[] = {1, 3, 4, 15, 17, 1000, 40001};

/// Weights near 0 lose digits: a step of 0.01 on a weight near 1 is rounded at 1e-7.
constexpr tolerance weights{2e-6, 3e-7};

}  // namespace

TEST_CASE("optimizer ops: three steps of each") {
  for (const int n : counts) {
    CAPTURE(n);
    CHECK(agrees_on_host(runs::adam_step{{{.n = n}}}, weights));
    CHECK(agrees_on_host(runs::adam_step{{{.n = n, .option = true}}}, weights));
    CHECK(agrees_on_host(runs::sgd_step{{{.n = n}}}, weights));
    CHECK(agrees_on_host(runs::sgd_step{{{.n = n, .option = true}}}, weights));
    CHECK(agrees_on_host(runs::rmsprop_step{{{.n = n}}}, weights));
    CHECK(agrees_on_host(runs::ema_step{{{.n = n}}}, weights));
  }
}

TEST_CASE("optimizer ops: moments keep their digits, however small the gradients") {
  const auto state = [](const auto& run, auto& b, std::size_t arrays) {
    const auto all = run(b);
    const std::size_t n = all.size() / (arrays + 1);
    return std::vector<float>(all.begin() + static_cast<std::ptrdiff_t>(n), all.end());
  };
  backend::reference<double> oracle;
  const runs::adam_step adam{{{.n = 300}}};
  CHECK(compare(state(adam, cpu_with(1), 2), state(adam, oracle, 2), three_steps));
  const runs::rmsprop_step rmsprop{{{.n = 300}}};
  CHECK(compare(state(rmsprop, cpu_with(1), 1), state(rmsprop, oracle, 1), three_steps));
}

TEST_CASE("optimizer ops: NaN in a gradient stays in its weight and its state") {
  const run_options o{.n = 37, .poison = 20};
  CHECK(spreads_nan(runs::adam_step{{o}}, 3));
  CHECK(spreads_nan(runs::sgd_step{{o}}, 1));
  CHECK(spreads_nan(runs::rmsprop_step{{o}}, 2));
  CHECK(spreads_nan(runs::ema_step{{o}}, 1));
}
