// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Every pass is the same three steps: sums over the pixels per sample and channel, what a group
// makes of its channels' sums (in double, a negligible share of the work), and one pass over the
// batch with a few coefficients per sample and channel.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "gantry/backend/cpu/slots.hpp"
#include "gantry/ops/group_norm.hpp"

namespace gantry::inline v0::backend {

namespace detail {

/// Tables of one launch, each with a number per slot.
template <class Walk>
struct slot_tables {
  float *sums, *coefficients;
  std::size_t slots;
  slot_tables(int n, int sum_count, int coefficient_count)
      : sums(scratch(scratch_use::op, sum_count * Walk::slots(n))),
        coefficients(scratch(scratch_use::op_output, coefficient_count * Walk::slots(n))),
        slots(Walk::slots(n)) {}
  [[nodiscard]] float* sum(int k) const { return sums + k * slots; }
  [[nodiscard]] float* coefficient(int k) const { return coefficients + k * slots; }
};

template <hwc Shape, int Groups, class Layout>
struct group_walk : slot_walk<Layout, Shape> {
  using base = slot_walk<Layout, Shape>;
  static constexpr int channels = Shape.c / Groups;
  static constexpr double count = static_cast<double>(Shape.size()) / Groups;

  /// Calls f(slot, channel) for the slots of group g of sample i.
  template <class F>
  static void for_each_slot(int n, int i, int g, F&& f) {
    for (int c = g * channels; c < (g + 1) * channels; ++c)
      for (int copy = 0; copy < base::copies; ++copy)
        f(base::slot(n, i, c) + static_cast<std::size_t>(copy) * Shape.c, c);
  }
  /// Calls f(sample, group, place of their statistics), samples in parallel.
  template <kernel_set K, class F>
  static void for_each_group(basic_cpu<K>& b, int n, F&& f) {
    b.split(static_cast<std::size_t>(n), ceil_div(4096, Shape.c),
            [&](std::size_t begin, std::size_t end) {
              for (int i = static_cast<int>(begin); i < static_cast<int>(end); ++i)
                for (int g = 0; g < Groups; ++g) f(i, g, i * Groups + g);
            });
  }
  /// Spreads a number per sample and group over their slots.
  template <kernel_set K>
  static void spread(basic_cpu<K>& b, int n, const float* per_group, float* table) {
    for_each_group(b, n, [=](int i, int g, int at) {
      for_each_slot(n, i, g, [&](std::size_t slot, int) { table[slot] = per_group[at]; });
    });
  }
  /// target[c] += the sum over samples of term(slot, place of the statistics), where not null.
  template <kernel_set K, class Term>
  static void add_to_channels(basic_cpu<K>& b, int n, float* target, const Term& term) {
    b.split(static_cast<std::size_t>(Shape.c), ceil_div<std::size_t>(4096, n),
            [&](std::size_t begin, std::size_t end) {
              for (int c = static_cast<int>(begin); c < static_cast<int>(end); ++c) {
                double sum = 0;
                for (int i = 0; i < n; ++i)
                  for (int copy = 0; copy < base::copies; ++copy)
                    sum += term(base::slot(n, i, c) + static_cast<std::size_t>(copy) * Shape.c,
                                i * Groups + c / channels);
                target[c] += static_cast<float>(sum);
              }
            });
  }
};

/// y = a v + s (x - center) + t, the second pass of gradient and tangent.
template <class Walk, kernel_set K>
void map_linear(basic_cpu<K>& b, int n, const slot_tables<Walk>& tables, const float* x,
                const float* v, float* y) {
  map_slots<Walk>(
      b, n,
      [center = tables.coefficient(0), a = tables.coefficient(1), s = tables.coefficient(2),
       t = tables.coefficient(3), x, v,
       y](std::size_t i, std::size_t j) { y[i] = a[j] * v[i] + s[j] * (x[i] - center[j]) + t[j]; });
}

}  // namespace detail

template <kernel_set K, hwc Shape, int Groups>
void launch(basic_cpu<K>& b, ops::group_norm_forward<Shape, Groups>,
            const typename ops::group_norm_forward<Shape, Groups>::template params<
                typename basic_cpu<K>::storage>& p) {
  using walk = detail::group_walk<Shape, Groups, typename basic_cpu<K>::storage::layout>;
  const int n = p.x.n;
  const detail::slot_tables<walk> tables(n, 2, 3);
  const float *sum = tables.sum(0), *square = tables.sum(1), *x = p.x.data;
  float *center = tables.coefficient(0), *scale = tables.coefficient(1),
        *shift = tables.coefficient(2);
  detail::sum_slots<1, walk>(b, n, tables.sums,
                             [x](std::size_t i, std::size_t) { return std::array{x[i]}; });
  walk::for_each_group(b, n, [&](int i, int g, int) {
    double total = 0;
    walk::for_each_slot(n, i, g, [&](std::size_t slot, int) { total += sum[slot]; });
    walk::for_each_slot(n, i, g, [&](std::size_t slot, int) {
      center[slot] = static_cast<float>(total / walk::count);
    });
  });
  detail::sum_slots<2, walk>(b, n, tables.sums, [x, center](std::size_t i, std::size_t j) {
    const float d = x[i] - center[j];
    return std::array{d, d * d};
  });
  walk::for_each_group(b, n, [&](int i, int g, int at) {
    double drift = 0, spread = 0, mean = 0;
    walk::for_each_slot(n, i, g, [&](std::size_t slot, int) {
      drift += sum[slot];
      spread += square[slot];
      mean = center[slot];
    });
    drift /= walk::count;
    const double variance = spread / walk::count - drift * drift;
    p.saved_mean[at] = static_cast<float>(mean + drift);
    p.saved_inverse_deviation[at] = static_cast<float>(1.0 / std::sqrt(variance + p.epsilon));
    walk::for_each_slot(n, i, g, [&](std::size_t slot, int c) {
      center[slot] = p.saved_mean[at];
      scale[slot] = p.saved_inverse_deviation[at] * p.gamma[c];
      shift[slot] = p.beta[c];
    });
  });
  detail::map_slots<walk>(b, n, [=, y = p.y.data](std::size_t i, std::size_t j) {
    y[i] = (x[i] - center[j]) * scale[j] + shift[j];
  });
}

template <kernel_set K, hwc Shape, int Groups>
void launch(basic_cpu<K>& b, ops::group_norm_backward<Shape, Groups>,
            const typename ops::group_norm_backward<Shape, Groups>::template params<
                typename basic_cpu<K>::storage>& p) {
  using walk = detail::group_walk<Shape, Groups, typename basic_cpu<K>::storage::layout>;
  const int n = p.x.n;
  const detail::slot_tables<walk> tables(n, 2, 4);
  const float *x = p.x.data, *dy = p.dy.data, *center = tables.coefficient(0);
  const float *sum = tables.sum(0), *with_x = tables.sum(1);
  walk::spread(b, n, p.saved_mean, tables.coefficient(0));
  detail::sum_slots<2, walk>(b, n, tables.sums, [=](std::size_t i, std::size_t j) {
    return std::array{dy[i], dy[i] * (x[i] - center[j])};
  });
  if (p.dgamma) {
    walk::add_to_channels(b, n, p.dgamma, [&](std::size_t slot, int at) {
      return static_cast<double>(with_x[slot]) * p.saved_inverse_deviation[at];
    });
    walk::add_to_channels(b, n, p.dbeta, [&](std::size_t slot, int) { return double{sum[slot]}; });
  }
  if (!p.dx.data) return;
  walk::for_each_group(b, n, [&](int i, int g, int at) {
    const double r = p.saved_inverse_deviation[at];
    double g_mean = 0, g_u = 0;
    walk::for_each_slot(n, i, g, [&](std::size_t slot, int c) {
      g_mean += static_cast<double>(p.gamma[c]) * sum[slot] / walk::count;
      g_u += p.gamma[c] * r * with_x[slot] / walk::count;
    });
    walk::for_each_slot(n, i, g, [&](std::size_t slot, int c) {
      tables.coefficient(1)[slot] = static_cast<float>(r * p.gamma[c]);
      tables.coefficient(2)[slot] = static_cast<float>(-r * r * g_u);
      tables.coefficient(3)[slot] = static_cast<float>(-r * g_mean);
    });
  });
  detail::map_linear<walk>(b, n, tables, x, dy, p.dx.data);
}

template <kernel_set K, hwc Shape, int Groups>
void launch(basic_cpu<K>& b, ops::group_norm_tangent<Shape, Groups>,
            const typename ops::group_norm_tangent<Shape, Groups>::template params<
                typename basic_cpu<K>::storage>& p) {
  using walk = detail::group_walk<Shape, Groups, typename basic_cpu<K>::storage::layout>;
  const int n = p.x.n;
  const detail::slot_tables<walk> tables(n, 2, 4);
  const float *x = p.x.data, *tx = p.tx.data, *center = tables.coefficient(0);
  walk::spread(b, n, p.saved_mean, tables.coefficient(0));
  detail::sum_slots<2, walk>(b, n, tables.sums, [=](std::size_t i, std::size_t j) {
    return std::array{tx[i], tx[i] * (x[i] - center[j])};
  });
  walk::for_each_group(b, n, [&](int i, int g, int at) {
    const double r = p.saved_inverse_deviation[at];
    double mean = 0, with_u = 0;
    walk::for_each_slot(n, i, g, [&](std::size_t slot, int) {
      mean += tables.sum(0)[slot] / walk::count;
      with_u += r * tables.sum(1)[slot] / walk::count;
    });
    walk::for_each_slot(n, i, g, [&](std::size_t slot, int c) {
      const double factor = r * p.gamma[c];
      tables.coefficient(1)[slot] = static_cast<float>(factor);
      tables.coefficient(2)[slot] = static_cast<float>(-factor * r * with_u);
      tables.coefficient(3)[slot] = static_cast<float>(-factor * mean);
    });
  });
  detail::map_linear<walk>(b, n, tables, x, tx, p.ty.data);
}

namespace detail {

/// The second derivatives of group normalisation; the names are those of ops/group_norm.hpp.
template <hwc Shape, int Groups, kernel_set K>
struct group_norm_bend {
  using walk = group_walk<Shape, Groups, typename basic_cpu<K>::storage::layout>;
  using op_params = typename ops::group_norm_second_order<Shape, Groups>::template params<
      typename basic_cpu<K>::storage>;
  enum sums { tx, tx_x, gy, gy_x, gy_tx, ey, ey_x, sum_count };
  enum coefficients { center, of_ey, of_gy, of_tx, of_x, constant, coefficient_count };

  /// Means over a group of tx, u tx, u g, g, g tx, e and u e.
  struct group_means {
    double a{}, b{}, c{}, g{}, g_tx{}, e{}, e_u{};
  };
  static group_means means(const op_params& p, const slot_tables<walk>& t, int i, int g, double r) {
    group_means m;
    walk::for_each_slot(p.x.n, i, g, [&](std::size_t slot, int channel) {
      const double share = 1.0 / walk::count, gamma = p.gamma[channel] * share;
      m.a += share * t.sum(tx)[slot];
      m.b += share * r * t.sum(tx_x)[slot];
      m.c += gamma * r * t.sum(gy_x)[slot];
      m.g += gamma * t.sum(gy)[slot];
      m.g_tx += gamma * t.sum(gy_tx)[slot];
      m.e += gamma * t.sum(ey)[slot];
      m.e_u += gamma * r * t.sum(ey_x)[slot];
    });
    return m;
  }

  static void sum(basic_cpu<K>& b, const op_params& p, const slot_tables<walk>& tables) {
    const float *x = p.x.data, *t = p.tx.data, *g = p.gy.data, *e = p.ey.data;
    const float* mean = tables.coefficient(center);
    if (e) {
      sum_slots<7, walk>(b, p.x.n, tables.sums, [=](std::size_t i, std::size_t j) {
        const float d = x[i] - mean[j];
        return std::array{t[i], t[i] * d, g[i], g[i] * d, g[i] * t[i], e[i], e[i] * d};
      });
    } else {
      sum_slots<5, walk>(b, p.x.n, tables.sums, [=](std::size_t i, std::size_t j) {
        const float d = x[i] - mean[j];
        return std::array{t[i], t[i] * d, g[i], g[i] * d, g[i] * t[i]};
      });
      std::fill_n(tables.sum(ey), 2 * tables.slots, 0.0f);
    }
  }

  /// Coefficients of ex; those of the channels' sums that give dgamma stay in `from_a`, `from_b`.
  static void combine(basic_cpu<K>& b, const op_params& p, const slot_tables<walk>& tables) {
    walk::for_each_group(b, p.x.n, [&](int i, int g, int at) {
      const double r = p.saved_inverse_deviation[at], r2 = r * r;
      const group_means m = means(p, tables, i, g, r);
      const double bend = m.g_tx - m.a * m.g - 3 * m.b * m.c;
      walk::for_each_slot(p.x.n, i, g, [&](std::size_t slot, int channel) {
        const auto set = [&](coefficients k, double value) {
          tables.coefficient(k)[slot] = static_cast<float>(value);
        };
        // The sum of gy tu replaces that of gy tx, which nothing reads again.
        tables.sum(gy_tx)[slot] =
            static_cast<float>(r * (tables.sum(gy_tx)[slot] - m.a * tables.sum(gy)[slot] -
                                    m.b * r * tables.sum(gy_x)[slot]));
        set(of_ey, r * p.gamma[channel]);
        set(of_gy, -r2 * m.b * p.gamma[channel]);
        set(of_tx, -r2 * m.c);
        set(of_x, -r2 * (m.e_u + r * bend));
        set(constant, -r * m.e + r2 * (m.c * m.a + m.b * m.g));
      });
    });
  }

  static void map(basic_cpu<K>& b, const op_params& p, const slot_tables<walk>& tables) {
    const float *x = p.x.data, *t = p.tx.data, *g = p.gy.data, *e = p.ey.data;
    const auto at = [&](coefficients k) -> const float* { return tables.coefficient(k); };
    const auto bend = [=, mean = at(center), c_g = at(of_gy), c_t = at(of_tx), c_x = at(of_x),
                       c = at(constant)](std::size_t i, std::size_t j) {
      return c_g[j] * g[i] + c_t[j] * t[i] + c_x[j] * (x[i] - mean[j]) + c[j];
    };
    if (e)
      map_slots<walk>(b, p.x.n, [=, c_e = at(of_ey), ex = p.ex.data](std::size_t i, std::size_t j) {
        ex[i] = c_e[j] * e[i] + bend(i, j);
      });
    else
      map_slots<walk>(b, p.x.n,
                      [=, ex = p.ex.data](std::size_t i, std::size_t j) { ex[i] = bend(i, j); });
  }
};

}  // namespace detail

template <kernel_set K, hwc Shape, int Groups>
void launch(basic_cpu<K>& b, ops::group_norm_second_order<Shape, Groups>,
            const typename ops::group_norm_second_order<Shape, Groups>::template params<
                typename basic_cpu<K>::storage>& p) {
  using bend = detail::group_norm_bend<Shape, Groups, K>;
  using walk = typename bend::walk;
  const int n = p.x.n;
  const detail::slot_tables<walk> tables(n, bend::sum_count, bend::coefficient_count);
  walk::spread(b, n, p.saved_mean, tables.coefficient(bend::center));
  bend::sum(b, p, tables);
  bend::combine(b, p, tables);
  if (p.dgamma) {
    walk::add_to_channels(b, n, p.dgamma, [&](std::size_t slot, int at) {
      return tables.sum(bend::gy_tx)[slot] +
             static_cast<double>(tables.sum(bend::ey_x)[slot]) * p.saved_inverse_deviation[at];
    });
    walk::add_to_channels(
        b, n, p.dbeta, [&](std::size_t slot, int) { return double{tables.sum(bend::ey)[slot]}; });
  }
  if (p.ex.data) bend::map(b, p, tables);
}

}  // namespace gantry::backend
