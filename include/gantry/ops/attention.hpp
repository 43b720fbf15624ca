// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Attention of every pixel of a sample to all of its pixels. A projected sample holds q, k and v
// behind one another in the channels of each pixel (`keys`, `keys` and `values` of them). With
// B = softmax over j of <q_i, k_j>, the result of pixel i is sum_j B_ij v_j. B itself is never
// kept: its rows follow from `normaliser`, the logarithms of their sums.
#pragma once

#include <cstddef>
#include <string_view>

#include "gantry/ops/operation.hpp"

namespace gantry::inline v0 {

struct attention_geometry {
  int h{}, w{}, keys{}, values{};
  [[nodiscard]] constexpr int positions() const { return h * w; }
  [[nodiscard]] constexpr hwc projected() const { return {h, w, 2 * keys + values}; }
  [[nodiscard]] constexpr hwc result() const { return {h, w, values}; }
  friend constexpr bool operator==(const attention_geometry&, const attention_geometry&) = default;
};

namespace ops {

/// y = the result for the projected batch x; normaliser[i * positions + p] for pixel p of sample i.
template <attention_geometry G>
struct attention_forward {
  static constexpr std::string_view name = "attention_forward";
  template <class S>
  struct params {
    const_batch_of<S> x;
    batch_of<S> y;
    typename S::scalar* normaliser;
  };
};

/// dx = the gradient by x.
template <attention_geometry G>
struct attention_backward {
  static constexpr std::string_view name = "attention_backward";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const typename S::scalar* normaliser;
    const_batch_of<S> dy;
    batch_of<S> dx;
  };
};

/// ty = the derivative of y along tx.
template <attention_geometry G>
struct attention_tangent {
  static constexpr std::string_view name = "attention_tangent";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const typename S::scalar* normaliser;
    const_batch_of<S> tx;
    batch_of<S> ty;
  };
};

/// ex = the gradient by x of <gy, ty> + <ey, y>; ey.data null means zero.
template <attention_geometry G>
struct attention_second_order {
  static constexpr std::string_view name = "attention_second_order";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const typename S::scalar* normaliser;
    const_batch_of<S> tx, gy, ey;
    batch_of<S> ex;
  };
};

/// y = *scale x.
struct scaled_copy {
  static constexpr std::string_view name = "scaled_copy";
  template <class S>
  struct params {
    const typename S::scalar* x;
    const typename S::scalar* scale;
    typename S::scalar* y;
    std::size_t count;
  };
};

/// Its gradient: dx += *scale dy, *dscale += <dy, x>.
struct scaled_copy_gradient {
  static constexpr std::string_view name = "scaled_copy_gradient";
  template <class S>
  struct params {
    const typename S::scalar* x;
    const typename S::scalar* scale;
    const typename S::scalar* dy;
    typename S::scalar* dx;
    typename S::scalar* dscale;
    std::size_t count;
  };
};

}  // namespace ops
}  // namespace gantry
