// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <utility>

#include "gantry/backend/reference/backend.hpp"
#include "gantry/ops/minibatch_deviation.hpp"

namespace gantry::inline v0::backend {

namespace detail {

/// Mean and sqrt(variance + 1e-8) of number k over a group.
template <hwc Shape, class T>
std::pair<double, double> deviation_of(const T* x, const sample_groups& groups, int group, int k) {
  double sum = 0, square = 0;
  for (int i = group; i < groups.n; i += groups.count())
    sum += x[static_cast<std::size_t>(i) * Shape.size() + k];
  const double mean = sum / groups.members(group);
  for (int i = group; i < groups.n; i += groups.count()) {
    const double d = x[static_cast<std::size_t>(i) * Shape.size() + k] - mean;
    square += d * d;
  }
  return {mean, std::sqrt(square / groups.members(group) + 1e-8)};
}

}  // namespace detail

template <class T, hwc Shape, int Size>
void launch(reference<T>&, ops::minibatch_deviation_forward<Shape, Size>,
            const typename ops::minibatch_deviation_forward<Shape, Size>::template params<
                typename reference<T>::storage>& p) {
  const sample_groups groups{p.x.n, Size};
  for (int i = 0; i < p.x.n; ++i) {
    double sum = 0;
    for (int k = 0; k < Shape.size(); ++k)
      sum += detail::deviation_of<Shape>(p.x.data, groups, groups.group_of(i), k).second;
    for (int pixel = 0; pixel < Shape.pixels(); ++pixel) {
      const std::size_t row = static_cast<std::size_t>(i) * Shape.pixels() + pixel;
      T* y = p.y.data + row * (Shape.c + 1);
      for (int c = 0; c < Shape.c; ++c) y[c] = p.x.data[row * Shape.c + c];
      y[Shape.c] = static_cast<T>(sum / Shape.size());
    }
  }
}

template <class T, hwc Shape, int Size>
void launch(reference<T>&, ops::minibatch_deviation_backward<Shape, Size>,
            const typename ops::minibatch_deviation_backward<Shape, Size>::template params<
                typename reference<T>::storage>& p) {
  const sample_groups groups{p.x.n, Size};
  for (int group = 0; group < groups.count(); ++group) {
    double slope = 0;
    for (int i = group; i < p.x.n; i += groups.count())
      for (int pixel = 0; pixel < Shape.pixels(); ++pixel)
        slope += p.dy.data[(static_cast<std::size_t>(i) * Shape.pixels() + pixel) * (Shape.c + 1) +
                           Shape.c];
    for (int k = 0; k < Shape.size(); ++k) {
      const auto [mean, deviation] = detail::deviation_of<Shape>(p.x.data, groups, group, k);
      const double factor = slope / (deviation * groups.members(group) * Shape.size());
      for (int i = group; i < p.x.n; i += groups.count()) {
        const std::size_t at = static_cast<std::size_t>(i) * Shape.size() + k;
        const std::size_t row = static_cast<std::size_t>(i) * Shape.pixels() + k / Shape.c;
        p.dx.data[at] = static_cast<T>(p.dy.data[row * (Shape.c + 1) + k % Shape.c] +
                                       factor * (p.x.data[at] - mean));
      }
    }
  }
}

namespace detail {

/// The mean of d_k tx_k over a group.
template <hwc Shape, class T>
double deviation_slope(const T* x, const T* tx, const sample_groups& groups, int group, int k) {
  const double mean = deviation_of<Shape>(x, groups, group, k).first;
  double sum = 0;
  for (int i = group; i < groups.n; i += groups.count()) {
    const std::size_t at = static_cast<std::size_t>(i) * Shape.size() + k;
    sum += (x[at] - mean) * tx[at];
  }
  return sum / groups.members(group);
}

/// The sum of the appended channel over a group's members and pixels; 0 for a null batch.
template <hwc Shape, class T>
double total_of_channel(const T* y, const sample_groups& groups, int group) {
  double sum = 0;
  for (int i = group; y && i < groups.n; i += groups.count())
    for (int pixel = 0; pixel < Shape.pixels(); ++pixel)
      sum += y[(static_cast<std::size_t>(i) * Shape.pixels() + pixel) * (Shape.c + 1) + Shape.c];
  return sum;
}

}  // namespace detail

template <class T, hwc Shape, int Size>
void launch(reference<T>&, ops::minibatch_deviation_tangent<Shape, Size>,
            const typename ops::minibatch_deviation_tangent<Shape, Size>::template params<
                typename reference<T>::storage>& p) {
  const sample_groups groups{p.x.n, Size};
  for (int i = 0; i < p.x.n; ++i) {
    const int group = groups.group_of(i);
    double sum = 0;
    for (int k = 0; k < Shape.size(); ++k)
      sum += detail::deviation_slope<Shape>(p.x.data, p.tx.data, groups, group, k) /
             detail::deviation_of<Shape>(p.x.data, groups, group, k).second;
    for (int pixel = 0; pixel < Shape.pixels(); ++pixel) {
      const std::size_t row = static_cast<std::size_t>(i) * Shape.pixels() + pixel;
      T* ty = p.ty.data + row * (Shape.c + 1);
      for (int c = 0; c < Shape.c; ++c) ty[c] = p.tx.data[row * Shape.c + c];
      ty[Shape.c] = static_cast<T>(sum / Shape.size());
    }
  }
}

template <class T, hwc Shape, int Size>
void launch(reference<T>&, ops::minibatch_deviation_second_order<Shape, Size>,
            const typename ops::minibatch_deviation_second_order<Shape, Size>::template params<
                typename reference<T>::storage>& p) {
  const sample_groups groups{p.x.n, Size};
  for (int group = 0; group < groups.count(); ++group) {
    const double a = detail::total_of_channel<Shape>(p.gy.data, groups, group),
                 e = detail::total_of_channel<Shape>(p.ey.data, groups, group);
    const double members = groups.members(group);
    for (int k = 0; k < Shape.size(); ++k) {
      const auto [mean, s] = detail::deviation_of<Shape>(p.x.data, groups, group, k);
      const double q = detail::deviation_slope<Shape>(p.x.data, p.tx.data, groups, group, k);
      const double tx_mean = detail::deviation_of<Shape>(p.tx.data, groups, group, k).first;
      for (int i = group; i < p.x.n; i += groups.count()) {
        const std::size_t at = static_cast<std::size_t>(i) * Shape.size() + k;
        const std::size_t row = static_cast<std::size_t>(i) * Shape.pixels() + k / Shape.c;
        const double d = p.x.data[at] - mean;
        const double through = e * d + a * (p.tx.data[at] - tx_mean - d * q / (s * s));
        const double beside =
            p.ey.data ? static_cast<double>(p.ey.data[row * (Shape.c + 1) + k % Shape.c]) : 0.0;
        p.ex.data[at] = static_cast<T>(beside + through / (Shape.size() * members * s));
      }
    }
  }
}

}  // namespace gantry::backend
