// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// In every layout up to 16 channels of a pixel that start at a multiple of 16 lie together. Sums
// into a table run over samples in order, in pieces that own columns of it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "gantry/backend/cpu/norm.hpp"
#include "gantry/backend/cpu/pointwise.hpp"
#include "gantry/backend/cpu/transfer.hpp"
#include "gantry/ops/labels.hpp"

namespace gantry::inline v0::backend {

template <kernel_set K, hwc In, int Classes, int Dim>
void launch(basic_cpu<K>& b, ops::concat_label<In, Classes, Dim>,
            const typename ops::concat_label<In, Classes, Dim>::template params<
                typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  constexpr hwc wide{In.h, In.w, In.c + Dim};
  detail::split_samples<wide>(b, p.x.n, [&](int i) {
    const float* row = p.table ? p.table + p.labels[i] * Dim : nullptr;
    for (int pixel = 0; pixel < In.pixels(); ++pixel)
      for (int c = 0; c < wide.c; ++c)
        p.y.data[layout::offset(wide, p.x.n, i, pixel * wide.c + c)] =
            c < In.c ? p.x.data[layout::offset(In, p.x.n, i, pixel * In.c + c)]
                     : (row ? row[c - In.c] : 0.0f);
  });
}

template <kernel_set K, hwc In, int Classes, int Dim>
void launch(basic_cpu<K>& b, ops::concat_label_backward<In, Classes, Dim>,
            const typename ops::concat_label_backward<In, Classes, Dim>::template params<
                typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  constexpr hwc wide{In.h, In.w, In.c + Dim};
  const int n = p.dy.n;
  if (p.dx.data)
    detail::split_samples<In>(b, n, [&](int i) {
      for (int pixel = 0; pixel < In.pixels(); ++pixel)
        for (int c = 0; c < In.c; ++c)
          p.dx.data[layout::offset(In, n, i, pixel * In.c + c)] =
              p.dy.data[layout::offset(wide, n, i, pixel * wide.c + c)];
    });
  if (!p.dtable) return;
  b.for_each(Dim, [&](int d) {
    for (int i = 0; i < n; ++i) {
      double sum = 0;
      for (int pixel = 0; pixel < In.pixels(); ++pixel)
        sum +=
            static_cast<double>(p.dy.data[layout::offset(wide, n, i, pixel * wide.c + In.c + d)]);
      if (p.scale) sum *= static_cast<double>(p.scale[i]);
      p.dtable[p.labels[i] * Dim + d] += static_cast<float>(sum);
    }
  });
}

template <kernel_set K, hwc In, int Classes>
void launch(
    basic_cpu<K>& b, ops::label_product<In, Classes>,
    const typename ops::label_product<In, Classes>::template params<typename basic_cpu<K>::storage>&
        p) {
  using layout = typename basic_cpu<K>::storage::layout;
  detail::split_samples<In>(b, p.x.n, [&](int i) {
    const float* row = p.table + static_cast<std::size_t>(p.labels[i]) * In.size();
    double sum = 0;
    detail::for_each_run<layout, In>(p.x.n, i, [&](int k, std::size_t place, int length) {
      float part = 0;
      for (int j = 0; j < length; ++j) part += p.x.data[place + j] * row[k + j];
      sum += static_cast<double>(part);
    });
    p.y.data[layout::offset({1, 1, 1}, p.x.n, i, 0)] = static_cast<float>(sum);
  });
}

template <kernel_set K, hwc In, int Classes>
void launch(basic_cpu<K>& b, ops::label_product_backward<In, Classes>,
            const typename ops::label_product_backward<In, Classes>::template params<
                typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  const int n = p.dy.n;
  const auto slope = [&](int i) { return p.dy.data[layout::offset({1, 1, 1}, n, i, 0)]; };
  if (p.dx.data)
    detail::split_samples<In>(b, n, [&](int i) {
      const float* row = p.table + static_cast<std::size_t>(p.labels[i]) * In.size();
      const float dy = slope(i);
      detail::for_each_run<layout, In>(n, i, [&](int k, std::size_t place, int length) {
        for (int j = 0; j < length; ++j) p.dx.data[place + j] = dy * row[k + j];
      });
    });
  if (!p.dtable) return;
  float* x = scratch(scratch_use::op, nhwc::elements(In, n));
  detail::to_canonical<In>(b, p.x.data, n, x);
  b.split(static_cast<std::size_t>(In.size()), 1024, [&](std::size_t begin, std::size_t end) {
    for (int i = 0; i < n; ++i) {
      const float dy = slope(i);
      const float* from = x + static_cast<std::size_t>(i) * In.size();
      float* to = p.dtable + static_cast<std::size_t>(p.labels[i]) * In.size();
      for (std::size_t k = begin; k < end; ++k) to[k] += dy * from[k];
    }
  });
}

template <kernel_set K, hwc Shape, int Classes>
void launch(basic_cpu<K>& b, ops::class_affine<Shape, Classes>,
            const typename ops::class_affine<Shape, Classes>::template params<
                typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  const int n = p.x.n;
  b.for_each(ceil_div(Shape.c, detail::channel_block), [&](int block) {
    const int first = block * detail::channel_block;
    const int width = std::min(detail::channel_block, Shape.c - first);
    for (int pixel = 0; pixel < Shape.pixels(); ++pixel)
      for (int i = 0; i < n; ++i) {
        const std::size_t at = layout::offset(Shape, n, i, pixel * Shape.c + first);
        const float* gamma = p.table + p.labels[i] * 2 * Shape.c + first;
        const float *beta = gamma + Shape.c, *x = p.x.data + at;
        float* y = p.y.data + at;
        for (int c = 0; c < width; ++c) y[c] = gamma[c] * x[c] + beta[c];
      }
  });
}

template <kernel_set K, hwc Shape, int Classes>
void launch(basic_cpu<K>& b, ops::class_affine_backward<Shape, Classes>,
            const typename ops::class_affine_backward<Shape, Classes>::template params<
                typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  const int n = p.dy.n;
  b.for_each(ceil_div(Shape.c, detail::channel_block), [&](int block) {
    const int first = block * detail::channel_block;
    const int width = std::min(detail::channel_block, Shape.c - first);
    for (int i = 0; i < n; ++i) {
      std::array<float, detail::channel_block> with_h{}, alone{};
      const float* gamma = p.table + p.labels[i] * 2 * Shape.c + first;
      for (int pixel = 0; pixel < Shape.pixels(); ++pixel) {
        const std::size_t at = layout::offset(Shape, n, i, pixel * Shape.c + first);
        for (int c = 0; c < width; ++c) {
          const float dy = p.dy.data[at + c];
          if (p.dtable) {
            with_h[c] +=
                dy * ((p.x.data[at + c] - p.mean[first + c]) * p.inverse_deviation[first + c]);
            alone[c] += dy;
          }
          if (p.dh.data) p.dh.data[at + c] = gamma[c] * dy;
        }
      }
      for (int c = 0; p.dtable && c < width; ++c) {
        p.dtable[p.labels[i] * 2 * Shape.c + first + c] += with_h[c];
        if (p.shift) p.dtable[p.labels[i] * 2 * Shape.c + Shape.c + first + c] += alone[c];
      }
    }
  });
}

template <kernel_set K, int Classes>
void launch(
    basic_cpu<K>&, ops::take_logit<Classes>,
    const typename ops::take_logit<Classes>::template params<typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  for (int i = 0; i < p.x.n; ++i)
    p.to[i] = p.x.data[layout::offset({1, 1, 1 + Classes}, p.x.n, i, 0)];
}

template <kernel_set K, int Classes>
void launch(basic_cpu<K>&, ops::auxiliary_cross_entropy<Classes>,
            const typename ops::auxiliary_cross_entropy<Classes>::template params<
                typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  const int n = p.x.n;
  const auto at = [n](int i, int c) { return layout::offset({1, 1, 1 + Classes}, n, i, c); };
  const float share = p.weight / static_cast<float>(n);
  double loss = 0;
  for (int i = 0; i < n; ++i) {
    detail::labelled_logits<Classes> row;
    for (int c = 0; c < Classes; ++c) row.values[c] = p.x.data[at(i, 1 + c)];
    loss += static_cast<double>(row.differentiate(p.labels[i]));
    for (int c = 0; c < Classes; ++c) p.gradient.data[at(i, 1 + c)] = share * row.values[c];
    p.gradient.data[at(i, 0)] = p.logit_gradient[i];
  }
  *p.sum += static_cast<float>(static_cast<double>(share) * loss);
}

}  // namespace gantry::backend
