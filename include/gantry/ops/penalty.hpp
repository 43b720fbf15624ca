// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What penalties on the gradient by the input need: the points they are taken at, and their value
// with its derivative by that gradient.
#pragma once

#include <cmath>
#include <string_view>

#include "gantry/base/rng.hpp"
#include "gantry/ops/operation.hpp"

namespace gantry::inline v0 {

/// Functions of the Euclidean norm of a sample's gradient: value, and the derivative divided by the
/// norm, which is what the gradient is multiplied by. constexpr, so that device code may call them.
namespace gradient_norm {

/// (norm - 1)^2 (Gulrajani et al., arXiv 1704.00028, eq. 3). At norm 0, where it has no derivative,
/// the factor is 0.
struct distance_from_one {
  template <class T>
  [[nodiscard]] constexpr T value(T square) const {
    const T d = std::sqrt(square) - 1;
    return d * d;
  }
  template <class T>
  [[nodiscard]] constexpr T factor(T square) const {
    const T norm = std::sqrt(square);
    return norm == 0 ? 0 : 2 * (norm - 1) / norm;
  }
};

/// norm^2 (Mescheder et al., arXiv 1801.04406, eq. 9).
struct squared {
  [[nodiscard]] constexpr double value(double square) const { return square; }
  [[nodiscard]] constexpr double factor(double) const { return 2; }
};

}  // namespace gradient_norm

namespace ops {

/// *sum += weight mean_i f(|g_i|); v = the derivative of that by g. v may alias g.
template <hwc Shape, class Function>
struct gradient_penalty {
  static constexpr std::string_view name = "gradient_penalty";
  template <class S>
  struct params {
    const_batch_of<S> g;
    batch_of<S> v;
    float weight;
    typename S::scalar* sum;
    Function f;
  };
};

/// y_i = u_i a_i + (1 - u_i) b_i with u uniform in (0, 1], one number per sample: word i % 4 of
/// block i / 4.
template <hwc Shape>
struct interpolate {
  static constexpr std::string_view name = "interpolate";
  template <class S>
  struct params {
    const_batch_of<S> a, b;
    batch_of<S> y;
    stream_id stream;
  };
};

/// y_i = x_i + radius deviation u_i w_i: w uniform in (0, 1] for every number (element k of sample
/// i in canonical order: word j % 4 of block n + j / 4, j = i size + k), u as in `interpolate`,
/// deviation that of all numbers of the batch (Kodali et al., arXiv 1705.07215, in the form of the
/// authors' code).
template <hwc Shape>
struct perturb {
  static constexpr std::string_view name = "perturb";
  template <class S>
  struct params {
    const_batch_of<S> x;
    batch_of<S> y;
    float radius;
    stream_id stream;
  };
};

}  // namespace ops
}  // namespace gantry
