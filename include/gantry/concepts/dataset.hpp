// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

namespace gantry::inline v0 {

/// The real samples of one worker. `read(step, out, batch)` writes the batch of that step,
/// canonical [n][h][w][c] floats in [-1, 1]; it is a pure function of the step, so that a resumed
/// run sees the same data.
template <class D>
concept BatchSource = requires(D& d, const D& cd, std::uint32_t step, std::span<float> out, int n) {
  { d.read(step, out, n) } -> std::same_as<void>;
  { cd.size() } -> std::convertible_to<std::int64_t>;
};

/// A source whose samples have classes: `labels(step, batch)` are those of the batch that
/// read(step, ...) writes, valid until the next call.
template <class D>
concept LabelledSource = BatchSource<D> && requires(D& d, std::uint32_t step, int n) {
  { d.labels(step, n) } -> std::convertible_to<std::span<const std::uint8_t>>;
};

/// A source of images that are in memory, 8 bits per channel: image(i) for i < size(), and
/// positions(step, batch) are those of the batch that read(step, ...) writes. A device may hold
/// them.
template <class D>
concept StoredImageSource = BatchSource<D> &&
    requires(D& d, const D& cd, std::uint32_t step, int n) {
  { cd.image(std::size_t{}) } -> std::same_as<std::span<const std::uint8_t>>;
  { d.positions(step, n) } -> std::same_as<std::span<const std::uint32_t>>;
};

/// A source that knows how many of its samples have label 0, 1, ..., 255, for strategies that weigh
/// workers by their labels.
template <class D>
concept CountedSource = BatchSource<D> && requires(const D& d) {
  { d.label_counts() } -> std::same_as<std::array<std::int64_t, 256>>;
};

}  // namespace gantry
