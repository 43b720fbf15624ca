// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Attention, a sample per piece of work. The matrix of weights exists for some of its rows at a
// time, which stay in the second-level cache; every product runs on the register tiles.
#pragma once

#include <algorithm>
#include <cstddef>

#include "gantry/backend/cpu/attention_panels.hpp"

namespace gantry::inline v0::backend {

namespace detail {

/// Rows of weights at a time: a multiple of the tiles' heights.
inline constexpr int attention_rows_at_once = 42;

/// q, k and v of one sample, and k and v with rows and columns exchanged.
template <attention_geometry G>
struct attention_operands {
  panels q, k, v, k_turned, v_turned;

  /// Without data.
  explicit attention_operands(panel_memory& memory)
      : q(memory.take(G.positions(), G.keys)),
        k(memory.take(G.positions(), G.keys)),
        v(memory.take(G.positions(), G.values)) {}
  attention_operands(const float* canonical, panel_memory& memory) : attention_operands(memory) {
    constexpr int stride = G.projected().c;
    load_panels(canonical, stride, 0, q);
    load_panels(canonical, stride, G.keys, k);
    load_panels(canonical, stride, 2 * G.keys, v);
    k_turned = transposed(k, memory);
    v_turned = transposed(v, memory);
  }
  void store(float* canonical) const {
    constexpr int stride = G.projected().c;
    store_panels(q, canonical, stride, 0);
    store_panels(k, canonical, stride, G.keys);
    store_panels(v, canonical, stride, 2 * G.keys);
  }
  static constexpr std::size_t elements() {
    return 2 * panels::elements(G.positions(), G.keys) + panels::elements(G.positions(), G.values) +
           panels::elements(G.keys, G.positions()) + panels::elements(G.values, G.positions());
  }
};

/// Runs f(sample, memory, canonical) for every sample, with room for `operands` projected samples,
/// `results` samples of results and `blocks` blocks of weights.
template <attention_geometry G, kernel_set K, class F>
void for_each_attention(basic_cpu<K>& b, int n, int operands, int results, int blocks, F&& f) {
  const std::size_t size =
      static_cast<std::size_t>(operands) * attention_operands<G>::elements() +
      static_cast<std::size_t>(results) * panels::elements(G.positions(), G.values) +
      static_cast<std::size_t>(blocks) *
          panels::elements(std::min(attention_rows_at_once, G.positions()), G.positions());
  b.for_each(n, [&](int i) {
    panel_memory memory(scratch(scratch_use::piece, size));
    f(i, memory,
      scratch(scratch_use::piece_output, static_cast<std::size_t>(G.projected().size())));
  });
}

/// A block of weights, or of what belongs to them.
template <attention_geometry G>
panels take_block(panel_memory& memory) {
  return memory.take(std::min(attention_rows_at_once, G.positions()), G.positions());
}
/// Calls f(first, count) for the blocks of rows.
template <attention_geometry G, class F>
void for_each_row_block(F&& f) {
  for (int first = 0; first < G.positions(); first += attention_rows_at_once)
    f(first, std::min(attention_rows_at_once, G.positions() - first));
}

/// The weights of some rows, again.
template <attention_geometry G>
void weights_again(const attention_operands<G>& x, const float* normaliser, int first, int count,
                   const panels& weight) {
  multiply_panels({x.q, first, count}, x.k_turned, {weight, 0, count}, false);
  for (int r = 0; r < count; ++r) exponentials(weight, r, normaliser[first + r]);
}

/// The tangents of the scores of some rows.
template <attention_geometry G>
void score_tangents(const attention_operands<G>& x, const attention_operands<G>& t, int first,
                    int count, const panels& slope) {
  multiply_panels({t.q, first, count}, x.k_turned, {slope, 0, count}, false);
  multiply_panels({x.q, first, count}, t.k_turned, {slope, 0, count}, true);
}

/// A row of m = w (m - the mean of m with weights w).
inline float center_row(const panels& w, const panels& m, int row) {
  const float* weight = w.data;
  float* value = m.data;
  const float mean = row_sum(m, row, [=](std::ptrdiff_t i) { return weight[i] * value[i]; });
  for_each_in_row(m, row, [=](std::ptrdiff_t i) { value[i] = weight[i] * (value[i] - mean); });
  return mean;
}

}  // namespace detail

template <kernel_set K, attention_geometry G>
void launch(
    basic_cpu<K>& b, ops::attention_forward<G>,
    const typename ops::attention_forward<G>::template params<typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  detail::for_each_attention<G>(
      b, p.x.n, 1, 1, 1, [&](int i, detail::panel_memory& memory, float* sample) {
        detail::read_sample<layout, G.projected()>(p.x.data, p.x.n, i, sample);
        const detail::attention_operands<G> x(sample, memory);
        const detail::panels y = memory.take(G.positions(), G.values),
                             weight = detail::take_block<G>(memory);
        float* normaliser = p.normaliser + static_cast<std::size_t>(i) * G.positions();
        detail::for_each_row_block<G>([&](int first, int count) {
          detail::multiply_panels({x.q, first, count}, x.k_turned, {weight, 0, count}, false);
          for (int r = 0; r < count; ++r) normaliser[first + r] = detail::softmax_row(weight, r);
          detail::multiply_panels({weight, 0, count}, x.v, {y, first, count}, false);
        });
        detail::store_panels(y, sample, G.values, 0);
        detail::write_sample<layout, G.result()>(sample, p.y.data, p.x.n, i);
      });
}

template <kernel_set K, attention_geometry G>
void launch(
    basic_cpu<K>& b, ops::attention_backward<G>,
    const typename ops::attention_backward<G>::template params<typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  detail::for_each_attention<G>(
      b, p.x.n, 2, 1, 2, [&](int i, detail::panel_memory& memory, float* sample) {
        detail::read_sample<layout, G.projected()>(p.x.data, p.x.n, i, sample);
        const detail::attention_operands<G> x(sample, memory), dx(memory);
        const detail::panels u = memory.take(G.positions(), G.values);
        detail::read_sample<layout, G.result()>(p.dy.data, p.x.n, i, sample);
        detail::load_panels(sample, G.values, 0, u);
        const detail::panels weight = detail::take_block<G>(memory),
                             slope = detail::take_block<G>(memory);
        const float* normaliser = p.normaliser + static_cast<std::size_t>(i) * G.positions();
        detail::for_each_row_block<G>([&](int first, int count) {
          const bool more = first > 0;
          detail::weights_again(x, normaliser, first, count, weight);
          detail::multiply_panels({u, first, count}, x.v_turned, {slope, 0, count}, false);
          detail::multiply_panels_transposed({weight, 0, count}, {u, first, count}, dx.v, more);
          for (int r = 0; r < count; ++r) detail::center_row(weight, slope, r);
          detail::multiply_panels({slope, 0, count}, x.k, {dx.q, first, count}, false);
          detail::multiply_panels_transposed({slope, 0, count}, {x.q, first, count}, dx.k, more);
        });
        dx.store(sample);
        detail::write_sample<layout, G.projected()>(sample, p.dx.data, p.x.n, i);
      });
}

template <kernel_set K, attention_geometry G>
void launch(
    basic_cpu<K>& b, ops::attention_tangent<G>,
    const typename ops::attention_tangent<G>::template params<typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  detail::for_each_attention<G>(
      b, p.x.n, 2, 1, 2, [&](int i, detail::panel_memory& memory, float* sample) {
        detail::read_sample<layout, G.projected()>(p.x.data, p.x.n, i, sample);
        const detail::attention_operands<G> x(sample, memory);
        detail::read_sample<layout, G.projected()>(p.tx.data, p.x.n, i, sample);
        const detail::attention_operands<G> t(sample, memory);
        const detail::panels ty = memory.take(G.positions(), G.values),
                             weight = detail::take_block<G>(memory),
                             slope = detail::take_block<G>(memory);
        const float* normaliser = p.normaliser + static_cast<std::size_t>(i) * G.positions();
        detail::for_each_row_block<G>([&](int first, int count) {
          detail::weights_again(x, normaliser, first, count, weight);
          detail::score_tangents(x, t, first, count, slope);
          for (int r = 0; r < count; ++r) detail::center_row(weight, slope, r);
          detail::multiply_panels({slope, 0, count}, x.v, {ty, first, count}, false);
          detail::multiply_panels({weight, 0, count}, t.v, {ty, first, count}, true);
        });
        detail::store_panels(ty, sample, G.values, 0);
        detail::write_sample<layout, G.result()>(sample, p.ty.data, p.x.n, i);
      });
}

namespace detail {

/// What one sample's second order works on: u and e stand for gy and ey, e.data may be null.
template <attention_geometry G>
struct attention_bend {
  attention_operands<G> x, t, ex;
  panels u, e, weight, slope, factor, both;

  /// Rows of `slope`, `factor` and `both` become the derivatives by the scores' tangent, by the
  /// products with v, and by the scores (backend/reference/attention.hpp has the formulas; what
  /// all of a row share falls out).
  void bend_row(int row) const {
    const float *w = weight.data, *s = slope.data, *f = factor.data;
    float* m = both.data;
    const float c = row_sum(slope, row, [=](std::ptrdiff_t i) { return w[i] * s[i]; }),
                a = row_sum(factor, row, [=](std::ptrdiff_t i) { return w[i] * f[i]; });
    for_each_in_row(both, row, [=](std::ptrdiff_t i) { m[i] += (s[i] - c) * (f[i] - a); });
    center_row(weight, both, row);
    center_row(weight, slope, row);
    center_row(weight, factor, row);
  }

  void add_rows(const float* normaliser, int first, int count) const {
    const bool more = first > 0;
    const panel_rows own_u{u, first, count};
    weights_again(x, normaliser, first, count, weight);
    score_tangents(x, t, first, count, slope);
    multiply_panels(own_u, x.v_turned, {factor, 0, count}, false);
    multiply_panels(own_u, t.v_turned, {both, 0, count}, false);
    if (e.data) multiply_panels({e, first, count}, x.v_turned, {both, 0, count}, true);
    for (int r = 0; r < count; ++r) bend_row(r);
    multiply_panels({factor, 0, count}, t.k, {ex.q, first, count}, false);
    multiply_panels({both, 0, count}, x.k, {ex.q, first, count}, true);
    multiply_panels_transposed({factor, 0, count}, {t.q, first, count}, ex.k, more);
    multiply_panels_transposed({both, 0, count}, {x.q, first, count}, ex.k, true);
    multiply_panels_transposed({slope, 0, count}, own_u, ex.v, more);
    if (e.data) multiply_panels_transposed({weight, 0, count}, {e, first, count}, ex.v, true);
  }
};

}  // namespace detail

template <kernel_set K, attention_geometry G>
void launch(
    basic_cpu<K>& b, ops::attention_second_order<G>,
    const typename ops::attention_second_order<G>::template params<typename basic_cpu<K>::storage>&
        p) {
  using layout = typename basic_cpu<K>::storage::layout;
  detail::for_each_attention<G>(
      b, p.x.n, 3, 2, 4, [&](int i, detail::panel_memory& memory, float* sample) {
        const auto operands = [&](const float* batch) {
          detail::read_sample<layout, G.projected()>(batch, p.x.n, i, sample);
          return detail::attention_operands<G>(sample, memory);
        };
        const auto results = [&](const float* batch) {
          if (!batch) return detail::panels{};
          const detail::panels to = memory.take(G.positions(), G.values);
          detail::read_sample<layout, G.result()>(batch, p.x.n, i, sample);
          detail::load_panels(sample, G.values, 0, to);
          return to;
        };
        const detail::attention_bend<G> bend{operands(p.x.data),
                                             operands(p.tx.data),
                                             detail::attention_operands<G>(memory),
                                             results(p.gy.data),
                                             results(p.ey.data),
                                             detail::take_block<G>(memory),
                                             detail::take_block<G>(memory),
                                             detail::take_block<G>(memory),
                                             detail::take_block<G>(memory)};
        detail::for_each_row_block<G>([&](int first, int count) {
          bend.add_rows(p.normaliser + static_cast<std::size_t>(i) * G.positions(), first, count);
        });
        bend.ex.store(sample);
        detail::write_sample<layout, G.projected()>(sample, p.ex.data, p.x.n, i);
      });
}

template <kernel_set K>
void launch(basic_cpu<K>& b, ops::scaled_copy,
            const ops::scaled_copy::params<typename basic_cpu<K>::storage>& p) {
  b.split(p.count, 16384, [q = p, scale = *p.scale](std::size_t begin, std::size_t end) {
    const auto own = q;
    for (std::size_t i = begin; i < end; ++i) own.y[i] = scale * own.x[i];
  });
}

/// The product is summed piece by piece and then over pieces, in a fixed order.
template <kernel_set K>
void launch(basic_cpu<K>& b, ops::scaled_copy_gradient,
            const ops::scaled_copy_gradient::params<typename basic_cpu<K>::storage>& p) {
  constexpr std::size_t grain = 4096;
  float* parts = scratch(scratch_use::op, ceil_div(p.count, grain));
  b.split(p.count, grain, [=, scale = *p.scale](std::size_t begin, std::size_t end) {
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) {
      sum += static_cast<double>(p.dy[i]) * static_cast<double>(p.x[i]);
      p.dx[i] += scale * p.dy[i];
    }
    parts[begin / grain] = static_cast<float>(sum);
  });
  double sum = 0;
  for (std::size_t i = 0; i < ceil_div(p.count, grain); ++i) sum += static_cast<double>(parts[i]);
  *p.dscale += static_cast<float>(sum);
}

}  // namespace gantry::backend
