// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Runs (see op_runs.hpp) of the attention ops. `spread` is the deviation of the projected numbers.
#pragma once

#include "gantry/ops/attention.hpp"

#include "support/op_runs.hpp"

namespace gantry::test::runs {

template <attention_geometry G>
struct attention_run : run_options {
  float spread{1.0f};

 protected:
  [[nodiscard]] std::size_t rows() const { return static_cast<std::size_t>(n) * G.positions(); }
  template <Backend B>
  device_batch<B, G.projected()> projected(B& b, std::uint32_t salt, int nan = -1) const {
    auto values = normal_floats(nhwc::elements(G.projected(), n), salt, nan);
    for (float& v : values) v *= spread;
    return {b, n, values};
  }
  /// The normalisers of a forward without NaN, which the other ops are given.
  template <Backend B>
  device_array<B> normalisers(B& b) const {
    const auto x = projected(b, 1);
    const device_batch<B, G.result()> y(b, n);
    device_array<B> found(b, rows());
    launch(b, ops::attention_forward<G>{}, {x.view(), y.view(), found.data()});
    return found;
  }
};

template <attention_geometry G>
struct attention_forward : attention_run<G> {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = this->projected(b, 1, this->poison);
    const device_batch<B, G.result()> y(b, this->n);
    const device_array<B> normaliser(b, this->rows());
    launch(b, ops::attention_forward<G>{}, {x.view(), y.view(), normaliser.data()});
    return joined({y.read(), normaliser.read()});
  }
};

/// NaN goes into dy.
template <attention_geometry G>
struct attention_backward : attention_run<G> {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = this->projected(b, 1);
    const auto dy = poisoned_batch<G.result()>(b, *this, 2);
    const device_batch<B, G.projected()> dx(b, this->n);
    const auto normaliser = this->normalisers(b);
    launch(b, ops::attention_backward<G>{}, {x.view(), normaliser.data(), dy.view(), dx.view()});
    return dx.read();
  }
};

/// NaN goes into tx.
template <attention_geometry G>
struct attention_tangent : attention_run<G> {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = this->projected(b, 1);
    const auto tx = poisoned_batch<G.projected()>(b, *this, 2);
    const device_batch<B, G.result()> ty(b, this->n);
    const auto normaliser = this->normalisers(b);
    launch(b, ops::attention_tangent<G>{}, {x.view(), normaliser.data(), tx.view(), ty.view()});
    return ty.read();
  }
};

/// NaN goes into gy. option: with ey.
template <attention_geometry G>
struct attention_second_order : attention_run<G> {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = this->projected(b, 1);
    const auto tx = clean_batch<G.projected()>(b, *this, 2);
    const auto gy = poisoned_batch<G.result()>(b, *this, 3);
    const auto ey = clean_batch<G.result()>(b, *this, 4);
    const device_batch<B, G.projected()> ex(b, this->n);
    const auto normaliser = this->normalisers(b);
    const batch_of<typename B::storage> e{this->option ? ey.view().data : nullptr, this->n};
    launch(b, ops::attention_second_order<G>{},
           {x.view(), normaliser.data(), tx.view(), gy.view(), e, ex.view()});
    return ex.read();
  }
};

struct scaled_copy : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const device_array<B> x(b, normal_floats(static_cast<std::size_t>(n), 1, poison));
    const auto scale = numbers(b, 1, 2);
    const device_array<B> y(b, static_cast<std::size_t>(n));
    launch(b, ops::scaled_copy{}, {x.data(), scale.data(), y.data(), static_cast<std::size_t>(n)});
    return y.read();
  }
};

struct scaled_copy_gradient : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = numbers(b, n, 1), scale = numbers(b, 1, 2), dx = numbers(b, n, 3),
               dscale = numbers(b, 1, 4);
    const device_array<B> dy(b, normal_floats(static_cast<std::size_t>(n), 5, poison));
    launch(
        b, ops::scaled_copy_gradient{},
        {x.data(), scale.data(), dy.data(), dx.data(), dscale.data(), static_cast<std::size_t>(n)});
    return joined({dx.read(), dscale.read()});
  }
};

}  // namespace gantry::test::runs
