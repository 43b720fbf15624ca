// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Runs (see op_runs.hpp) of convolutions in groups.
#pragma once

#include "gantry/ops/grouped_conv2d.hpp"

#include "support/op_runs.hpp"

namespace gantry::test::runs {

/// option: with a bias.
template <grouped_geometry G>
struct grouped_conv2d_forward : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = poisoned_batch<G.in>(b, *this, 1);
    const auto weight = numbers(b, G.weights(), 2), bias = numbers(b, G.filters, 3);
    const device_batch<B, G.out()> y(b, n);
    launch(b, ops::grouped_conv2d_forward<G>{},
           {x.view(), weight.data(), option ? bias.data() : nullptr, y.view()});
    return y.read();
  }
};

template <grouped_geometry G>
struct grouped_conv2d_backward_data : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto dy = poisoned_batch<G.out()>(b, *this, 1);
    const auto weight = numbers(b, G.weights(), 2);
    const device_batch<B, G.in> dx(b, n);
    launch(b, ops::grouped_conv2d_backward_data<G>{}, {dy.view(), weight.data(), dx.view()});
    return dx.read();
  }
};

/// option: NaN goes into dy, not x.
template <grouped_geometry G>
struct grouped_conv2d_backward_weights : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    constexpr hwc out = G.out();
    const auto x = option ? clean_batch<G.in>(b, *this, 1) : poisoned_batch<G.in>(b, *this, 1);
    const auto dy = option ? poisoned_batch<out>(b, *this, 2) : clean_batch<out>(b, *this, 2);
    const auto dweight = numbers(b, G.weights(), 3);
    launch(b, ops::grouped_conv2d_backward_weights<G>{}, {x.view(), dy.view(), dweight.data()});
    return dweight.read();
  }
};

}  // namespace gantry::test::runs
