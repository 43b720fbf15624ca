// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/ops/kernel_fold.hpp"

#include "support/host_backends.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

template <fold_geometry G>
struct fold_run : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const device_array<B> weight(b,
                                 normal_floats(static_cast<std::size_t>(G.weights()), 1, poison)),
        folded(b, static_cast<std::size_t>(G.folded()));
    launch(b, ops::fold_kernel<G>{}, {weight.data(), folded.data()});
    return folded.read();
  }
};

template <fold_geometry G>
struct unfold_run : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const device_array<B> dfolded(b,
                                  normal_floats(static_cast<std::size_t>(G.folded()), 1, poison));
    const auto dweight = runs::numbers(b, G.weights(), 2);
    launch(b, ops::unfold_gradient<G>{}, {dfolded.data(), dweight.data()});
    return dweight.read();
  }
};

template <fold_kind Kind, class F>
void sweep(F&& f) {
  f.template operator()<fold_geometry{Kind, 1, 1}>();
  f.template operator()<fold_geometry{Kind, 3, 5}>();
  f.template operator()<fold_geometry{Kind, 16, 16}>();
  f.template operator()<fold_geometry{Kind, 17, 3}>();
  f.template operator()<fold_geometry{Kind, 2, 35}>();
  f.template operator()<fold_geometry{Kind, 48, 33}>();
}

template <fold_kind Kind>
void check_kind() {
  sweep<Kind>([]<fold_geometry G>() {
    CHECK(agrees_on_host(fold_run<G>{}, product_tolerance(4)));
    CHECK(agrees_on_host(unfold_run<G>{}, product_tolerance(5)));
    CHECK(spreads_nan(fold_run<G>{{.poison = 4 * G.channels}}, 4));
    CHECK(spreads_nan(unfold_run<G>{{.poison = 5 * (G.folded() / 16)}}, 1));
  });
}

}  // namespace

TEST_CASE("kernel fold: all backends agree, NaN spreads") {
  check_kind<fold_kind::upsampled>();
  check_kind<fold_kind::pooled>();
}

TEST_CASE("kernel fold: rows by hand") {
  backend::reference<double> b;
  // Rows 1, 10, 100 on every column of 1, 2, 4: the kernel is a product of both.
  std::vector<double> weight, folded(16);
  for (const double row : {1, 10, 100})
    for (const double column : {1, 2, 4}) weight.push_back(row * column);
  const auto expect = [&](const std::vector<double>& rows, const std::vector<double>& columns) {
    for (std::size_t k = 0; k < 16; ++k) CHECK(folded[k] == rows[k / 4] * columns[k % 4]);
  };
  launch(b, ops::fold_kernel<fold_geometry{fold_kind::pooled, 1, 1}>{},
         {weight.data(), folded.data()});
  expect({0.5, 5.5, 55, 50}, {0.5, 1.5, 3, 2});
  launch(b, ops::fold_kernel<fold_geometry{fold_kind::upsampled, 1, 1}>{},
         {weight.data(), folded.data()});
  expect({100, 110, 11, 1}, {4, 6, 3, 1});
}
