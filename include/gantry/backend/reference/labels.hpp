// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>

#include "gantry/backend/reference/backend.hpp"
#include "gantry/backend/reference/pointwise.hpp"
#include "gantry/ops/labels.hpp"

namespace gantry::inline v0::backend {

template <class T, hwc In, int Classes, int Dim>
void launch(reference<T>&, ops::concat_label<In, Classes, Dim>,
            const typename ops::concat_label<In, Classes, Dim>::template params<
                typename reference<T>::storage>& p) {
  constexpr int wide = In.c + Dim;
  for (int i = 0; i < p.x.n; ++i)
    for (int pixel = 0; pixel < In.pixels(); ++pixel) {
      const std::size_t at = static_cast<std::size_t>(i) * In.pixels() + pixel;
      std::copy_n(p.x.data + at * In.c, In.c, p.y.data + at * wide);
      T* end = p.y.data + at * wide + In.c;
      if (p.table)
        std::copy_n(p.table + p.labels[i] * Dim, Dim, end);
      else
        std::fill_n(end, Dim, T(0));
    }
}

template <class T, hwc In, int Classes, int Dim>
void launch(reference<T>&, ops::concat_label_backward<In, Classes, Dim>,
            const typename ops::concat_label_backward<In, Classes, Dim>::template params<
                typename reference<T>::storage>& p) {
  constexpr int wide = In.c + Dim;
  for (int i = 0; i < p.dy.n; ++i)
    for (int pixel = 0; pixel < In.pixels(); ++pixel) {
      const std::size_t at = static_cast<std::size_t>(i) * In.pixels() + pixel;
      const T* dy = p.dy.data + at * wide;
      if (p.dx.data) std::copy_n(dy, In.c, p.dx.data + at * In.c);
      for (int d = 0; p.dtable && d < Dim; ++d)
        p.dtable[p.labels[i] * Dim + d] += (p.scale ? p.scale[i] : T(1)) * dy[In.c + d];
    }
}

template <class T, hwc In, int Classes>
void launch(
    reference<T>&, ops::label_product<In, Classes>,
    const typename ops::label_product<In, Classes>::template params<typename reference<T>::storage>&
        p) {
  for (int i = 0; i < p.x.n; ++i) {
    double sum = 0;
    for (int k = 0; k < In.size(); ++k)
      sum +=
          static_cast<double>(p.x.data[i * In.size() + k]) * p.table[p.labels[i] * In.size() + k];
    p.y.data[i] = static_cast<T>(sum);
  }
}

template <class T, hwc In, int Classes>
void launch(reference<T>&, ops::label_product_backward<In, Classes>,
            const typename ops::label_product_backward<In, Classes>::template params<
                typename reference<T>::storage>& p) {
  for (int i = 0; i < p.dy.n; ++i)
    for (int k = 0; k < In.size(); ++k) {
      const int in_table = p.labels[i] * In.size() + k;
      if (p.dx.data) p.dx.data[i * In.size() + k] = p.dy.data[i] * p.table[in_table];
      if (p.dtable) p.dtable[in_table] += p.dy.data[i] * p.x.data[i * In.size() + k];
    }
}

template <class T, hwc Shape, int Classes>
void launch(reference<T>&, ops::class_affine<Shape, Classes>,
            const typename ops::class_affine<Shape, Classes>::template params<
                typename reference<T>::storage>& p) {
  for (std::size_t at = 0; at < nhwc::elements(Shape, p.x.n); ++at) {
    const T* row = p.table + p.labels[at / Shape.size()] * 2 * Shape.c;
    const std::size_t c = at % Shape.c;
    p.y.data[at] = row[c] * p.x.data[at] + row[Shape.c + c];
  }
}

template <class T, hwc Shape, int Classes>
void launch(reference<T>&, ops::class_affine_backward<Shape, Classes>,
            const typename ops::class_affine_backward<Shape, Classes>::template params<
                typename reference<T>::storage>& p) {
  for (std::size_t at = 0; at < nhwc::elements(Shape, p.dy.n); ++at) {
    const std::size_t row = p.labels[at / Shape.size()] * 2u * Shape.c, c = at % Shape.c;
    const T dy = p.dy.data[at];
    if (p.dtable) {
      p.dtable[row + c] += dy * (p.x.data[at] - p.mean[c]) * p.inverse_deviation[c];
      if (p.shift) p.dtable[row + Shape.c + c] += dy;
    }
    if (p.dh.data) p.dh.data[at] = p.table[row + c] * dy;
  }
}

template <class T, int Classes>
void launch(
    reference<T>&, ops::take_logit<Classes>,
    const typename ops::take_logit<Classes>::template params<typename reference<T>::storage>& p) {
  for (int i = 0; i < p.x.n; ++i) p.to[i] = p.x.data[i * (1 + Classes)];
}

template <class T, int Classes>
void launch(reference<T>&, ops::auxiliary_cross_entropy<Classes>,
            const typename ops::auxiliary_cross_entropy<Classes>::template params<
                typename reference<T>::storage>& p) {
  const double share = static_cast<double>(p.weight) / p.x.n;
  double loss = 0;
  for (int i = 0; i < p.x.n; ++i) {
    const int first = i * (1 + Classes);
    loss += detail::cross_entropy<Classes>(p.x.data + first + 1, p.labels[i], share,
                                           p.gradient.data + first + 1);
    p.gradient.data[first] = p.logit_gradient[i];
  }
  *p.sum += static_cast<T>(share * loss);
}

}  // namespace gantry::backend
