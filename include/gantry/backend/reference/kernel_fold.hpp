// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/backend/reference/backend.hpp"
#include "gantry/ops/kernel_fold.hpp"

namespace gantry::inline v0::backend {

template <class T, fold_geometry G>
void launch(
    reference<T>&, ops::fold_kernel<G>,
    const typename ops::fold_kernel<G>::template params<typename reference<T>::storage>& p) {
  for (int f = 0; f < G.filters; ++f)
    for (int k = 0; k < 16; ++k)
      for (int c = 0; c < G.channels; ++c) {
        double sum = 0;
        for (int t = 0; t < 9; ++t)
          if (G.sums(k, t)) sum += p.weight[(f * 9 + t) * G.channels + c];
        p.folded[G.folded_offset(f, k, c)] = static_cast<T>(sum * G.scale());
      }
}

template <class T, fold_geometry G>
void launch(
    reference<T>&, ops::unfold_gradient<G>,
    const typename ops::unfold_gradient<G>::template params<typename reference<T>::storage>& p) {
  for (int f = 0; f < G.filters; ++f)
    for (int t = 0; t < 9; ++t)
      for (int c = 0; c < G.channels; ++c) {
        double sum = 0;
        for (int k = 0; k < 16; ++k)
          if (G.sums(k, t)) sum += p.dfolded[G.folded_offset(f, k, c)];
        p.dweight[(f * 9 + t) * G.channels + c] += static_cast<T>(sum * G.scale());
      }
}

}  // namespace gantry::backend
