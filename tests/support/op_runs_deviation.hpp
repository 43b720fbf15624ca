// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Runs (see op_runs.hpp) of mini-batch deviation.
#pragma once

#include "gantry/ops/minibatch_deviation.hpp"

#include "support/op_runs.hpp"

namespace gantry::test::runs {

template <hwc Shape>
inline constexpr hwc wider{Shape.h, Shape.w, Shape.c + 1};

template <hwc Shape, int Size>
struct deviation_forward : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = poisoned_batch<Shape>(b, *this, 1);
    const device_batch<B, wider<Shape>> y(b, n);
    launch(b, ops::minibatch_deviation_forward<Shape, Size>{}, {x.view(), y.view()});
    return y.read();
  }
};

template <hwc Shape, int Size>
struct deviation_backward : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = clean_batch<Shape>(b, *this, 1);
    const auto dy = poisoned_batch<wider<Shape>>(b, *this, 2);
    const device_batch<B, Shape> dx(b, n);
    launch(b, ops::minibatch_deviation_backward<Shape, Size>{}, {x.view(), dy.view(), dx.view()});
    return dx.read();
  }
};

template <hwc Shape, int Size>
struct deviation_tangent : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = clean_batch<Shape>(b, *this, 1);
    const auto tx = poisoned_batch<Shape>(b, *this, 2);
    const device_batch<B, wider<Shape>> ty(b, n);
    launch(b, ops::minibatch_deviation_tangent<Shape, Size>{}, {x.view(), tx.view(), ty.view()});
    return ty.read();
  }
};

/// option: with ey.
template <hwc Shape, int Size>
struct deviation_second_order : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = clean_batch<Shape>(b, *this, 1), tx = clean_batch<Shape>(b, *this, 2);
    const auto gy = poisoned_batch<wider<Shape>>(b, *this, 3),
               ey = clean_batch<wider<Shape>>(b, *this, 4);
    const device_batch<B, Shape> ex(b, n);
    const batch_of<typename B::storage> none{nullptr, n};
    launch(b, ops::minibatch_deviation_second_order<Shape, Size>{},
           {x.view(), tx.view(), gy.view(), option ? ey.view() : none, ex.view()});
    return ex.read();
  }
};

}  // namespace gantry::test::runs
