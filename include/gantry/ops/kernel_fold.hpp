// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A 3 x 3 convolution of stride 1 and padding 1 behind nearest enlargement by two, or before the
// mean of 2 x 2 pixels, is one transposed or plain convolution with a 4 x 4 kernel of stride 2 and
// padding 1, whose weights are sums of the 3 x 3 ones. Per axis, V = (w0, w0 + w1, w1 + w2, w2):
//   pooled     (y_2i + y_2i+1) / 2 with y_t = sum_k w_k x_t-1+k is sum_j V_j / 2 x_2i-1+j
//   upsampled  y_t with x repeated: y_2i = w0 x_i-1 + (w1 + w2) x_i, y_2i+1 = (w0 + w1) x_i +
//              w2 x_i+1, which is V backwards at the taps of a transposed convolution
// Zero padding agrees: a pixel outside of the small (large) image is outside of the other one.
#pragma once

#include <string_view>

#include "gantry/ops/operation.hpp"

namespace gantry::inline v0 {

/// Which neighbour the convolution is fused with.
enum class fold_kind { upsampled, pooled };

struct fold_geometry {
  fold_kind kind{};
  int filters{}, channels{};

  /// Weights are [filters][3][3][channels].
  [[nodiscard]] constexpr int weights() const { return 9 * filters * channels; }
  /// Folded ones are [filters][4][4][channels], or [channels][4][4][filters] where they are a
  /// transposed convolution's.
  [[nodiscard]] constexpr int folded() const { return 16 * filters * channels; }
  [[nodiscard]] constexpr int folded_offset(int filter, int tap, int channel) const {
    return kind == fold_kind::pooled ? (filter * 16 + tap) * channels + channel
                                     : (channel * 16 + tap) * filters + filter;
  }
  /// True if tap k of the 4 x 4 kernel sums tap t of the 3 x 3 kernel.
  [[nodiscard]] constexpr bool sums(int k, int t) const {
    return sums_on_axis(k / 4, t / 3) && sums_on_axis(k % 4, t % 3);
  }
  [[nodiscard]] constexpr float scale() const { return kind == fold_kind::pooled ? 0.25f : 1.0f; }

  friend constexpr bool operator==(const fold_geometry&, const fold_geometry&) = default;

 private:
  [[nodiscard]] constexpr bool sums_on_axis(int k, int t) const {
    const int j = kind == fold_kind::pooled ? k : 3 - k;
    return j == t || j == t + 1;
  }
};

namespace ops {

/// folded = the 4 x 4 kernel.
template <fold_geometry G>
struct fold_kernel {
  static constexpr std::string_view name = "fold_kernel";
  template <class S>
  struct params {
    const typename S::scalar* weight;
    typename S::scalar* folded;
  };
};

/// dweight += the adjoint of fold_kernel applied to dfolded.
template <fold_geometry G>
struct unfold_gradient {
  static constexpr std::string_view name = "unfold_gradient";
  template <class S>
  struct params {
    const typename S::scalar* dfolded;
    typename S::scalar* dweight;
  };
};

}  // namespace ops
}  // namespace gantry
