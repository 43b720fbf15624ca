// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "gantry/backend/reference/backend.hpp"
#include "gantry/ops/learned_basis.hpp"

namespace gantry::inline v0::backend {

template <class T, hwc Out>
void launch(
    reference<T>&, ops::learned_basis<Out>,
    const typename ops::learned_basis<Out>::template params<typename reference<T>::storage>& p) {
  for (int i = 0; i < p.x.n; ++i)
    for (int k = 0; k < Out.size(); ++k)
      p.y.data[i * Out.size() + k] = p.basis[k] * p.x.data[i * Out.c + k % Out.c];
}

/// Every product of the forward, once; each adds to what it was made of.
template <class T, hwc Out>
void launch(reference<T>&, ops::learned_basis_backward<Out>,
            const typename ops::learned_basis_backward<Out>::template params<
                typename reference<T>::storage>& p) {
  const int n = p.dy.n;
  std::vector<double> dx(static_cast<std::size_t>(n * Out.c)),
      dbasis(static_cast<std::size_t>(Out.size()));
  for (int i = 0; i < n; ++i)
    for (int k = 0; k < Out.size(); ++k) {
      const double dy = p.dy.data[i * Out.size() + k];
      const int from = i * Out.c + k % Out.c;
      dx[static_cast<std::size_t>(from)] += dy * p.basis[k];
      if (p.dbasis) dbasis[static_cast<std::size_t>(k)] += dy * p.x.data[from];
    }
  for (std::size_t j = 0; p.dx.data && j < dx.size(); ++j) p.dx.data[j] = static_cast<T>(dx[j]);
  for (std::size_t k = 0; p.dbasis && k < dbasis.size(); ++k)
    p.dbasis[k] += static_cast<T>(dbasis[k]);
}

}  // namespace gantry::backend
