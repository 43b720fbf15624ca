// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "gantry/backend/reference/backend.hpp"
#include "gantry/ops/grouped_conv2d.hpp"

namespace gantry::inline v0::backend {

namespace detail {

/// Calls f(output place, input place, weight place) for every multiply-add.
template <grouped_geometry G, class F>
void for_each_grouped_product(int n, F&& f) {
  constexpr hwc out = G.out();
  constexpr int channels = G.in.c / G.groups, filters = G.filters / G.groups;
  const auto one_window = [&](int i, int oy, int ox, int ky, int kx) {
    const int y = oy * G.stride - G.pad + ky, x = ox * G.stride - G.pad + kx;
    if (y < 0 || y >= G.in.h || x < 0 || x >= G.in.w) return;
    const std::size_t at_out = ((static_cast<std::size_t>(i) * out.h + oy) * out.w + ox) * out.c;
    const std::size_t at_in = ((static_cast<std::size_t>(i) * G.in.h + y) * G.in.w + x) * G.in.c;
    for (int o = 0; o < G.filters; ++o)
      for (int c = 0; c < channels; ++c)
        f(at_out + o, at_in + o / filters * channels + c,
          ((static_cast<std::size_t>(o) * G.kernel + ky) * G.kernel + kx) * channels + c);
  };
  for (int i = 0; i < n; ++i)
    for (int oy = 0; oy < out.h; ++oy)
      for (int ox = 0; ox < out.w; ++ox)
        for (int ky = 0; ky < G.kernel; ++ky)
          for (int kx = 0; kx < G.kernel; ++kx) one_window(i, oy, ox, ky, kx);
}

}  // namespace detail

template <class T, grouped_geometry G>
void launch(
    reference<T>&, ops::grouped_conv2d_forward<G>,
    const typename ops::grouped_conv2d_forward<G>::template params<typename reference<T>::storage>&
        p) {
  std::vector<double> sum(nhwc::elements(G.out(), p.x.n));
  if (p.bias)
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = p.bias[i % G.filters];
  detail::for_each_grouped_product<G>(p.x.n, [&](std::size_t y, std::size_t x, std::size_t w) {
    sum[y] += static_cast<double>(p.x.data[x]) * p.weight[w];
  });
  std::ranges::transform(sum, p.y.data, [](double v) { return static_cast<T>(v); });
}

template <class T, grouped_geometry G>
void launch(reference<T>&, ops::grouped_conv2d_backward_data<G>,
            const typename ops::grouped_conv2d_backward_data<G>::template params<
                typename reference<T>::storage>& p) {
  std::vector<double> sum(nhwc::elements(G.in, p.dy.n));
  detail::for_each_grouped_product<G>(p.dy.n, [&](std::size_t y, std::size_t x, std::size_t w) {
    sum[x] += static_cast<double>(p.dy.data[y]) * p.weight[w];
  });
  std::ranges::transform(sum, p.dx.data, [](double v) { return static_cast<T>(v); });
}

template <class T, grouped_geometry G>
void launch(reference<T>&, ops::grouped_conv2d_backward_weights<G>,
            const typename ops::grouped_conv2d_backward_weights<G>::template params<
                typename reference<T>::storage>& p) {
  std::vector<double> sum(p.dweight, p.dweight + G.weights());
  detail::for_each_grouped_product<G>(p.x.n, [&](std::size_t y, std::size_t x, std::size_t w) {
    sum[w] += static_cast<double>(p.dy.data[y]) * p.x.data[x];
  });
  std::ranges::transform(sum, p.dweight, [](double v) { return static_cast<T>(v); });
}

}  // namespace gantry::backend
