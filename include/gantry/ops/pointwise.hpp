// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Ops on every scalar of an activation or of a flat arena, and copies between canonical host memory
// and a backend's layout.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "gantry/base/rng.hpp"
#include "gantry/ops/operation.hpp"

namespace gantry::inline v0 {

/// Activation functions: value(x), and the derivatives written in terms of the output, so that an
/// activation may overwrite its input. Those without a second derivative are piecewise linear.
namespace function {

struct relu {
  /// Written so that NaN passes.
  template <class T>
  [[nodiscard]] constexpr T value(T x) const {
    return x < T(0) ? T(0) : x;
  }
  template <class T>
  [[nodiscard]] constexpr T derivative(T y) const {
    return y > T(0) ? T(1) : T(0);
  }
};

struct leaky_relu {
  float slope;  ///< positive, so that the sign of the output is the sign of the input
  template <class T>
  [[nodiscard]] constexpr T value(T x) const {
    return x > T(0) ? x : static_cast<T>(slope) * x;
  }
  template <class T>
  [[nodiscard]] constexpr T derivative(T y) const {
    return y > T(0) ? T(1) : static_cast<T>(slope);
  }
};

struct tanh {
  template <class T>
  [[nodiscard]] T value(T x) const {
    return std::tanh(x);
  }
  template <class T>
  [[nodiscard]] constexpr T derivative(T y) const {
    return T(1) - y * y;
  }
  template <class T>
  [[nodiscard]] constexpr T second_derivative(T y) const {
    return T(-2) * y * (T(1) - y * y);
  }
};

struct sigmoid {
  template <class T>
  [[nodiscard]] T value(T x) const {
    if (x >= T(0)) return T(1) / (T(1) + std::exp(-x));
    const T e = std::exp(x);
    return e / (T(1) + e);
  }
  template <class T>
  [[nodiscard]] constexpr T derivative(T y) const {
    return y * (T(1) - y);
  }
  template <class T>
  [[nodiscard]] constexpr T second_derivative(T y) const {
    return y * (T(1) - y) * (T(1) - T(2) * y);
  }
};

/// log(1 + e^x).
struct softplus {
  template <class T>
  [[nodiscard]] constexpr T value(T x) const {
    return (x > T(0) ? x : T(0)) + std::log1p(std::exp(-std::abs(x)));
  }
  /// sigma(x) = 1 - e^-y.
  template <class T>
  [[nodiscard]] constexpr T derivative(T y) const {
    return -std::expm1(-y);
  }
  template <class T>
  [[nodiscard]] constexpr T second_derivative(T y) const {
    return std::exp(-y) * -std::expm1(-y);
  }
};

}  // namespace function

namespace ops {

/// y = f(x); y may alias x.
template <class Function>
struct activation_forward {
  static constexpr std::string_view name = "activation_forward";
  template <class S>
  struct params {
    const typename S::scalar* x;
    typename S::scalar* y;
    std::size_t count;
    Function f;
  };
};

/// dx = dy f'(x), with f' taken from y = f(x); dx may alias dy.
template <class Function>
struct activation_backward {
  static constexpr std::string_view name = "activation_backward";
  template <class S>
  struct params {
    const typename S::scalar* y;
    const typename S::scalar* dy;
    typename S::scalar* dx;
    std::size_t count;
    Function f;
  };
};

/// ex = ey f'(x) + gy tx f''(x), derivatives taken from y = f(x): the gradient by x of
/// <gy, f'(x) tx> + <ey, f(x)>. ey may be null (zero); ex may alias any of the inputs.
template <class Function>
struct activation_second_order {
  static constexpr std::string_view name = "activation_second_order";
  template <class S>
  struct params {
    const typename S::scalar* y;
    const typename S::scalar* tx;
    const typename S::scalar* gy;
    const typename S::scalar* ey;
    typename S::scalar* ex;
    std::size_t count;
    Function f;
  };
};

/// y = x / (1 - rate) where the stream's uniform number at this index exceeds `rate`, else 0.
/// Applied to dy it is its own gradient: the mask is drawn again from the counter, nothing is
/// stored. y may alias x. Element i of sample-major canonical order uses word i % 4 of block i / 4.
/// On backends with `takes_pairs`, x may be two batches of one size: the second draws from the
/// stream of another salt.
template <hwc Shape>
struct dropout {
  static constexpr std::string_view name = "dropout";
  template <class S>
  struct params {
    const_batch_of<S> x;
    batch_of<S> y;
    float rate;
    stream_id stream;
    std::optional<std::uint32_t> second_salt{};
  };
};

/// y += x, element by element.
struct accumulate {
  static constexpr std::string_view name = "accumulate";
  template <class S>
  struct params {
    const typename S::scalar* x;
    typename S::scalar* y;
    std::size_t count;
  };
};

/// y_i += scale_i x_i for every sample i, one scale per sample.
template <hwc Shape>
struct accumulate_scaled {
  static constexpr std::string_view name = "accumulate_scaled";
  template <class S>
  struct params {
    const_batch_of<S> x;
    const typename S::scalar* scale;
    batch_of<S> y;
  };
};

/// y = x.
struct copy {
  static constexpr std::string_view name = "copy";
  template <class S>
  struct params {
    const typename S::scalar* x;
    typename S::scalar* y;
    std::size_t count;
  };
};

/// y = x, sample by sample in canonical order, read with other extents of the same size; y may
/// alias x.
template <hwc From, hwc To>
struct reshape {
  static constexpr std::string_view name = "reshape";
  template <class S>
  struct params {
    const_batch_of<S> x;
    batch_of<S> y;
  };
};

/// y = value.
struct fill {
  static constexpr std::string_view name = "fill";
  template <class S>
  struct params {
    typename S::scalar* y;
    std::size_t count;
    float value;
  };
};

/// y = 0 and more = 0 in one pass; `more` is the shorter one.
struct clear {
  static constexpr std::string_view name = "clear";
  template <class S>
  struct params {
    typename S::scalar* y;
    std::size_t count;
    typename S::scalar* more;
    std::size_t more_count;
  };
};

/// y = min(max(y, -bound), bound): weight clipping.
struct clamp {
  static constexpr std::string_view name = "clamp";
  template <class S>
  struct params {
    typename S::scalar* y;
    std::size_t count;
    float bound;
  };
};

/// Canonical host floats [n][h][w][c] into a backend's layout.
template <hwc Shape>
struct import_samples {
  static constexpr std::string_view name = "import_samples";
  template <class S>
  struct params {
    const float* source;
    batch_of<S> y;
  };
};

/// A backend's layout into canonical host floats [n][h][w][c], multiplied by `scale`.
template <hwc Shape>
struct export_samples {
  static constexpr std::string_view name = "export_samples";
  template <class S>
  struct params {
    const_batch_of<S> x;
    float* target;
    float scale;
  };
};

}  // namespace ops
}  // namespace gantry
