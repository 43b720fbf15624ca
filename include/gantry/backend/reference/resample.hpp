// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "gantry/backend/reference/backend.hpp"
#include "gantry/ops/resample.hpp"

namespace gantry::inline v0::backend {

namespace detail {

/// Where pixel (y, x) of sample i starts.
template <hwc Shape>
std::size_t pixel_at(int i, int y, int x) {
  return ((static_cast<std::size_t>(i) * Shape.h + y) * Shape.w + x) * Shape.c;
}

/// to = the sum over all (source pixel, target pixel, weight) that `list` calls its argument with.
template <class T, class List>
void add_pixels(const T* from, T* to, std::size_t count, int channels, const List& list) {
  std::vector<double> sum(count);
  list([&](std::size_t source, std::size_t target, double weight) {
    for (int c = 0; c < channels; ++c) sum[target + c] += weight * from[source + c];
  });
  std::ranges::transform(sum, to, [](double v) { return static_cast<T>(v); });
}

/// Calls f(large pixel, small pixel) for all pixels in squares.
template <square_geometry G, class F>
void for_each_in_squares(int n, F&& f) {
  constexpr hwc small = G.small();
  for (int i = 0; i < n; ++i)
    for (int y = 0; y < small.h * G.factor; ++y)
      for (int x = 0; x < small.w * G.factor; ++x)
        f(pixel_at<G.large>(i, y, x), pixel_at<small>(i, y / G.factor, x / G.factor));
}

/// Calls f(input pixel, output pixel, weight).
template <bilinear_geometry G, class F>
void for_each_bilinear(int n, F&& f) {
  const auto taps = [](int o, int extent, auto&& g) {
    const double at = std::max(0.0, (o + 0.5) / G.factor - 0.5);
    const int low = static_cast<int>(at), high = std::min(low + 1, extent - 1);
    g(low, 1 - (at - low));
    if (at > low) g(high, at - low);
  };
  for (int i = 0; i < n; ++i)
    for (int oy = 0; oy < G.out().h; ++oy)
      for (int ox = 0; ox < G.out().w; ++ox)
        taps(oy, G.in.h, [&](int y, double wy) {
          taps(ox, G.in.w, [&](int x, double wx) {
            f(pixel_at<G.in>(i, y, x), pixel_at<G.out()>(i, oy, ox), wy * wx);
          });
        });
}

/// Calls f(large pixel, small pixel, weight) for every weight of the filter that lies inside.
template <hwc Large, class F>
void for_each_filtered(int n, F&& f) {
  constexpr hwc small{Large.h / 2, Large.w / 2, Large.c};
  constexpr double weight[4] = {1.0 / 8, 3.0 / 8, 3.0 / 8, 1.0 / 8};
  const auto inside = [](int y, int x) { return y >= 0 && y < Large.h && x >= 0 && x < Large.w; };
  for (int i = 0; i < n; ++i)
    for (int y = 0; y < small.h; ++y)
      for (int x = 0; x < small.w; ++x)
        for (int k = 0; k < 16; ++k) {
          const int from_y = 2 * y - 1 + k / 4, from_x = 2 * x - 1 + k % 4;
          if (inside(from_y, from_x))
            f(pixel_at<Large>(i, from_y, from_x), pixel_at<small>(i, y, x),
              weight[k / 4] * weight[k % 4]);
        }
}

}  // namespace detail

template <class T, square_geometry G>
void launch(
    reference<T>&, ops::sum_squares<G>,
    const typename ops::sum_squares<G>::template params<typename reference<T>::storage>& p) {
  detail::add_pixels(
      p.x.data, p.y.data, nhwc::elements(G.small(), p.x.n), G.large.c, [&](auto&& add) {
        detail::for_each_in_squares<G>(
            p.x.n, [&](std::size_t large, std::size_t small) { add(large, small, p.scale); });
      });
}

template <class T, square_geometry G>
void launch(
    reference<T>&, ops::spread_squares<G>,
    const typename ops::spread_squares<G>::template params<typename reference<T>::storage>& p) {
  detail::add_pixels(
      p.x.data, p.y.data, nhwc::elements(G.large, p.x.n), G.large.c, [&](auto&& add) {
        detail::for_each_in_squares<G>(
            p.x.n, [&](std::size_t large, std::size_t small) { add(small, large, p.scale); });
      });
}

template <class T, bilinear_geometry G>
void launch(
    reference<T>&, ops::bilinear_forward<G>,
    const typename ops::bilinear_forward<G>::template params<typename reference<T>::storage>& p) {
  detail::add_pixels(p.x.data, p.y.data, nhwc::elements(G.out(), p.x.n), G.in.c,
                     [&](auto&& add) { detail::for_each_bilinear<G>(p.x.n, add); });
}

template <class T, bilinear_geometry G>
void launch(
    reference<T>&, ops::bilinear_backward<G>,
    const typename ops::bilinear_backward<G>::template params<typename reference<T>::storage>& p) {
  detail::add_pixels(p.dy.data, p.dx.data, nhwc::elements(G.in, p.dy.n), G.in.c, [&](auto&& add) {
    detail::for_each_bilinear<G>(
        p.dy.n, [&](std::size_t in, std::size_t out, double weight) { add(out, in, weight); });
  });
}

template <class T, hwc Large>
void launch(
    reference<T>&, ops::filter_halve<Large>,
    const typename ops::filter_halve<Large>::template params<typename reference<T>::storage>& p) {
  const std::size_t count = nhwc::elements(hwc{Large.h / 2, Large.w / 2, Large.c}, p.x.n);
  detail::add_pixels(p.x.data, p.y.data, count, Large.c, [&](auto&& add) {
    detail::for_each_filtered<Large>(p.x.n,
                                     [&](std::size_t large, std::size_t small, double weight) {
                                       add(large, small, p.scale * weight);
                                     });
  });
}

template <class T, hwc Large>
void launch(
    reference<T>&, ops::filter_double<Large>,
    const typename ops::filter_double<Large>::template params<typename reference<T>::storage>& p) {
  const std::size_t count = nhwc::elements(Large, p.x.n);
  detail::add_pixels(p.x.data, p.y.data, count, Large.c, [&](auto&& add) {
    detail::for_each_filtered<Large>(p.x.n,
                                     [&](std::size_t large, std::size_t small, double weight) {
                                       add(small, large, p.scale * weight);
                                     });
  });
}

template <class T, hwc Shape>
void launch(
    reference<T>&, ops::sum_pixels<Shape>,
    const typename ops::sum_pixels<Shape>::template params<typename reference<T>::storage>& p) {
  for (int i = 0; i < p.x.n; ++i)
    for (int c = 0; c < Shape.c; ++c) {
      double sum = 0;
      for (int pixel = 0; pixel < Shape.pixels(); ++pixel)
        sum += p.x.data[detail::pixel_at<Shape>(i, 0, pixel) + c];
      p.y.data[i * Shape.c + c] = static_cast<T>(p.scale * sum);
    }
}

template <class T, hwc Shape>
void launch(
    reference<T>&, ops::spread_pixels<Shape>,
    const typename ops::spread_pixels<Shape>::template params<typename reference<T>::storage>& p) {
  for (int i = 0; i < p.x.n; ++i)
    for (int pixel = 0; pixel < Shape.pixels(); ++pixel)
      for (int c = 0; c < Shape.c; ++c)
        p.y.data[detail::pixel_at<Shape>(i, 0, pixel) + c] =
            static_cast<T>(p.scale * static_cast<double>(p.x.data[i * Shape.c + c]));
}

}  // namespace gantry::backend
