// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/nn/layers.hpp"

#include "support/host_backends.hpp"
#include "support/penalty_check.hpp"

using namespace gantry;

namespace {

template <hwc Out>
struct basis_run : test::run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    constexpr hwc in{1, 1, Out.c};
    const auto x = test::runs::poisoned_batch<in>(b, *this, 1);
    const auto dy = test::runs::clean_batch<Out>(b, *this, 2);
    const test::device_batch<B, Out> y(b, n);
    const test::device_batch<B, in> dx(b, n);
    const auto basis = test::runs::numbers(b, Out.size(), 3),
               d = test::runs::numbers(b, Out.size(), 4);
    launch(b, ops::learned_basis<Out>{}, {x.view(), basis.data(), y.view()});
    launch(b, ops::learned_basis_backward<Out>{},
           {x.view(), dy.view(), basis.data(), dx.view(), d.data()});
    return test::joined({y.read(), dx.read(), d.read()});
  }
};

}  // namespace

TEST_CASE("learned_basis: both gradients, and those of a penalty") {
  CHECK(test::check_gradients(sequential<latent<3>, linear<4>, learned_basis<2, 3>, relu>{}));
  CHECK(test::check_penalty(
      sequential<latent<3>, linear<4>, leaky_relu, learned_basis<2, 3>, linear<1>>{}));
}

TEST_CASE("learned_basis: all backends agree") {
  test::for_each_batch_size([](int n) {
    CAPTURE(n);
    CHECK(test::agrees_on_host(basis_run<hwc{4, 4, 33}>{{.n = n}}, {1e-5f, 1e-5f}));
    CHECK(test::agrees_on_host(basis_run<hwc{3, 2, 5}>{{.n = n}}, {1e-5f, 1e-5f}));
    CHECK(test::spreads_nan(basis_run<hwc{3, 2, 5}>{{.n = n, .poison = 0}}, 6));
  });
}
