// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "gantry/backend/cpu/transfer.hpp"
#include "gantry/ops/minibatch.hpp"

namespace gantry::inline v0::backend {

namespace detail {

template <minibatch_geometry G>
float similarity(const float* m, int i, int j, int kernel) {
  float distance = 0;
  for (int d = 0; d < G.dims; ++d)
    distance += std::abs(m[(i * G.kernels + kernel) * G.dims + d] -
                         m[(j * G.kernels + kernel) * G.dims + d]);
  return std::exp(-distance);
}

/// Copies the first G.in features of sample i between batches of G.in and of G.in + G.kernels.
template <minibatch_geometry G, class Layout, bool Back>
void copy_features(const float* from, int n, int i, float* to) {
  constexpr hwc narrow{1, 1, G.in}, wide{1, 1, G.in + G.kernels};
  for_each_run<Layout, narrow>(n, i, [&](int k, std::size_t place, int length) {
    for (int done = 0; done < length;) {
      const int run = std::min(length - done, Layout::run(wide, k + done));
      const std::size_t in_narrow = place + static_cast<std::size_t>(done),
                        in_wide = Layout::offset(wide, n, i, k + done);
      std::copy_n(from + (Back ? in_wide : in_narrow), run, to + (Back ? in_narrow : in_wide));
      done += run;
    }
  });
}

}  // namespace detail

template <kernel_set K, minibatch_geometry G>
void launch(basic_cpu<K>& b, ops::minibatch_similarity_forward<G>,
            const typename ops::minibatch_similarity_forward<G>::template params<
                typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  constexpr hwc projected{1, 1, G.kernels * G.dims}, wide{1, 1, G.in + G.kernels};
  const int n = p.x.n;
  float* m = scratch(scratch_use::op, nhwc::elements(projected, n));
  detail::to_canonical<projected>(b, p.m.data, n, m);
  b.split(static_cast<std::size_t>(n), 4, [&](std::size_t begin, std::size_t end) {
    for (int i = static_cast<int>(begin); i < static_cast<int>(end); ++i) {
      detail::copy_features<G, layout, false>(p.x.data, n, i, p.y.data);
      for (int kernel = 0; kernel < G.kernels; ++kernel) {
        float sum = 0;
        for (int j = 0; j < n; ++j)
          if (j != i) sum += detail::similarity<G>(m, i, j, kernel);
        p.y.data[layout::offset(wide, n, i, G.in + kernel)] = sum;
      }
    }
  });
}

template <kernel_set K, minibatch_geometry G>
void launch(basic_cpu<K>& b, ops::minibatch_similarity_backward<G>,
            const typename ops::minibatch_similarity_backward<G>::template params<
                typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  constexpr hwc projected{1, 1, G.kernels * G.dims}, wide{1, 1, G.in + G.kernels};
  const int n = p.m.n;
  float* m = scratch(scratch_use::op, nhwc::elements(projected, n));
  detail::to_canonical<projected>(b, p.m.data, n, m);
  const auto slope = [&](int i, int kernel) {
    return p.dy.data[layout::offset(wide, n, i, G.in + kernel)];
  };
  b.split(static_cast<std::size_t>(n), 4, [&](std::size_t begin, std::size_t end) {
    for (int i = static_cast<int>(begin); i < static_cast<int>(end); ++i) {
      if (p.dx.data) detail::copy_features<G, layout, true>(p.dy.data, n, i, p.dx.data);
      for (int kernel = 0; kernel < G.kernels; ++kernel) {
        const float* own = m + (i * G.kernels + kernel) * G.dims;
        std::array<float, G.dims> sum{};
        for (int j = 0; j < n; ++j) {
          if (j == i) continue;
          const float* other = m + (j * G.kernels + kernel) * G.dims;
          const float weight =
              (slope(i, kernel) + slope(j, kernel)) * detail::similarity<G>(m, i, j, kernel);
          for (std::size_t d = 0; d < G.dims; ++d)
            sum[d] -= weight * static_cast<float>((own[d] > other[d]) - (own[d] < other[d]));
        }
        for (int d = 0; d < G.dims; ++d)
          p.dm.data[layout::offset(projected, n, i, kernel * G.dims + d)] =
              sum[static_cast<std::size_t>(d)];
      }
    }
  });
}

namespace detail {

/// One pair of samples in one kernel of mini-batch discrimination: its similarity and the
/// derivative of its distance along tm.
struct similarity_slope {
  float similarity, distance;
};
template <minibatch_geometry G>
similarity_slope slope_of_pair(const float* m, const float* tm, int i, int j, int kernel) {
  const int own = (i * G.kernels + kernel) * G.dims, other = (j * G.kernels + kernel) * G.dims;
  float distance = 0, slope = 0;
  for (int d = 0; d < G.dims; ++d) {
    const float apart = m[own + d] - m[other + d], along = tm[own + d] - tm[other + d];
    distance += std::abs(apart);
    slope += apart > 0 ? along : apart < 0 ? -along : 0 * along;
  }
  return {std::exp(-distance), slope};
}

}  // namespace detail

template <kernel_set K, minibatch_geometry G>
void launch(basic_cpu<K>& b, ops::minibatch_similarity_tangent<G>,
            const typename ops::minibatch_similarity_tangent<G>::template params<
                typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  constexpr hwc projected{1, 1, G.kernels * G.dims}, wide{1, 1, G.in + G.kernels};
  const int n = p.tx.n;
  float* m = scratch(scratch_use::op, 2 * nhwc::elements(projected, n));
  float* tm = m + nhwc::elements(projected, n);
  detail::to_canonical<projected>(b, p.m.data, n, m);
  detail::to_canonical<projected>(b, p.tm.data, n, tm);
  b.split(static_cast<std::size_t>(n), 4, [&](std::size_t begin, std::size_t end) {
    for (int i = static_cast<int>(begin); i < static_cast<int>(end); ++i) {
      detail::copy_features<G, layout, false>(p.tx.data, n, i, p.ty.data);
      for (int kernel = 0; kernel < G.kernels; ++kernel) {
        float sum = 0;
        for (int j = 0; j < n; ++j) {
          if (j == i) continue;
          const auto pair = detail::slope_of_pair<G>(m, tm, i, j, kernel);
          sum -= pair.similarity * pair.distance;
        }
        p.ty.data[layout::offset(wide, n, i, G.in + kernel)] = sum;
      }
    }
  });
}

template <kernel_set K, minibatch_geometry G>
void launch(basic_cpu<K>& b, ops::minibatch_similarity_second_order<G>,
            const typename ops::minibatch_similarity_second_order<G>::template params<
                typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  constexpr hwc projected{1, 1, G.kernels * G.dims}, wide{1, 1, G.in + G.kernels};
  const int n = p.m.n;
  float* m = scratch(scratch_use::op, 2 * nhwc::elements(projected, n));
  float* tm = m + nhwc::elements(projected, n);
  detail::to_canonical<projected>(b, p.m.data, n, m);
  detail::to_canonical<projected>(b, p.tm.data, n, tm);
  const auto of_pair = [&](const float* y, int i, int j, int kernel) {
    if (!y) return 0.0f;
    return y[layout::offset(wide, n, i, G.in + kernel)] +
           y[layout::offset(wide, n, j, G.in + kernel)];
  };
  b.split(static_cast<std::size_t>(n), 4, [&](std::size_t begin, std::size_t end) {
    for (int i = static_cast<int>(begin); i < static_cast<int>(end); ++i) {
      if (p.ex.data && p.ey.data)
        detail::copy_features<G, layout, true>(p.ey.data, n, i, p.ex.data);
      for (int kernel = 0; kernel < G.kernels; ++kernel) {
        std::array<float, G.dims> by_m{}, by_tm{};
        for (int j = 0; j < n; ++j) {
          if (j == i) continue;
          const auto pair = detail::slope_of_pair<G>(m, tm, i, j, kernel);
          const float g = of_pair(p.gy.data, i, j, kernel);
          const float of_m =
              pair.similarity * (of_pair(p.ey.data, i, j, kernel) - g * pair.distance);
          const float of_tm = pair.similarity * g;
          const float *own = m + (i * G.kernels + kernel) * G.dims,
                      *other = m + (j * G.kernels + kernel) * G.dims;
          for (std::size_t d = 0; d < G.dims; ++d) {
            const auto sign = static_cast<float>((own[d] > other[d]) - (own[d] < other[d]));
            by_m[d] -= of_m * sign;
            by_tm[d] -= of_tm * sign;
          }
        }
        for (int d = 0; d < G.dims; ++d) {
          const std::size_t at = layout::offset(projected, n, i, kernel * G.dims + d);
          p.em.data[at] = by_m[static_cast<std::size_t>(d)];
          p.etm.data[at] = by_tm[static_cast<std::size_t>(d)];
        }
      }
    }
  });
}

}  // namespace gantry::backend
