// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/backend/reference/backend.hpp"
#include "gantry/ops/learned_basis.hpp"

namespace gantry::backend {

namespace detail {

template <class F>
void each_in_turn(int count, F&& f) {
  for (int i = 0; i < count; ++i) f(i);
}

}  // namespace detail

template <class T, hwc Out>
void launch(
    reference<T>&, ops::learned_basis<Out>,
    const typename ops::learned_basis<Out>::template params<typename reference<T>::storage>& p) {
  using layout = typename reference<T>::storage::layout;
  constexpr hwc in{1, 1, Out.c};
  const int n = p.x.n;
  detail::each_in_turn(Out.pixels(), [&](int pixel) {
    for (int i = 0; i < n; ++i)
      for (int c = 0; c < Out.c; ++c)
        p.y.data[layout::offset(Out, n, i, pixel * Out.c + c)] =
            p.basis[pixel * Out.c + c] * p.x.data[layout::offset(in, n, i, c)];
  });
}

template <class T, hwc Out>
void launch(reference<T>&, ops::learned_basis_backward<Out>,
            const typename ops::learned_basis_backward<Out>::template params<
                typename reference<T>::storage>& p) {
  using layout = typename reference<T>::storage::layout;
  constexpr hwc in{1, 1, Out.c};
  const int n = p.dy.n;
  const auto dy = [&](int i, int k) {
    return static_cast<double>(p.dy.data[layout::offset(Out, n, i, k)]);
  };
  if (p.dx.data)
    detail::each_in_turn(n, [&](int i) {
      for (int c = 0; c < Out.c; ++c) {
        double sum = 0;
        for (int pixel = 0; pixel < Out.pixels(); ++pixel)
          sum += static_cast<double>(p.basis[pixel * Out.c + c]) * dy(i, pixel * Out.c + c);
        p.dx.data[layout::offset(in, n, i, c)] = static_cast<T>(sum);
      }
    });
  if (p.dbasis)
    detail::each_in_turn(Out.pixels(), [&](int pixel) {
      for (int c = 0; c < Out.c; ++c) {
        double sum = 0;
        for (int i = 0; i < n; ++i)
          sum +=
              static_cast<double>(p.x.data[layout::offset(in, n, i, c)]) * dy(i, pixel * Out.c + c);
        p.dbasis[pixel * Out.c + c] += static_cast<T>(sum);
      }
    });
}

}  // namespace gantry::backend
