// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

#include "gantry/backend/reference/backend.hpp"
#include "gantry/ops/augment.hpp"

namespace gantry::inline v0::backend {

namespace detail {

/// Calls f(i, x, y) for every sample: its index, a copy of it, and where the result goes.
template <hwc Shape, class T, class F>
void for_each_sample(const T* x, T* y, int n, F&& f) {
  const auto size = static_cast<std::size_t>(Shape.size());
  for (int i = 0; i < n; ++i) {
    const T* from = x + static_cast<std::size_t>(i) * size;
    const std::vector<T> sample(from, from + size);
    f(i, sample, y + static_cast<std::size_t>(i) * size);
  }
}

/// y(row, column) = pick(row, column), a pixel as index into `x`, or 0 where that is negative.
template <hwc Shape, class T, class Pick>
void pick_pixels(const std::vector<T>& x, T* y, Pick&& pick) {
  for (int row = 0; row < Shape.h; ++row)
    for (int column = 0; column < Shape.w; ++column) {
      const int from = pick(row, column);
      for (int c = 0; c < Shape.c; ++c)
        y[(row * Shape.w + column) * Shape.c + c] = from < 0 ? T(0) : x[from * Shape.c + c];
    }
}

}  // namespace detail

/// The three changes one after the other.
template <class T, hwc Shape>
void launch(
    reference<T>&, ops::augment_color<Shape>,
    const typename ops::augment_color<Shape>::template params<typename reference<T>::storage>& p) {
  detail::for_each_sample<Shape>(
      p.x.data, p.y.data, p.x.n, [&](int i, const std::vector<T>& x, T* y) {
        std::copy(x.begin(), x.end(), y);
        const augmentation::color d = augmentation::draw_color(p.stream, i, p.probability);
        if (!d.changes) return;
        for (int k = 0; p.shift && k < Shape.size(); ++k) y[k] += static_cast<T>(d.brightness);
        for (T* pixel = y; pixel != y + Shape.size(); pixel += Shape.c) {
          const double mean = std::accumulate(pixel, pixel + Shape.c, 0.0) / Shape.c;
          for (int c = 0; c < Shape.c; ++c)
            pixel[c] = static_cast<T>((pixel[c] - mean) * d.saturation + mean);
        }
        const double mean = std::accumulate(y, y + Shape.size(), 0.0) / Shape.size();
        for (int k = 0; k < Shape.size(); ++k)
          y[k] = static_cast<T>((y[k] - mean) * d.contrast + mean);
      });
}

template <class T, hwc Shape>
void launch(
    reference<T>&, ops::augment_translation<Shape>,
    const typename ops::augment_translation<Shape>::template params<typename reference<T>::storage>&
        p) {
  detail::for_each_sample<Shape>(
      p.x.data, p.y.data, p.x.n, [&](int i, const std::vector<T>& x, T* y) {
        const augmentation::offset d =
            augmentation::draw_offset(Shape, p.stream, i, p.probability, p.ratio);
        const int sign = p.transposed ? -1 : 1;
        detail::pick_pixels<Shape>(x, y, [&](int row, int column) {
          const int r = row + sign * d.down, c = column + sign * d.right;
          return r >= 0 && r < Shape.h && c >= 0 && c < Shape.w ? r * Shape.w + c : -1;
        });
      });
}

template <class T, hwc Shape>
void launch(
    reference<T>&, ops::augment_cutout<Shape>,
    const typename ops::augment_cutout<Shape>::template params<typename reference<T>::storage>& p) {
  detail::for_each_sample<Shape>(
      p.x.data, p.y.data, p.x.n, [&](int i, const std::vector<T>& x, T* y) {
        const augmentation::rectangle d =
            augmentation::draw_rectangle(Shape, p.stream, i, p.probability, p.ratio);
        detail::pick_pixels<Shape>(x, y, [&](int row, int column) {
          return d.holds(row, column) ? -1 : row * Shape.w + column;
        });
      });
}

template <class T, hwc Shape>
void launch(
    reference<T>&, ops::augment_flip<Shape>,
    const typename ops::augment_flip<Shape>::template params<typename reference<T>::storage>& p) {
  detail::for_each_sample<Shape>(
      p.x.data, p.y.data, p.x.n, [&](int i, const std::vector<T>& x, T* y) {
        const bool flips = augmentation::draw_flip(p.stream, i, p.probability);
        detail::pick_pixels<Shape>(x, y, [&](int row, int column) {
          return row * Shape.w + (flips ? Shape.w - 1 - column : column);
        });
      });
}

}  // namespace gantry::backend
