// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Runs (see op_runs.hpp) of the normalisations within a sample.
#pragma once

#include "gantry/ops/group_norm.hpp"
#include "gantry/ops/pixel_norm.hpp"

#include "support/op_runs.hpp"

namespace gantry::test::runs {

/// y and saved statistics. option: inputs far from 0.
template <hwc Shape, int Groups>
struct group_norm_forward : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    auto input = normal_floats(nhwc::elements(Shape, n), 1, poison);
    if (option)
      for (float& v : input) v = 100 + v;
    const device_batch<B, Shape> x(b, n, input), y(b, n);
    const auto gamma = numbers(b, Shape.c, 2), beta = numbers(b, Shape.c, 3);
    const auto statistics = static_cast<std::size_t>(n) * Groups;
    const device_array<B> mean(b, statistics), inverse(b, statistics);
    launch(b, ops::group_norm_forward<Shape, Groups>{},
           {x.view(), gamma.data(), beta.data(), mean.data(), inverse.data(), y.view(), 1e-5f});
    return joined({y.read(), mean.read(), inverse.read()});
  }
};

/// dx (if wanted), dgamma and dbeta (if wanted). option: NaN goes into x, not dy.
template <hwc Shape, int Groups>
struct group_norm_backward : run_options {
  bool want_dx{true}, want_dparams{true}, in_place{false};

  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = option ? poisoned_batch<Shape>(b, *this, 1) : clean_batch<Shape>(b, *this, 1);
    const auto dy = option ? clean_batch<Shape>(b, *this, 2) : poisoned_batch<Shape>(b, *this, 2);
    const device_batch<B, Shape> apart(b, n);
    const auto dx = in_place ? dy.view() : apart.view();
    const auto gamma = numbers(b, Shape.c, 3), mean = numbers(b, n * Groups, 4);
    const device_array<B> inverse(b, positive_floats(n * Groups, 5));
    const auto dgamma = numbers(b, Shape.c, 6), dbeta = numbers(b, Shape.c, 7);
    launch(b, ops::group_norm_backward<Shape, Groups>{},
           {x.view(), dy.view(), gamma.data(), mean.data(), inverse.data(),
            want_dx ? dx : batch_of<typename B::storage>{}, want_dparams ? dgamma.data() : nullptr,
            want_dparams ? dbeta.data() : nullptr});
    const auto images = in_place ? dy.read() : apart.read();
    return joined({want_dx ? images : std::vector<float>{}, dgamma.read(), dbeta.read()});
  }
};

/// option: in place.
template <hwc Shape, int Groups>
struct group_norm_tangent : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = clean_batch<Shape>(b, *this, 1), tx = poisoned_batch<Shape>(b, *this, 2);
    const device_batch<B, Shape> apart(b, n);
    const auto& ty = option ? tx : apart;
    const auto gamma = numbers(b, Shape.c, 3), mean = numbers(b, n * Groups, 4);
    const device_array<B> inverse(b, positive_floats(n * Groups, 5));
    launch(b, ops::group_norm_tangent<Shape, Groups>{},
           {x.view(), tx.view(), gamma.data(), mean.data(), inverse.data(), ty.view()});
    return ty.read();
  }
};

/// ex (if wanted), dgamma and dbeta (if wanted). option: with ey. NaN goes into gy.
template <hwc Shape, int Groups>
struct group_norm_second_order : run_options {
  bool want_ex{true}, want_dparams{true};

  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = clean_batch<Shape>(b, *this, 1), tx = clean_batch<Shape>(b, *this, 2);
    const auto gy = poisoned_batch<Shape>(b, *this, 3), ey = clean_batch<Shape>(b, *this, 4);
    const device_batch<B, Shape> ex(b, n);
    const auto gamma = numbers(b, Shape.c, 5), mean = numbers(b, n * Groups, 6);
    const device_array<B> inverse(b, positive_floats(n * Groups, 7));
    const auto dgamma = numbers(b, Shape.c, 8), dbeta = numbers(b, Shape.c, 9);
    launch(b, ops::group_norm_second_order<Shape, Groups>{},
           {x.view(), tx.view(), gy.view(),
            option ? ey.view() : batch_of<typename B::storage>{nullptr, n}, gamma.data(),
            mean.data(), inverse.data(), want_ex ? ex.view() : batch_of<typename B::storage>{},
            want_dparams ? dgamma.data() : nullptr, want_dparams ? dbeta.data() : nullptr});
    return joined({want_ex ? ex.read() : std::vector<float>{}, dgamma.read(), dbeta.read()});
  }
};

template <hwc Shape>
struct pixel_norm_forward : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = poisoned_batch<Shape>(b, *this, 1);
    const device_batch<B, Shape> y(b, n);
    launch(b, ops::pixel_norm_forward<Shape>{}, {x.view(), y.view(), 1e-8f});
    return y.read();
  }
};

/// option: in place.
template <hwc Shape>
struct pixel_norm_derivative : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = clean_batch<Shape>(b, *this, 1), dy = poisoned_batch<Shape>(b, *this, 2);
    const device_batch<B, Shape> apart(b, n);
    const auto& dx = option ? dy : apart;
    launch(b, ops::pixel_norm_derivative<Shape>{}, {x.view(), dy.view(), dx.view(), 0.1f});
    return dx.read();
  }
};

/// option: with ey. NaN goes into gy.
template <hwc Shape>
struct pixel_norm_second_order : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = clean_batch<Shape>(b, *this, 1), tx = clean_batch<Shape>(b, *this, 2);
    const auto gy = poisoned_batch<Shape>(b, *this, 3), ey = clean_batch<Shape>(b, *this, 4);
    const device_batch<B, Shape> ex(b, n);
    launch(b, ops::pixel_norm_second_order<Shape>{},
           {x.view(), tx.view(), gy.view(),
            option ? ey.view() : batch_of<typename B::storage>{nullptr, n}, ex.view(), 0.1f});
    return ex.read();
  }
};

}  // namespace gantry::test::runs
