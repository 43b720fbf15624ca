// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Augmentations, pixel by pixel and in place where asked; a sample is one thread's work.
#pragma once

#include <algorithm>
#include <cstddef>

#include "gantry/backend/cpu/backend.hpp"
#include "gantry/backend/cpu/transfer.hpp"
#include "gantry/ops/augment.hpp"

namespace gantry::inline v0::backend {

namespace detail {

/// The pixels of sample i of n; a pixel's channels lie in strips.
template <class Layout, hwc Shape>
struct sample_pixels {
  static constexpr int strip = std::min(Shape.c, Layout::run(Shape, 0));
  int n, i;

  /// Calls f(place, length) for the strips of a pixel.
  template <class F>
  void visit(int pixel, F&& f) const {
    for (int c = 0; c < Shape.c; c += strip)
      f(Layout::offset(Shape, n, i, pixel * Shape.c + c), std::min(strip, Shape.c - c));
  }
  void copy(const float* x, int from, float* y, int to) const {
    for (int c = 0; c < Shape.c; c += strip) {
      const std::size_t source = Layout::offset(Shape, n, i, from * Shape.c + c);
      const std::size_t target = Layout::offset(Shape, n, i, to * Shape.c + c);
      for (int j = 0; j < std::min(strip, Shape.c - c); ++j) y[target + j] = x[source + j];
    }
  }
  void clear(float* y, int pixel) const {
    visit(pixel, [&](std::size_t place, int length) { std::fill_n(y + place, length, 0.0f); });
  }
  [[nodiscard]] double sum(const float* x, int pixel) const {
    double total = 0;
    visit(pixel, [&](std::size_t place, int length) {
      for (int j = 0; j < length; ++j) total += static_cast<double>(x[place + j]);
    });
    return total;
  }
  void copy_all(const float* x, float* y) const {
    if (x == y) return;
    for (int pixel = 0; pixel < Shape.pixels(); ++pixel) copy(x, pixel, y, pixel);
  }
  void copy_shifted(const float* x, float* y, augmentation::offset d) const {
    const int ahead = d.down * Shape.w + d.right;
    // In place: a pixel is read before it is written if the walk follows the source.
    for (int k = 0; k < Shape.pixels(); ++k) {
      const int to = ahead >= 0 ? k : Shape.pixels() - 1 - k;
      const int row = to / Shape.w + d.down, column = to % Shape.w + d.right;
      if (row >= 0 && row < Shape.h && column >= 0 && column < Shape.w)
        copy(x, row * Shape.w + column, y, to);
      else
        clear(y, to);
    }
  }
  void copy_flipped(const float* x, float* y) const {
    for (int k = 0; k < Shape.pixels(); ++k) {
      const int mirror = k - k % Shape.w + Shape.w - 1 - k % Shape.w;
      if (mirror < k) continue;
      for (int c = 0; c < Shape.c; c += strip) {
        const std::size_t l = Layout::offset(Shape, n, i, k * Shape.c + c);
        const std::size_t r = Layout::offset(Shape, n, i, mirror * Shape.c + c);
        for (int j = 0; j < std::min(strip, Shape.c - c); ++j) {
          const float left = x[l + j], right = x[r + j];
          y[l + j] = right;
          y[r + j] = left;
        }
      }
    }
  }
};

template <hwc Shape, kernel_set K, class F>
void for_each_sample_pixels(basic_cpu<K>& b, int n, F&& f) {
  split_samples<Shape>(b, n, [&](int i) {
    f(sample_pixels<typename basic_cpu<K>::storage::layout, Shape>{n, i}, i);
  });
}

}  // namespace detail

template <kernel_set K, hwc Shape>
void launch(
    basic_cpu<K>& b, ops::augment_color<Shape>,
    const typename ops::augment_color<Shape>::template params<typename basic_cpu<K>::storage>& p) {
  detail::for_each_sample_pixels<Shape>(b, p.x.n, [&](const auto& pixels, int i) {
    const float* x = p.x.data;
    float* y = p.y.data;
    const augmentation::color d = augmentation::draw_color(p.stream, i, p.probability);
    if (!d.changes) return pixels.copy_all(x, y);
    double sum = 0;
    for (int pixel = 0; pixel < Shape.pixels(); ++pixel) sum += pixels.sum(x, pixel);
    const float by_value = d.contrast * d.saturation;
    const float by_pixel = d.contrast * (1.0f - d.saturation) / static_cast<float>(Shape.c);
    const float constant = (1.0f - d.contrast) * static_cast<float>(sum / Shape.size()) +
                           (p.shift ? d.brightness : 0.0f);
    for (int pixel = 0; pixel < Shape.pixels(); ++pixel) {
      const float rest = by_pixel * static_cast<float>(pixels.sum(x, pixel)) + constant;
      pixels.visit(pixel, [&](std::size_t place, int length) {
        for (int j = 0; j < length; ++j) y[place + j] = by_value * x[place + j] + rest;
      });
    }
  });
}

template <kernel_set K, hwc Shape>
void launch(
    basic_cpu<K>& b, ops::augment_translation<Shape>,
    const typename ops::augment_translation<Shape>::template params<typename basic_cpu<K>::storage>&
        p) {
  detail::for_each_sample_pixels<Shape>(b, p.x.n, [&](const auto& pixels, int i) {
    augmentation::offset d = augmentation::draw_offset(Shape, p.stream, i, p.probability, p.ratio);
    if (p.transposed) d = {-d.down, -d.right};
    pixels.copy_shifted(p.x.data, p.y.data, d);
  });
}

template <kernel_set K, hwc Shape>
void launch(
    basic_cpu<K>& b, ops::augment_cutout<Shape>,
    const typename ops::augment_cutout<Shape>::template params<typename basic_cpu<K>::storage>& p) {
  detail::for_each_sample_pixels<Shape>(b, p.x.n, [&](const auto& pixels, int i) {
    const augmentation::rectangle d =
        augmentation::draw_rectangle(Shape, p.stream, i, p.probability, p.ratio);
    pixels.copy_all(p.x.data, p.y.data);
    for (int row = d.top; row < d.bottom; ++row)
      for (int column = d.left; column < d.right; ++column)
        pixels.clear(p.y.data, row * Shape.w + column);
  });
}

template <kernel_set K, hwc Shape>
void launch(
    basic_cpu<K>& b, ops::augment_flip<Shape>,
    const typename ops::augment_flip<Shape>::template params<typename basic_cpu<K>::storage>& p) {
  detail::for_each_sample_pixels<Shape>(b, p.x.n, [&](const auto& pixels, int i) {
    if (augmentation::draw_flip(p.stream, i, p.probability))
      pixels.copy_flipped(p.x.data, p.y.data);
    else
      pixels.copy_all(p.x.data, p.y.data);
  });
}

}  // namespace gantry::backend
