// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// On canonical samples: the layer stands behind the last, smallest maps.
#pragma once

#include <algorithm>
#include <cstddef>

#include <Eigen/Core>

#include "gantry/backend/cpu/transfer.hpp"
#include "gantry/ops/minibatch_deviation.hpp"

namespace gantry::inline v0::backend {

namespace detail {

/// Canonical numbers of a sample that are worked on together.
inline constexpr int deviation_stretch = 512;

/// Mean and sqrt(variance + 1e-8) over a group of some canonical numbers from k on.
template <hwc Shape>
struct stretch_deviation {
  using numbers = Eigen::Array<float, Eigen::Dynamic, 1, 0, deviation_stretch, 1>;
  numbers mean, deviation;

  stretch_deviation(const float* x, const sample_groups& groups, int group, int k)
      : mean(numbers::Zero(std::min(deviation_stretch, Shape.size() - k))), deviation(mean) {
    const auto share = 1.0f / static_cast<float>(groups.members(group));
    for (int i = group; i < groups.n; i += groups.count()) mean += of_sample(x, i, k);
    mean *= share;
    for (int i = group; i < groups.n; i += groups.count())
      deviation += (of_sample(x, i, k) - mean).square();
    deviation = (deviation * share + 1e-8f).sqrt();
  }
  /// The mean over the group of d tx and, if wanted, of tx.
  [[nodiscard]] numbers slope(const float* x, const float* tx, const sample_groups& groups,
                              int group, int k, numbers* tx_mean = nullptr) const {
    numbers sum = numbers::Zero(mean.size()), total = sum;
    for (int i = group; i < groups.n; i += groups.count()) {
      sum += (of_sample(x, i, k) - mean) * of_sample(tx, i, k);
      total += of_sample(tx, i, k);
    }
    const auto share = 1.0f / static_cast<float>(groups.members(group));
    if (tx_mean) *tx_mean = total * share;
    return sum * share;
  }
  [[nodiscard]] auto of_sample(const float* x, int i, int k) const {
    return Eigen::Map<const numbers>(x + static_cast<std::size_t>(i) * Shape.size() + k,
                                     mean.size());
  }
};

/// Calls f(group, stretch index, first number) for all groups and stretches, in parallel.
template <hwc Shape, kernel_set K, class F>
void for_each_deviation(basic_cpu<K>& b, const sample_groups& groups, F&& f) {
  constexpr int stretches = ceil_div(Shape.size(), deviation_stretch);
  b.for_each(groups.count() * stretches, [&](int piece) {
    f(piece / stretches, piece % stretches, piece % stretches * deviation_stretch);
  });
}

/// y = [x, the mean of the group's sums over stretches], canonical.
template <hwc Shape, kernel_set K>
void append_deviation(basic_cpu<K>& b, const sample_groups& groups, const float* x,
                      const float* sums, float* y) {
  constexpr int stretches = ceil_div(Shape.size(), deviation_stretch), wide = Shape.c + 1;
  split_samples<hwc{Shape.h, Shape.w, wide}>(b, groups.n, [=](int i) {
    double sum = 0;
    for (int s = 0; s < stretches; ++s) sum += sums[groups.group_of(i) * stretches + s];
    for (int pixel = 0; pixel < Shape.pixels(); ++pixel) {
      const std::size_t row = static_cast<std::size_t>(i) * Shape.pixels() + pixel;
      std::copy_n(x + row * Shape.c, Shape.c, y + row * wide);
      y[row * wide + Shape.c] = static_cast<float>(sum / Shape.size());
    }
  });
}

/// The sum of the appended channel over a group's members and pixels.
template <hwc Shape>
double appended_sum(const float* y, const sample_groups& groups, int group) {
  double sum = 0;
  for (int i = group; i < groups.n; i += groups.count())
    for (int pixel = 0; pixel < Shape.pixels(); ++pixel)
      sum += y[(static_cast<std::size_t>(i) * Shape.pixels() + pixel) * (Shape.c + 1) + Shape.c];
  return sum;
}

}  // namespace detail

template <kernel_set K, hwc Shape, int Size>
void launch(basic_cpu<K>& b, ops::minibatch_deviation_forward<Shape, Size>,
            const typename ops::minibatch_deviation_forward<Shape, Size>::template params<
                typename basic_cpu<K>::storage>& p) {
  constexpr hwc wide{Shape.h, Shape.w, Shape.c + 1};
  constexpr int stretches = ceil_div(Shape.size(), detail::deviation_stretch);
  const int n = p.x.n;
  const sample_groups groups{n, Size};
  const std::size_t samples = nhwc::elements(Shape, n);
  float* x =
      scratch(scratch_use::op, samples + static_cast<std::size_t>(groups.count()) * stretches);
  float *sums = x + samples, *y = scratch(scratch_use::op_output, nhwc::elements(wide, n));
  detail::to_canonical<Shape>(b, p.x.data, n, x);
  detail::for_each_deviation<Shape>(b, groups, [=](int group, int stretch, int k) {
    sums[group * stretches + stretch] =
        detail::stretch_deviation<Shape>(x, groups, group, k).deviation.sum();
  });
  detail::append_deviation<Shape>(b, groups, x, sums, y);
  detail::from_canonical<wide>(b, y, n, p.y.data);
}

template <kernel_set K, hwc Shape, int Size>
void launch(basic_cpu<K>& b, ops::minibatch_deviation_backward<Shape, Size>,
            const typename ops::minibatch_deviation_backward<Shape, Size>::template params<
                typename basic_cpu<K>::storage>& p) {
  constexpr hwc wide{Shape.h, Shape.w, Shape.c + 1};
  const int n = p.x.n;
  const sample_groups groups{n, Size};
  float* x = scratch(scratch_use::op, nhwc::elements(Shape, n));
  const std::size_t wide_samples = nhwc::elements(wide, n);
  float* dy = scratch(scratch_use::op_output, wide_samples + nhwc::elements(Shape, n));
  float* dx = dy + wide_samples;
  detail::to_canonical<Shape>(b, p.x.data, n, x);
  detail::to_canonical<wide>(b, p.dy.data, n, dy);
  detail::for_each_deviation<Shape>(b, groups, [=](int group, int, int k) {
    const double slope = detail::appended_sum<Shape>(dy, groups, group);
    const detail::stretch_deviation<Shape> d(x, groups, group, k);
    const auto share = static_cast<float>(slope / groups.members(group) / Shape.size());
    for (int i = group; i < n; i += groups.count()) {
      const std::size_t at = static_cast<std::size_t>(i) * Shape.size() + k;
      for (int j = 0; j < d.mean.size(); ++j) {
        const std::size_t number = at + static_cast<std::size_t>(j);
        dx[number] = dy[number / Shape.c * wide.c + number % Shape.c] +
                     share / d.deviation[j] * (x[number] - d.mean[j]);
      }
    }
  });
  detail::from_canonical<Shape>(b, dx, n, p.dx.data);
}

template <kernel_set K, hwc Shape, int Size>
void launch(basic_cpu<K>& b, ops::minibatch_deviation_tangent<Shape, Size>,
            const typename ops::minibatch_deviation_tangent<Shape, Size>::template params<
                typename basic_cpu<K>::storage>& p) {
  constexpr hwc wide{Shape.h, Shape.w, Shape.c + 1};
  constexpr int stretches = ceil_div(Shape.size(), detail::deviation_stretch);
  const int n = p.x.n;
  const sample_groups groups{n, Size};
  const std::size_t samples = nhwc::elements(Shape, n);
  float* x =
      scratch(scratch_use::op, 2 * samples + static_cast<std::size_t>(groups.count()) * stretches);
  float *tx = x + samples, *sums = tx + samples;
  float* ty = scratch(scratch_use::op_output, nhwc::elements(wide, n));
  detail::to_canonical<Shape>(b, p.x.data, n, x);
  detail::to_canonical<Shape>(b, p.tx.data, n, tx);
  detail::for_each_deviation<Shape>(b, groups, [=](int group, int stretch, int k) {
    const detail::stretch_deviation<Shape> d(x, groups, group, k);
    sums[group * stretches + stretch] = (d.slope(x, tx, groups, group, k) / d.deviation).sum();
  });
  detail::append_deviation<Shape>(b, groups, tx, sums, ty);
  detail::from_canonical<wide>(b, ty, n, p.ty.data);
}

template <kernel_set K, hwc Shape, int Size>
void launch(basic_cpu<K>& b, ops::minibatch_deviation_second_order<Shape, Size>,
            const typename ops::minibatch_deviation_second_order<Shape, Size>::template params<
                typename basic_cpu<K>::storage>& p) {
  constexpr hwc wide{Shape.h, Shape.w, Shape.c + 1};
  const int n = p.x.n;
  const sample_groups groups{n, Size};
  const std::size_t samples = nhwc::elements(Shape, n), wide_samples = nhwc::elements(wide, n);
  float *x = scratch(scratch_use::op, 2 * samples), *tx = x + samples;
  float* gy = scratch(scratch_use::op_output, 2 * wide_samples + samples);
  float *ey = gy + wide_samples, *ex = ey + wide_samples;
  detail::to_canonical<Shape>(b, p.x.data, n, x);
  detail::to_canonical<Shape>(b, p.tx.data, n, tx);
  detail::to_canonical<wide>(b, p.gy.data, n, gy);
  if (p.ey.data)
    detail::to_canonical<wide>(b, p.ey.data, n, ey);
  else
    std::fill_n(ey, wide_samples, 0.0f);
  detail::for_each_deviation<Shape>(b, groups, [=](int group, int, int k) {
    const detail::stretch_deviation<Shape> d(x, groups, group, k);
    typename detail::stretch_deviation<Shape>::numbers tx_mean;
    const auto q = d.slope(x, tx, groups, group, k, &tx_mean);
    const double share = 1.0 / groups.members(group) / Shape.size();
    const auto a = static_cast<float>(share * detail::appended_sum<Shape>(gy, groups, group)),
               e = static_cast<float>(share * detail::appended_sum<Shape>(ey, groups, group));
    for (int i = group; i < n; i += groups.count())
      for (int j = 0; j < d.mean.size(); ++j) {
        const std::size_t at = static_cast<std::size_t>(i) * Shape.size() + k + j;
        const float distance = x[at] - d.mean[j], s = d.deviation[j];
        ex[at] = ey[at / Shape.c * wide.c + at % Shape.c] +
                 (e * distance + a * (tx[at] - tx_mean[j] - distance * q[j] / (s * s))) / s;
      }
  });
  detail::from_canonical<Shape>(b, ex, n, p.ex.data);
}

}  // namespace gantry::backend
