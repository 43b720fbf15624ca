// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Mini-batch discrimination. A kernel is a piece of work. Its M lie as rows over the samples, so
// that all pairs of a sample j are a few loops over the samples i; each adds to sums of their own,
// in the order of j.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <Eigen/Core>

#include "gantry/backend/cpu/transfer.hpp"
#include "gantry/base/math.hpp"
#include "gantry/ops/minibatch.hpp"

namespace gantry::inline v0::backend {

namespace detail {

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
template <minibatch_geometry G, bool Back, kernel_set K>
void copy_features(basic_cpu<K>& b, const float* from, int n, float* to) {
  split_samples<hwc{1, 1, G.in}>(b, n, [=](int i) {
    copy_features<G, typename basic_cpu<K>::storage::layout, Back>(from, n, i, to);
  });
}

/// One number per sample in each row, rows begin at whole vectors; what is behind the last sample
/// is finite and nobody's.
struct sample_rows {
  float* data;
  std::size_t stride;
  [[nodiscard]] float* row(int k) const { return data + static_cast<std::size_t>(k) * stride; }
};

/// Calls work(kernel, rows), rows being `Rows` of a kernel's own, all 0, for every kernel.
template <minibatch_geometry G, int Rows, kernel_set K, class F>
void for_each_similarity_kernel(basic_cpu<K>& b, int n, F&& work) {
  b.for_each(G.kernels, [&](int kernel) {
    const auto stride = static_cast<std::size_t>(round_up(n, 16));
    const sample_rows rows{scratch(scratch_use::piece, stride * Rows), stride};
    std::fill_n(rows.data, stride * Rows, 0.0f);
    work(kernel, rows);
  });
}

/// `count` values of all samples from `first` on as rows, and back; a null batch is left alone.
template <hwc Shape, class Layout>
void gather_rows(const float* x, int n, int first, int count, const sample_rows& rows) {
  if (!x) return;
  for (int k = 0; k < count; ++k)
    for (int i = 0; i < n; ++i) rows.row(k)[i] = x[Layout::offset(Shape, n, i, first + k)];
}
template <hwc Shape, class Layout>
void scatter_rows(const sample_rows& rows, int n, int first, int count, float* y) {
  for (int k = 0; k < count; ++k)
    for (int i = 0; i < n; ++i) y[Layout::offset(Shape, n, i, first + k)] = rows.row(k)[i];
}

/// c_i = exp(-|m_i - m_j|_1) for all samples i, 0 for j itself; of as many rows m as `dims` says.
inline void similarities(const sample_rows& m, int dims, int j, float* c) {
  const std::size_t count = m.stride;
  std::fill_n(c, count, 0.0f);
  for (int d = 0; d < dims; ++d) {
    const float *row = m.row(d), own = row[j];
    for (std::size_t i = 0; i < count; ++i) c[i] -= std::abs(row[i] - own);
  }
  Eigen::Map<Eigen::ArrayXf, Eigen::Aligned64> all(c, static_cast<std::ptrdiff_t>(count));
  all = all.exp();
  c[j] = 0;
}

/// slope_i = the derivative of |m_i - m_j|_1 along tm.
inline void distance_slopes(const sample_rows& m, const sample_rows& tm, int dims, int j,
                            float* slope) {
  std::fill_n(slope, m.stride, 0.0f);
  for (int d = 0; d < dims; ++d) {
    const float *row = m.row(d), *tangents = tm.row(d), own = row[j], tangent = tangents[j];
    for (std::size_t i = 0; i < m.stride; ++i) {
      const float apart = row[i] - own, along = tangents[i] - tangent;
      slope[i] += (apart > 0 ? along : 0.0f) - (apart < 0 ? along : 0.0f);
    }
  }
}

/// sum_d,i -= weight_i sign(m_d,i - m_d,j)
inline void subtract_signs(const sample_rows& m, int dims, int j, const float* weight,
                           const sample_rows& sum) {
  for (int d = 0; d < dims; ++d) {
    const float *row = m.row(d), own = row[j];
    float* to = sum.row(d);
    for (std::size_t i = 0; i < m.stride; ++i) {
      const float up = row[i] > own ? weight[i] : 0.0f, down = row[i] < own ? weight[i] : 0.0f;
      to[i] -= up - down;
    }
  }
}

}  // namespace detail

template <kernel_set K, minibatch_geometry G>
void launch(basic_cpu<K>& b, ops::minibatch_similarity_forward<G>,
            const typename ops::minibatch_similarity_forward<G>::template params<
                typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  constexpr hwc projected{1, 1, G.kernels * G.dims}, wide{1, 1, G.in + G.kernels};
  const int n = p.x.n;
  detail::copy_features<G, false>(b, p.x.data, n, p.y.data);
  detail::for_each_similarity_kernel<G, G.dims + 2>(
      b, n, [&](int kernel, const detail::sample_rows& rows) {
        const detail::sample_rows sum{rows.row(G.dims), rows.stride};
        float* c = rows.row(G.dims + 1);
        detail::gather_rows<projected, layout>(p.m.data, n, kernel * G.dims, G.dims, rows);
        for (int j = 0; j < n; ++j) {
          detail::similarities(rows, G.dims, j, c);
          for (std::size_t i = 0; i < rows.stride; ++i) sum.data[i] += c[i];
        }
        detail::scatter_rows<wide, layout>(sum, n, G.in + kernel, 1, p.y.data);
      });
}

template <kernel_set K, minibatch_geometry G>
void launch(basic_cpu<K>& b, ops::minibatch_similarity_backward<G>,
            const typename ops::minibatch_similarity_backward<G>::template params<
                typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  constexpr hwc projected{1, 1, G.kernels * G.dims}, wide{1, 1, G.in + G.kernels};
  const int n = p.m.n;
  if (p.dx.data) detail::copy_features<G, true>(b, p.dy.data, n, p.dx.data);
  detail::for_each_similarity_kernel<G, 2 * G.dims + 2>(
      b, n, [&](int kernel, const detail::sample_rows& rows) {
        const detail::sample_rows sum{rows.row(G.dims), rows.stride},
            dy{rows.row(2 * G.dims), rows.stride};
        float* c = rows.row(2 * G.dims + 1);
        detail::gather_rows<projected, layout>(p.m.data, n, kernel * G.dims, G.dims, rows);
        detail::gather_rows<wide, layout>(p.dy.data, n, G.in + kernel, 1, dy);
        for (int j = 0; j < n; ++j) {
          detail::similarities(rows, G.dims, j, c);
          for (std::size_t i = 0; i < rows.stride; ++i) c[i] *= dy.data[i] + dy.data[j];
          detail::subtract_signs(rows, G.dims, j, c, sum);
        }
        detail::scatter_rows<projected, layout>(sum, n, kernel * G.dims, G.dims, p.dm.data);
      });
}

template <kernel_set K, minibatch_geometry G>
void launch(basic_cpu<K>& b, ops::minibatch_similarity_tangent<G>,
            const typename ops::minibatch_similarity_tangent<G>::template params<
                typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  constexpr hwc projected{1, 1, G.kernels * G.dims}, wide{1, 1, G.in + G.kernels};
  const int n = p.tx.n;
  detail::copy_features<G, false>(b, p.tx.data, n, p.ty.data);
  detail::for_each_similarity_kernel<G, 2 * G.dims + 3>(
      b, n, [&](int kernel, const detail::sample_rows& rows) {
        const detail::sample_rows tm{rows.row(G.dims), rows.stride},
            sum{rows.row(2 * G.dims), rows.stride};
        float *c = rows.row(2 * G.dims + 1), *slope = rows.row(2 * G.dims + 2);
        detail::gather_rows<projected, layout>(p.m.data, n, kernel * G.dims, G.dims, rows);
        detail::gather_rows<projected, layout>(p.tm.data, n, kernel * G.dims, G.dims, tm);
        for (int j = 0; j < n; ++j) {
          detail::similarities(rows, G.dims, j, c);
          detail::distance_slopes(rows, tm, G.dims, j, slope);
          for (std::size_t i = 0; i < rows.stride; ++i) sum.data[i] -= c[i] * slope[i];
        }
        detail::scatter_rows<wide, layout>(sum, n, G.in + kernel, 1, p.ty.data);
      });
}

template <kernel_set K, minibatch_geometry G>
void launch(basic_cpu<K>& b, ops::minibatch_similarity_second_order<G>,
            const typename ops::minibatch_similarity_second_order<G>::template params<
                typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  constexpr hwc projected{1, 1, G.kernels * G.dims}, wide{1, 1, G.in + G.kernels};
  const int n = p.m.n;
  if (p.ex.data && p.ey.data) detail::copy_features<G, true>(b, p.ey.data, n, p.ex.data);
  detail::for_each_similarity_kernel<G, 4 * G.dims + 5>(
      b, n, [&](int kernel, const detail::sample_rows& rows) {
        const auto at = [&](int row) { return detail::sample_rows{rows.row(row), rows.stride}; };
        const auto tm = at(G.dims), by_m = at(2 * G.dims), by_tm = at(3 * G.dims),
                   g = at(4 * G.dims), e = at(4 * G.dims + 1);
        float *c = rows.row(4 * G.dims + 2), *slope = rows.row(4 * G.dims + 3),
              *of_m = rows.row(4 * G.dims + 4);
        detail::gather_rows<projected, layout>(p.m.data, n, kernel * G.dims, G.dims, rows);
        detail::gather_rows<projected, layout>(p.tm.data, n, kernel * G.dims, G.dims, tm);
        detail::gather_rows<wide, layout>(p.gy.data, n, G.in + kernel, 1, g);
        detail::gather_rows<wide, layout>(p.ey.data, n, G.in + kernel, 1, e);
        for (int j = 0; j < n; ++j) {
          detail::similarities(rows, G.dims, j, c);
          detail::distance_slopes(rows, tm, G.dims, j, slope);
          for (std::size_t i = 0; i < rows.stride; ++i) {
            const float both = g.data[i] + g.data[j];
            of_m[i] = c[i] * (e.data[i] + e.data[j] - both * slope[i]);
            c[i] *= both;
          }
          detail::subtract_signs(rows, G.dims, j, of_m, by_m);
          detail::subtract_signs(rows, G.dims, j, c, by_tm);
        }
        detail::scatter_rows<projected, layout>(by_m, n, kernel * G.dims, G.dims, p.em.data);
        detail::scatter_rows<projected, layout>(by_tm, n, kernel * G.dims, G.dims, p.etm.data);
      });
}

}  // namespace gantry::backend
