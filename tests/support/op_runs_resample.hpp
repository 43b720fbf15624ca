// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Runs (see op_runs.hpp) of the ops that change the number of pixels.
#pragma once

#include "gantry/ops/resample.hpp"

#include "support/op_runs.hpp"

namespace gantry::test::runs {

/// An op from a batch to a batch with a factor of 3/4.
template <class Op, hwc From, hwc To>
struct scaled_map : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = poisoned_batch<From>(b, *this, 1);
    const device_batch<B, To> y(b, n);
    launch(b, Op{}, {x.view(), y.view(), 0.75f});
    return y.read();
  }
};

template <square_geometry G>
using sum_squares = scaled_map<ops::sum_squares<G>, G.large, G.small()>;
template <square_geometry G>
using spread_squares = scaled_map<ops::spread_squares<G>, G.small(), G.large>;
template <hwc Shape>
using sum_pixels = scaled_map<ops::sum_pixels<Shape>, Shape, hwc{1, 1, Shape.c}>;
template <hwc Shape>
using spread_pixels = scaled_map<ops::spread_pixels<Shape>, hwc{1, 1, Shape.c}, Shape>;

template <hwc Large>
inline constexpr hwc half{Large.h / 2, Large.w / 2, Large.c};
template <hwc Large>
using filter_halve = scaled_map<ops::filter_halve<Large>, Large, half<Large>>;
template <hwc Large>
using filter_double = scaled_map<ops::filter_double<Large>, half<Large>, Large>;

template <bilinear_geometry G>
struct bilinear_forward : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = poisoned_batch<G.in>(b, *this, 1);
    const device_batch<B, G.out()> y(b, n);
    launch(b, ops::bilinear_forward<G>{}, {x.view(), y.view()});
    return y.read();
  }
};

template <bilinear_geometry G>
struct bilinear_backward : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto dy = poisoned_batch<G.out()>(b, *this, 1);
    const device_batch<B, G.in> dx(b, n);
    launch(b, ops::bilinear_backward<G>{}, {dy.view(), dx.view()});
    return dx.read();
  }
};

}  // namespace gantry::test::runs
