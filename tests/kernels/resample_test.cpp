// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/backend/reference/reference.hpp"
#include "gantry/kernels/resample/launch.cuh"
#include "gantry/kernels/spectral_norm/launch.cuh"

#include "kernels/device.cuh"
#include "support/op_runs_resample.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

constexpr tolerance few{2e-6, 2e-6};

template <fold_geometry G>
struct fold_run : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto weight = runs::numbers(b, G.weights(), 1),
               dweight = runs::numbers(b, G.weights(), 2);
    const auto dfolded = runs::numbers(b, G.folded(), 3);
    const device_array<B> folded(b, static_cast<std::size_t>(G.folded()));
    launch(b, ops::fold_kernel<G>{}, {weight.data(), folded.data()});
    launch(b, ops::unfold_gradient<G>{}, {dfolded.data(), dweight.data()});
    return joined({folded.read(), dweight.read()});
  }
};

/// Two passes over a matrix, then the gradient. option: with iteration.
template <int Rows, int Columns>
struct spectral_run : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto weight = runs::numbers(b, Rows * Columns, 1), u = runs::numbers(b, Rows, 2),
               v = runs::numbers(b, Columns, 3), gradient = runs::numbers(b, Rows * Columns, 4),
               dweight = runs::numbers(b, Rows * Columns, 5);
    const device_array<B> scaled(b, std::size_t{Rows * Columns}), su(b, std::size_t{Rows}),
        sv(b, std::size_t{Columns}), sigma(b, std::size_t{1});
    for (int i = 0; i < 2; ++i)
      launch(b, ops::spectral_normalise<Rows, Columns>{},
             {weight.data(), u.data(), v.data(), scaled.data(), su.data(), sv.data(), sigma.data(),
              1e-12f, option});
    launch(b, ops::spectral_gradient<Rows, Columns>{},
           {gradient.data(), scaled.data(), su.data(), sv.data(), sigma.data(), dweight.data()});
    return joined(
        {u.read(), v.read(), scaled.read(), su.read(), sv.read(), sigma.read(), dweight.read()});
  }
};

}  // namespace

TEST_CASE("resample kernels: squares and pixels") {
  for (const int n : {1, 3}) {
    const run_options o{.n = n};
    CHECK(agrees_on_device(runs::sum_squares<square_geometry{{6, 4, 5}, 2}>{o}, few));
    CHECK(agrees_on_device(runs::spread_squares<square_geometry{{7, 5, 3}, 2}>{o}, few));
    CHECK(agrees_on_device(runs::sum_pixels<hwc{3, 5, 7}>{o}, few));
    CHECK(agrees_on_device(runs::spread_pixels<hwc{3, 5, 7}>{o}, few));
  }
  const run_options poisoned{.n = 3, .poison = 7};
  CHECK(spreads_nan_on_device(runs::sum_squares<square_geometry{{6, 4, 5}, 2}>{poisoned}));
}

TEST_CASE("resample kernels: bilinear enlargement, and halves behind a filter") {
  const run_options o{.n = 3};
  CHECK(agrees_on_device(runs::bilinear_forward<bilinear_geometry{{3, 5, 7}, 2}>{o}, few));
  CHECK(agrees_on_device(runs::bilinear_backward<bilinear_geometry{{3, 5, 7}, 2}>{o}, few));
  CHECK(agrees_on_device(runs::bilinear_forward<bilinear_geometry{{1, 4, 3}, 3}>{o}, few));
  CHECK(agrees_on_device(runs::bilinear_backward<bilinear_geometry{{1, 4, 3}, 3}>{o}, few));
  CHECK(agrees_on_device(runs::filter_halve<hwc{6, 4, 5}>{o}, few));
  CHECK(agrees_on_device(runs::filter_double<hwc{6, 4, 5}>{o}, few));
  const run_options poisoned{.n = 3, .poison = 7};
  CHECK(spreads_nan_on_device(runs::bilinear_forward<bilinear_geometry{{3, 5, 7}, 2}>{poisoned}));
  CHECK(spreads_nan_on_device(runs::bilinear_backward<bilinear_geometry{{3, 5, 7}, 2}>{poisoned}));
  CHECK(spreads_nan_on_device(runs::filter_double<hwc{6, 4, 5}>{poisoned}));
}

TEST_CASE("resample kernels: 3 x 3 kernels as 4 x 4 ones and back") {
  CHECK(agrees_on_device(fold_run<fold_geometry{fold_kind::pooled, 3, 5}>{}, few));
  CHECK(agrees_on_device(fold_run<fold_geometry{fold_kind::upsampled, 17, 3}>{}, few));
}

TEST_CASE("spectral norm kernels: power iteration and its gradient") {
  for (const bool iterate : {false, true}) {
    const run_options o{.option = iterate};
    // Without iteration sigma is a sum that may nearly cancel.
    const tolerance t = iterate ? tolerance{1e-5, 1e-5} : tolerance{2e-4, 2e-4};
    CHECK(agrees_on_device(spectral_run<6, 5>{o}, t));
    CHECK(agrees_on_device(spectral_run<1, 70>{o}, t));
    CHECK(agrees_on_device(spectral_run<35, 300>{o}, t));
  }
}

TEST_CASE("spectral norm kernels: one launch, with iteration and without") {
  auto& b = aligned_device<>();
  const auto weight = runs::numbers(b, 6 * 5, 1), u = runs::numbers(b, 6, 2),
             v = runs::numbers(b, 5, 3);
  const device_array<device_backend> scaled(b, std::size_t{30}), su(b, std::size_t{6}),
      sv(b, std::size_t{5}), sigma(b, std::size_t{1});
  for (const bool iterate : {false, true}) {
    std::size_t launches = 0;
    kernels::context c = b.context();
    c.launches = &launches;
    launch(c, ops::spectral_normalise<6, 5>{},
           {weight.data(), u.data(), v.data(), scaled.data(), su.data(), sv.data(), sigma.data(),
            1e-12f, iterate});
    CHECK(launches == 1);
  }
}
