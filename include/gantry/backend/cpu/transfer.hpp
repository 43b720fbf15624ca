// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Ops that see where a scalar lies: copies into and out of a layout, and dropout, whose random
// numbers belong to canonical places.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "gantry/backend/cpu/backend.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0::backend {

namespace detail {

/// Calls f(k, place, length) for the runs of sample i of n that lie together: `length` scalars from
/// canonical index k on are at `place`.
template <class Layout, hwc Shape, class F>
void for_each_run(int n, int i, F&& f) {
  for (int k = 0; k < Shape.size();) {
    const int length = Layout::run(Shape, k);
    f(k, Layout::offset(Shape, n, i, k), length);
    k += length;
  }
}

/// Samples in one piece of work that moves them.
template <hwc Shape>
inline constexpr std::size_t transfer_grain =
    std::max<std::size_t>(1, 16384 / static_cast<std::size_t>(Shape.size()));

template <hwc Shape, kernel_set K, class F>
void split_samples(basic_cpu<K>& b, int n, F&& f) {
  b.split(static_cast<std::size_t>(n), transfer_grain<Shape>,
          [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) f(static_cast<int>(i));
          });
}

/// Canonical samples [n][h][w][c] from a layout, and into it.
template <hwc Shape, kernel_set K>
void to_canonical(basic_cpu<K>& b, const float* x, int n, float* target) {
  using layout = typename basic_cpu<K>::storage::layout;
  split_samples<Shape>(b, n, [=](int i) {
    for_each_run<layout, Shape>(n, i, [&](int k, std::size_t place, int length) {
      std::copy_n(x + place, length, target + static_cast<std::size_t>(i) * Shape.size() + k);
    });
  });
}
template <hwc Shape, kernel_set K>
void from_canonical(basic_cpu<K>& b, const float* source, int n, float* y) {
  using layout = typename basic_cpu<K>::storage::layout;
  split_samples<Shape>(b, n, [=](int i) {
    for_each_run<layout, Shape>(n, i, [&](int k, std::size_t place, int length) {
      std::copy_n(source + static_cast<std::size_t>(i) * Shape.size() + k, length, y + place);
    });
  });
}

}  // namespace detail

template <kernel_set K, hwc Shape>
void launch(
    basic_cpu<K>& b, ops::import_samples<Shape>,
    const typename ops::import_samples<Shape>::template params<typename basic_cpu<K>::storage>& p) {
  detail::from_canonical<Shape>(b, p.source, p.y.n, p.y.data);
}

template <kernel_set K, hwc Shape>
void launch(
    basic_cpu<K>& b, ops::export_samples<Shape>,
    const typename ops::export_samples<Shape>::template params<typename basic_cpu<K>::storage>& p) {
  detail::to_canonical<Shape>(b, p.x.data, p.x.n, p.target);
  if (p.scale == 1.0f) return;
  const float scale = p.scale;
  std::transform(p.target, p.target + nhwc::elements(Shape, p.x.n), p.target,
                 [scale](float v) { return v * scale; });
}

template <kernel_set K, hwc From, hwc To>
void launch(
    basic_cpu<K>& b, ops::reshape<From, To>,
    const typename ops::reshape<From, To>::template params<typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  if constexpr (layout::reshape_is_free(From, To)) {
    if (p.x.data != p.y.data) std::copy_n(p.x.data, layout::elements(From, p.x.n), p.y.data);
  } else {
    float* canonical = scratch(scratch_use::op, nhwc::elements(From, p.x.n));
    detail::to_canonical<From>(b, p.x.data, p.x.n, canonical);
    detail::from_canonical<To>(b, canonical, p.x.n, p.y.data);
  }
}

template <kernel_set K, hwc Shape>
void launch(
    basic_cpu<K>& b, ops::dropout<Shape>,
    const typename ops::dropout<Shape>::template params<typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  constexpr std::size_t stretch = 512;
  const float scale = 1.0f / (1.0f - p.rate);
  detail::split_samples<Shape>(b, p.x.n, [&](int i) {
    const std::size_t first = static_cast<std::size_t>(i) * Shape.size();
    std::array<std::uint32_t, stretch + 4> words;  // a stretch may begin inside of a block
    for (std::size_t from = 0; from < Shape.size(); from += stretch) {
      const std::size_t end = std::min<std::size_t>(from + stretch, Shape.size());
      const std::size_t block = (first + from) / 4;
      philox::fill(p.stream, static_cast<std::uint32_t>(block),
                   std::span(words).first(4 * (ceil_div(first + end, std::size_t{4}) - block)));
      const std::uint32_t* word = words.data() + (first + from - 4 * block);
      for (std::size_t k = from; k < end;) {
        const std::size_t place = layout::offset(Shape, p.x.n, i, static_cast<int>(k)),
                          length = std::min<std::size_t>(layout::run(Shape, static_cast<int>(k)),
                                                         end - k);
        for (std::size_t j = 0; j < length; ++j) {
          const float kept = p.x.data[place + j] * scale;
          p.y.data[place + j] = philox::to_unit(word[k - from + j]) > p.rate ? kept : 0.0f;
        }
        k += length;
      }
    }
  });
}

}  // namespace gantry::backend
