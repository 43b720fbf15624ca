// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/backend/cpu/backend.hpp"
#include "gantry/ops/learned_basis.hpp"

namespace gantry::inline v0::backend {

template <kernel_set K, hwc Out>
void launch(
    basic_cpu<K>& b, ops::learned_basis<Out>,
    const typename ops::learned_basis<Out>::template params<typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  constexpr hwc in{1, 1, Out.c};
  const int n = p.x.n;
  b.for_each(Out.pixels(), [&](int pixel) {
    for (int i = 0; i < n; ++i)
      for (int c = 0; c < Out.c; ++c)
        p.y.data[layout::offset(Out, n, i, pixel * Out.c + c)] =
            p.basis[pixel * Out.c + c] * p.x.data[layout::offset(in, n, i, c)];
  });
}

template <kernel_set K, hwc Out>
void launch(basic_cpu<K>& b, ops::learned_basis_backward<Out>,
            const typename ops::learned_basis_backward<Out>::template params<
                typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  constexpr hwc in{1, 1, Out.c};
  const int n = p.dy.n;
  const auto dy = [&](int i, int k) {
    return static_cast<double>(p.dy.data[layout::offset(Out, n, i, k)]);
  };
  if (p.dx.data)
    b.for_each(n, [&](int i) {
      for (int c = 0; c < Out.c; ++c) {
        double sum = 0;
        for (int pixel = 0; pixel < Out.pixels(); ++pixel)
          sum += static_cast<double>(p.basis[pixel * Out.c + c]) * dy(i, pixel * Out.c + c);
        p.dx.data[layout::offset(in, n, i, c)] = static_cast<float>(sum);
      }
    });
  if (p.dbasis)
    b.for_each(Out.pixels(), [&](int pixel) {
      for (int c = 0; c < Out.c; ++c) {
        double sum = 0;
        for (int i = 0; i < n; ++i)
          sum +=
              static_cast<double>(p.x.data[layout::offset(in, n, i, c)]) * dy(i, pixel * Out.c + c);
        p.dbasis[pixel * Out.c + c] += static_cast<float>(sum);
      }
    });
}

}  // namespace gantry::backend
