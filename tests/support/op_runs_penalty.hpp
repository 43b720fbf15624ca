// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Runs (op_runs.hpp) of the ops behind gradient penalties and relativistic objectives.
#pragma once

#include "gantry/ops/loss.hpp"
#include "gantry/ops/penalty.hpp"

#include "support/op_runs.hpp"

namespace gantry::test::runs {

inline constexpr stream_id penalty_stream{.seed = 9, .step = 3, .use = purpose::penalty, .salt = 5};

/// option: in place. The value, and the derivative by the gradient.
template <hwc Shape, class Function>
struct gradient_penalty : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto g = poisoned_batch<Shape>(b, *this, 1);
    const device_batch<B, Shape> v(b, n);
    const device_array<B> sum(b, std::vector<float>{2.0f});
    launch(b, ops::gradient_penalty<Shape, Function>{},
           {g.view(), option ? g.view() : v.view(), 0.7f, sum.data(), {}});
    return joined({option ? g.read() : v.read(), sum.read()});
  }
};

template <hwc Shape>
struct interpolate : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = poisoned_batch<Shape>(b, *this, 1), z = clean_batch<Shape>(b, *this, 2);
    const device_batch<B, Shape> y(b, n);
    launch(b, ops::interpolate<Shape>{}, {x.view(), z.view(), y.view(), penalty_stream});
    return y.read();
  }
};

template <hwc Shape>
struct perturb : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = poisoned_batch<Shape>(b, *this, 1);
    const device_batch<B, Shape> y(b, n);
    launch(b, ops::perturb<Shape>{}, {x.view(), y.view(), 0.5f, penalty_stream});
    return y.read();
  }
};

template <hwc Shape>
struct accumulate_scaled : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = poisoned_batch<Shape>(b, *this, 1), y = clean_batch<Shape>(b, *this, 2);
    const auto scale = numbers(b, n, 3);
    launch(b, ops::accumulate_scaled<Shape>{}, {x.view(), scale.data(), y.view()});
    return y.read();
  }
};

template <hwc Shape>
struct scaled_channel_sum : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = poisoned_batch<Shape>(b, *this, 1);
    const auto scale = numbers(b, n, 2), sum = numbers(b, Shape.c, 3);
    launch(b, ops::scaled_channel_sum<Shape>{}, {x.view(), scale.data(), sum.data()});
    return sum.read();
  }
};

/// option: without a derivative of the output.
template <class Function>
struct activation_second_order : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    auto outputs = normal_floats(static_cast<std::size_t>(n), 1, poison);
    for (float& y : outputs) y = std::abs(std::tanh(y));
    const device_array<B> y(b, outputs), ex(b, static_cast<std::size_t>(n));
    const auto tx = numbers(b, n, 2), gy = numbers(b, n, 3), ey = numbers(b, n, 4);
    launch(b, ops::activation_second_order<Function>{},
           {y.data(),
            tx.data(),
            gy.data(),
            option ? nullptr : ey.data(),
            ex.data(),
            static_cast<std::size_t>(n),
            {}});
    return ex.read();
  }
};

/// option: only the first gradient.
template <class Function>
struct paired_term : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto count = static_cast<std::size_t>(n);
    const device_array<B> a(b, normal_floats(count, 1, poison)), ga(b, count), gb(b, count),
        sum(b, std::vector<float>{2.0f});
    const auto c = numbers(b, n, 2);
    launch(
        b, ops::paired_term<Function>{},
        {a.data(), c.data(), ga.data(), option ? nullptr : gb.data(), count, 0.3f, sum.data(), {}});
    return joined({sum.read(), ga.read(), option ? std::vector<float>{} : gb.read()});
  }
};

/// option: only the first gradient.
template <class OnA, class OnB>
struct relativistic_average_terms : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto count = static_cast<std::size_t>(n);
    const device_array<B> a(b, normal_floats(count, 1, poison)), ga(b, count), gb(b, count),
        sum(b, std::vector<float>{2.0f});
    const auto c = numbers(b, n, 2);
    launch(
        b, ops::relativistic_average_terms<OnA, OnB>{},
        {a.data(), c.data(), ga.data(), option ? nullptr : gb.data(), count, sum.data(), {}, {}});
    return joined({sum.read(), ga.read(), option ? std::vector<float>{} : gb.read()});
  }
};

}  // namespace gantry::test::runs
