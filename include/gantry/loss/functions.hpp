// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Scalar functions of a discriminator's output, with derivatives, from which objectives are put
// together. constexpr, so that device code may call them, too.
#pragma once

#include <cmath>

namespace gantry::inline v0::loss {

namespace detail {

template <class T>
constexpr T softplus(T x) {
  return (x > T(0) ? x : T(0)) + std::log1p(std::exp(-std::abs(x)));
}
template <class T>
constexpr T logistic(T x) {
  if (x >= T(0)) return T(1) / (T(1) + std::exp(-x));
  const T e = std::exp(x);
  return e / (T(1) + e);
}

}  // namespace detail

/// -log sigma(x): the output should say "real".
struct cross_entropy_real {
  template <class T>
  [[nodiscard]] constexpr T value(T x) const {
    return detail::softplus(-x);
  }
  template <class T>
  [[nodiscard]] constexpr T derivative(T x) const {
    return -detail::logistic(-x);
  }
};

/// -log(1 - sigma(x)): the output should say "fake".
struct cross_entropy_fake {
  template <class T>
  [[nodiscard]] constexpr T value(T x) const {
    return detail::softplus(x);
  }
  template <class T>
  [[nodiscard]] constexpr T derivative(T x) const {
    return detail::logistic(x);
  }
};

/// log(1 - sigma(x)): what the generator of the minimax game minimises.
struct negative_cross_entropy_fake {
  template <class T>
  [[nodiscard]] constexpr T value(T x) const {
    return -detail::softplus(x);
  }
  template <class T>
  [[nodiscard]] constexpr T derivative(T x) const {
    return -detail::logistic(x);
  }
};

/// (x - target)^2 / 2.
struct half_square {
  float target;
  template <class T>
  [[nodiscard]] constexpr T value(T x) const {
    const T d = x - static_cast<T>(target);
    return d * d / T(2);
  }
  template <class T>
  [[nodiscard]] constexpr T derivative(T x) const {
    return x - static_cast<T>(target);
  }
};

/// max(0, 1 - sign x), written so that NaN passes.
struct margin {
  float sign;
  template <class T>
  [[nodiscard]] constexpr T value(T x) const {
    const T gap = T(1) - static_cast<T>(sign) * x;
    return gap < T(0) ? T(0) : gap;
  }
  template <class T>
  [[nodiscard]] constexpr T derivative(T x) const {
    return T(1) - static_cast<T>(sign) * x > T(0) ? -static_cast<T>(sign) : T(0);
  }
};

/// factor x.
struct proportional {
  float factor;
  template <class T>
  [[nodiscard]] constexpr T value(T x) const {
    return static_cast<T>(factor) * x;
  }
  template <class T>
  [[nodiscard]] constexpr T derivative(T) const {
    return static_cast<T>(factor);
  }
};

}  // namespace gantry::loss
