// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Both directions work on rows of weights that lie together; the transposed convolution's kernel
// has filters innermost, so that its rows come from blocks of 16 x 16 turned over.
#pragma once

#include <algorithm>
#include <cstddef>

#include "gantry/backend/cpu/backend.hpp"
#include "gantry/backend/cpu/transpose.hpp"
#include "gantry/ops/kernel_fold.hpp"

namespace gantry::inline v0::backend {

namespace detail {

/// Rows of `length` numbers, one per tap, `stride` apart.
template <class T>
struct tap_rows {
  T* data;
  std::ptrdiff_t stride;
  [[nodiscard]] T* row(int tap) const { return data + tap * stride; }
};

/// 16 rows from 9.
template <fold_geometry G>
void fold_rows(const tap_rows<const float>& from, const tap_rows<float>& to, int length) {
  for (int k = 0; k < 16; ++k) {
    float* sum = to.row(k);
    std::fill_n(sum, length, 0.0f);
    for (int t = 0; t < 9; ++t) {
      if (!G.sums(k, t)) continue;
      const float* term = from.row(t);
      for (int i = 0; i < length; ++i) sum[i] += G.scale() * term[i];
    }
  }
}

/// Adds to 9 rows what 16 give.
template <fold_geometry G>
void unfold_rows(const tap_rows<const float>& from, const tap_rows<float>& to, int length) {
  for (int t = 0; t < 9; ++t)
    for (int k = 0; k < 16; ++k) {
      if (!G.sums(k, t)) continue;
      const float* term = from.row(k);
      float* sum = to.row(t);
      for (int i = 0; i < length; ++i) sum[i] += G.scale() * term[i];
    }
}

/// Calls f(first filter, filters, first channel, channels) for blocks of up to 16 x 16.
template <fold_geometry G, kernel_set K, class F>
void for_each_weight_block(basic_cpu<K>& b, F&& f) {
  constexpr int across = ceil_div(G.filters, 16), down = ceil_div(G.channels, 16);
  b.for_each(across * down, [&](int piece) {
    const int filter = piece % across * 16, channel = piece / across * 16;
    f(filter, std::min(16, G.filters - filter), channel, std::min(16, G.channels - channel));
  });
}

/// The 9 taps of a block of weights, [tap][channel][filter].
using turned_block = float[9][16][16];

}  // namespace detail

template <kernel_set K, fold_geometry G>
void launch(
    basic_cpu<K>& b, ops::fold_kernel<G>,
    const typename ops::fold_kernel<G>::template params<typename basic_cpu<K>::storage>& p) {
  if constexpr (G.kind == fold_kind::pooled) {
    b.split(G.filters, 8, [&](std::size_t first, std::size_t last) {
      for (std::size_t f = first; f < last; ++f)
        detail::fold_rows<G>({p.weight + f * 9 * G.channels, G.channels},
                             {p.folded + f * 16 * G.channels, G.channels}, G.channels);
    });
  } else {
    detail::for_each_weight_block<G>(b, [&](int filter, int rows, int channel, int columns) {
      alignas(64) detail::turned_block turned;
      for (int t = 0; t < 9; ++t)
        detail::transpose_part(p.weight + (filter * 9 + t) * G.channels + channel, 9 * G.channels,
                               rows, columns, &turned[t][0][0], 16);
      for (int c = 0; c < columns; ++c)
        detail::fold_rows<G>(
            {turned[0][c], 256},
            {p.folded + static_cast<std::size_t>(channel + c) * 16 * G.filters + filter, G.filters},
            rows);
    });
  }
}

template <kernel_set K, fold_geometry G>
void launch(
    basic_cpu<K>& b, ops::unfold_gradient<G>,
    const typename ops::unfold_gradient<G>::template params<typename basic_cpu<K>::storage>& p) {
  if constexpr (G.kind == fold_kind::pooled) {
    b.split(G.filters, 8, [&](std::size_t first, std::size_t last) {
      for (std::size_t f = first; f < last; ++f)
        detail::unfold_rows<G>({p.dfolded + f * 16 * G.channels, G.channels},
                               {p.dweight + f * 9 * G.channels, G.channels}, G.channels);
    });
  } else {
    detail::for_each_weight_block<G>(b, [&](int filter, int rows, int channel, int columns) {
      alignas(64) detail::turned_block turned{};
      for (int c = 0; c < columns; ++c)
        detail::unfold_rows<G>(
            {p.dfolded + static_cast<std::size_t>(channel + c) * 16 * G.filters + filter,
             G.filters},
            {turned[0][c], 256}, rows);
      for (int t = 0; t < 9; ++t)
        for (int f = 0; f < rows; ++f) {
          float* to = p.dweight + ((filter + f) * 9 + t) * G.channels + channel;
          for (int c = 0; c < columns; ++c) to[c] += turned[t][c][f];
        }
    });
  }
}

}  // namespace gantry::backend
