// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "gantry/backend/reference/backend.hpp"
#include "gantry/ops/conv2d.hpp"
#include "gantry/ops/linear.hpp"

namespace gantry::inline v0::backend {

template <class T, linear_geometry G>
void launch(
    reference<T>&, ops::linear_forward<G>,
    const typename ops::linear_forward<G>::template params<typename reference<T>::storage>& p) {
  constexpr int inputs = G.in.size();
  for (int i = 0; i < p.x.n; ++i)
    for (int o = 0; o < G.out; ++o) {
      double sum = p.bias ? static_cast<double>(p.bias[o]) : 0.0;
      for (int k = 0; k < inputs; ++k)
        sum += static_cast<double>(p.x.data[i * inputs + k]) * p.weight[o * inputs + k];
      p.y.data[i * G.out + o] = static_cast<T>(sum);
    }
}

template <class T, linear_geometry G>
void launch(
    reference<T>&, ops::linear_backward_data<G>,
    const typename ops::linear_backward_data<G>::template params<typename reference<T>::storage>&
        p) {
  constexpr int inputs = G.in.size();
  for (int i = 0; i < p.dy.n; ++i)
    for (int k = 0; k < inputs; ++k) {
      double sum = p.accumulate ? static_cast<double>(p.dx.data[i * inputs + k]) : 0.0;
      for (int o = 0; o < G.out; ++o)
        sum += static_cast<double>(p.dy.data[i * G.out + o]) * p.weight[o * inputs + k];
      p.dx.data[i * inputs + k] = static_cast<T>(sum);
    }
}

template <class T, linear_geometry G>
void launch(
    reference<T>&, ops::linear_backward_weights<G>,
    const typename ops::linear_backward_weights<G>::template params<typename reference<T>::storage>&
        p) {
  constexpr int inputs = G.in.size();
  for (int o = 0; o < G.out; ++o)
    for (int k = 0; k < inputs; ++k) {
      double sum = p.dweight[o * inputs + k];
      for (int i = 0; i < p.x.n; ++i)
        sum += static_cast<double>(p.dy.data[i * G.out + o]) * p.x.data[i * inputs + k];
      p.dweight[o * inputs + k] = static_cast<T>(sum);
    }
}

namespace detail {

/// Calls f(input offset in a sample, weight offset in a filter) for each tap of output pixel (oy,
/// ox) that is inside the image; c = 0 in both offsets.
template <conv_geometry G, class F>
void for_each_tap(int oy, int ox, F&& f) {
  for (int ky = 0; ky < G.kernel; ++ky)
    for (int kx = 0; kx < G.kernel; ++kx) {
      const int y = oy * G.stride - G.pad + ky, x = ox * G.stride - G.pad + kx;
      if (y < 0 || y >= G.in.h || x < 0 || x >= G.in.w) continue;
      f((y * G.in.w + x) * G.in.c, (ky * G.kernel + kx) * G.in.c);
    }
}

/// Calls f(output offset, input offset, weight offset) for every multiply-add of the convolution.
template <conv_geometry G, class F>
void for_each_product(int n, F&& f) {
  constexpr hwc out = G.out();
  for (int i = 0; i < n; ++i)
    for (int oy = 0; oy < out.h; ++oy)
      for (int ox = 0; ox < out.w; ++ox)
        for_each_tap<G>(oy, ox, [&](int at_input, int at_weight) {
          for (int o = 0; o < G.filters; ++o)
            for (int c = 0; c < G.in.c; ++c)
              f(static_cast<std::size_t>(i) * out.size() + (oy * out.w + ox) * G.filters + o,
                static_cast<std::size_t>(i) * G.in.size() + at_input + c,
                static_cast<std::size_t>(o) * G.taps() + at_weight + c);
        });
}

}  // namespace detail

template <class T, conv_geometry G>
void launch(
    reference<T>&, ops::conv2d_forward<G>,
    const typename ops::conv2d_forward<G>::template params<typename reference<T>::storage>& p) {
  constexpr hwc out = G.out();
  std::vector<double> sum(static_cast<std::size_t>(p.x.n) * out.size());
  if (p.bias)
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = p.bias[i % G.filters];
  detail::for_each_product<G>(p.x.n, [&](std::size_t y, std::size_t x, std::size_t w) {
    sum[y] += static_cast<double>(p.x.data[x]) * p.weight[w];
  });
  std::ranges::transform(sum, p.y.data, [](double v) { return static_cast<T>(v); });
}

template <class T, conv_geometry G>
void launch(
    reference<T>&, ops::conv2d_backward_data<G>,
    const typename ops::conv2d_backward_data<G>::template params<typename reference<T>::storage>&
        p) {
  std::vector<double> sum(static_cast<std::size_t>(p.dy.n) * G.in.size());
  if (p.bias)
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = p.bias[i % G.in.c];
  detail::for_each_product<G>(p.dy.n, [&](std::size_t y, std::size_t x, std::size_t w) {
    sum[x] += static_cast<double>(p.dy.data[y]) * p.weight[w];
  });
  std::ranges::transform(sum, p.dx.data, [](double v) { return static_cast<T>(v); });
}

template <class T, conv_geometry G>
void launch(
    reference<T>&, ops::conv2d_backward_weights<G>,
    const typename ops::conv2d_backward_weights<G>::template params<typename reference<T>::storage>&
        p) {
  std::vector<double> sum(p.dweight, p.dweight + G.weights());
  detail::for_each_product<G>(p.x.n, [&](std::size_t y, std::size_t x, std::size_t w) {
    sum[w] += static_cast<double>(p.dy.data[y]) * p.x.data[x];
  });
  std::ranges::transform(sum, p.dweight, [](double v) { return static_cast<T>(v); });
}

}  // namespace gantry::backend
