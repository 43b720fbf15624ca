// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What all pixels of a sample share, one number per sample and channel, lies in a table that has
// the order of the activations themselves: its places are called slots. A batch is then a number of
// planes (pixels, or rows of a thin image) that all fall onto the same slots, and every loop runs
// over memory that lies together. Where a plane is a row of a thin image, each of its pixels has a
// slot.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>

#include "gantry/backend/cpu/backend.hpp"

namespace gantry::inline v0::backend::detail {

template <class Layout, hwc Shape>
struct slot_walk {
  static constexpr bool batch_inside = std::is_same_v<Layout, blocked>;
  static constexpr bool thin = blocked::is_thin(Shape);
  static constexpr bool packed = batch_inside && !thin;
  static constexpr int lanes = thin ? Shape.w * Shape.c : packed ? blocked::block : Shape.c;
  static constexpr int planes = thin ? Shape.h : Shape.pixels();
  static constexpr int blocks = packed ? blocked::blocks(Shape) : 1;
  /// Slots of one channel of a sample, Shape.c apart.
  static constexpr int copies = thin ? Shape.w : 1;

  /// Slots are `rows` runs of `length`; a plane has each run in one piece.
  static std::size_t rows(int n) { return static_cast<std::size_t>(batch_inside ? blocks : n); }
  static std::size_t length(int n) {
    return batch_inside ? static_cast<std::size_t>(n) * lanes : static_cast<std::size_t>(lanes);
  }
  static std::size_t slots(int n) { return rows(n) * length(n); }
  /// Where row `row` of a plane starts.
  static std::size_t place(int n, std::size_t row, std::size_t plane) {
    return (batch_inside ? plane * blocks + row : row * planes + plane) * length(n);
  }
  /// The first slot of a channel of sample i.
  static std::size_t slot(int n, int i, int channel) {
    if (!packed) return static_cast<std::size_t>(i) * lanes + channel;
    return (static_cast<std::size_t>(channel / blocked::block) * n + i) * blocked::block +
           channel % blocked::block;
  }
};

/// Slots that one piece of work sums.
inline constexpr std::size_t slot_tile = 128;

/// Up to slot_tile slots of a row, from `first` on.
struct slot_piece {
  int n;
  std::size_t row, first;
};

/// Adds term(place, slot), an array of K numbers, of up to 64 planes.
template <int K, class Walk, class Count, class Term>
void add_planes(const slot_piece& piece, Count count, std::size_t plane, const Term& term,
                std::array<float, K * slot_tile>& sum) {
  const std::size_t slot = piece.row * Walk::length(piece.n) + piece.first;
  const std::size_t stop = std::min<std::size_t>(plane + 64, Walk::planes);
  for (; plane < stop; ++plane) {
    const std::size_t at = Walk::place(piece.n, piece.row, plane) + piece.first;
    for (std::size_t j = 0; j < count; ++j) {
      const std::array<float, K> terms = term(at + j, slot + j);
      for (std::size_t k = 0; k < K; ++k) sum[k * slot_tile + j] += terms[k];
    }
  }
}

/// sums[k * slots + slot] = the sum over planes of term(place, slot)[k]: in float over 64 planes,
/// in double over those.
template <int K, class Walk, kernel_set S, class Term>
void sum_slots(basic_cpu<S>& b, int n, float* sums, const Term& term) {
  const std::size_t length = Walk::length(n), tiles = ceil_div(length, slot_tile);
  const std::size_t slots = Walk::slots(n), work = std::min(length, slot_tile) * Walk::planes;
  const auto tile = [&](std::size_t row, std::size_t first, auto count) {
    const auto own = term;
    std::array<double, K * slot_tile> total{};
    for (std::size_t plane = 0; plane < Walk::planes; plane += 64) {
      std::array<float, K * slot_tile> part{};
      add_planes<K, Walk>({n, row, first}, count, plane, own, part);
      for (std::size_t j = 0; j < part.size(); ++j) total[j] += part[j];
    }
    for (std::size_t k = 0; k < K; ++k)
      for (std::size_t j = 0; j < count; ++j)
        sums[k * slots + row * length + first + j] = static_cast<float>(total[k * slot_tile + j]);
  };
  b.split(Walk::rows(n) * tiles, ceil_div<std::size_t>(16384, work),
          [&](std::size_t begin, std::size_t end) {
            for (std::size_t piece = begin; piece < end; ++piece) {
              const std::size_t first = piece % tiles * slot_tile;
              if (length - first >= slot_tile)
                tile(piece / tiles, first, std::integral_constant<std::size_t, slot_tile>{});
              else
                tile(piece / tiles, first, length - first);
            }
          });
}

/// Calls f(place, slot) for every number of a batch. Each piece has a copy of f, which no store can
/// reach, so the loop is vectorised.
template <class Walk, kernel_set S, class F>
void map_slots(basic_cpu<S>& b, int n, const F& f) {
  const std::size_t length = Walk::length(n), rows = Walk::rows(n);
  b.split(rows * Walk::planes, ceil_div<std::size_t>(16384, length),
          [&](std::size_t begin, std::size_t end) {
            const auto own = f;
            for (std::size_t unit = begin; unit < end; ++unit) {
              const std::size_t row = Walk::batch_inside ? unit % rows : unit / Walk::planes;
              const std::size_t at = unit * length, slot = row * length;
              for (std::size_t j = 0; j < length; ++j) own(at + j, slot + j);
            }
          });
}

}  // namespace gantry::backend::detail
