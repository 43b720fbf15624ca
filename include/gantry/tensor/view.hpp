// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "gantry/tensor/shape.hpp"

namespace gantry::inline v0 {

/// Layout [n][h][w][c], channels innermost: the canonical order of messages, images and user code.
struct nhwc {
  /// Scalars that a batch of n samples occupies.
  static constexpr std::size_t elements(hwc sample, int n) {
    return static_cast<std::size_t>(sample.size()) * static_cast<std::size_t>(n);
  }
  /// Where scalar k, in canonical order, of sample i of n lies.
  static constexpr std::size_t offset(hwc sample, int, int i, int k) {
    return static_cast<std::size_t>(i) * sample.size() + k;
  }
  /// How many scalars of a sample, from k on, lie one after the other.
  static constexpr int run(hwc sample, int k) { return sample.size() - k; }
  /// True if re-interpreting the extents of a sample moves no data.
  static constexpr bool reshape_is_free(hwc, hwc) { return true; }
};

/// How a backend stores activations: the number type and the layout. Ops are written against this
/// pair, not against a backend.
template <class Scalar, class Layout>
struct storage {
  using scalar = Scalar;
  using layout = Layout;
};

/// A batch of n samples, not owning. The sample's extents are in the type of the op or layer that
/// uses it; the layout is in this type, so that batches of different backends do not mix.
template <class T, class Layout>
struct batch_view {
  T* data{};
  int n{};
  constexpr operator batch_view<const T, Layout>() const { return {data, n}; }
};

template <class Storage>
using batch_of = batch_view<typename Storage::scalar, typename Storage::layout>;
template <class Storage>
using const_batch_of = batch_view<const typename Storage::scalar, typename Storage::layout>;

}  // namespace gantry
