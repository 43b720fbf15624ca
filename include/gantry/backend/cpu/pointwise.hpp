// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include <Eigen/Core>

#include "gantry/backend/cpu/backend.hpp"
#include "gantry/backend/cpu/epilogue.hpp"
#include "gantry/ops/loss.hpp"
#include "gantry/ops/optimizer_step.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0::backend {

namespace detail {

/// Scalars in one piece of pointwise work: 64 KiB, about what a core reads while another wakes up.
inline constexpr std::size_t pointwise_grain = 16384;

/// Runs f(i) for every i below count. Each piece has a copy of f, which no store can reach, so the
/// loop is vectorised.
template <kernel_set K, class F>
void for_each_element(basic_cpu<K>& b, std::size_t count, F&& f) {
  b.split(count, pointwise_grain, [&](std::size_t begin, std::size_t end) {
    const auto own = f;
    for (std::size_t i = begin; i < end; ++i) own(i);
  });
}

}  // namespace detail

template <kernel_set K, class Function>
void launch(basic_cpu<K>& b, ops::activation_forward<Function>,
            const typename ops::activation_forward<Function>::template params<
                typename basic_cpu<K>::storage>& p) {
  b.split(p.count, detail::pointwise_grain, [&](std::size_t begin, std::size_t end) {
    detail::activate(p.f, p.x + begin, p.y + begin, end - begin);
  });
}

template <kernel_set K, class Function>
void launch(basic_cpu<K>& b, ops::activation_backward<Function>,
            const typename ops::activation_backward<Function>::template params<
                typename basic_cpu<K>::storage>& p) {
  b.split(p.count, detail::pointwise_grain, [&](std::size_t begin, std::size_t end) {
    detail::gate(p.f, p.y + begin, p.dy + begin, p.dx + begin, end - begin);
  });
}

template <kernel_set K, class Function>
void launch(basic_cpu<K>& b, ops::activation_second_order<Function>,
            const typename ops::activation_second_order<Function>::template params<
                typename basic_cpu<K>::storage>& p) {
  const auto q = p;
  if (q.ey)
    detail::for_each_element(b, q.count, [q](std::size_t i) {
      q.ex[i] =
          q.ey[i] * q.f.derivative(q.y[i]) + q.gy[i] * q.tx[i] * q.f.second_derivative(q.y[i]);
    });
  else
    detail::for_each_element(b, q.count, [q](std::size_t i) {
      q.ex[i] = q.gy[i] * q.tx[i] * q.f.second_derivative(q.y[i]);
    });
}

template <kernel_set K>
void launch(basic_cpu<K>& b, ops::accumulate,
            const ops::accumulate::params<typename basic_cpu<K>::storage>& p) {
  const auto q = p;
  detail::for_each_element(b, q.count, [q](std::size_t i) { q.y[i] += q.x[i]; });
}

template <kernel_set K>
void launch(basic_cpu<K>& b, ops::copy,
            const ops::copy::params<typename basic_cpu<K>::storage>& p) {
  b.split(p.count, detail::pointwise_grain, [&](std::size_t begin, std::size_t end) {
    std::copy(p.x + begin, p.x + end, p.y + begin);
  });
}

template <kernel_set K>
void launch(basic_cpu<K>& b, ops::fill,
            const ops::fill::params<typename basic_cpu<K>::storage>& p) {
  b.split(p.count, detail::pointwise_grain,
          [&](std::size_t begin, std::size_t end) { std::fill(p.y + begin, p.y + end, p.value); });
}

template <kernel_set K>
void launch(basic_cpu<K>& b, ops::clamp,
            const ops::clamp::params<typename basic_cpu<K>::storage>& p) {
  const auto q = p;
  detail::for_each_element(b, q.count,
                           [q](std::size_t i) { q.y[i] = std::clamp(q.y[i], -q.bound, q.bound); });
}

template <kernel_set K, class Function>
void launch(
    basic_cpu<K>&, ops::loss_term<Function>,
    const typename ops::loss_term<Function>::template params<typename basic_cpu<K>::storage>& p) {
  double sum = 0;
  for (std::size_t i = 0; i < p.count; ++i) {
    sum += p.f.value(static_cast<double>(p.logits[i]));
    p.gradient[i] = p.scale * p.f.derivative(p.logits[i]);
  }
  *p.sum += static_cast<float>(p.scale * sum);
}

template <kernel_set K, class Function>
void launch(
    basic_cpu<K>&, ops::paired_term<Function>,
    const typename ops::paired_term<Function>::template params<typename basic_cpu<K>::storage>& p) {
  double sum = 0;
  for (std::size_t i = 0; i < p.count; ++i) {
    const double x = static_cast<double>(p.a[i]) - static_cast<double>(p.b[i]);
    const double slope = static_cast<double>(p.scale) * p.f.derivative(x);
    sum += p.f.value(x);
    if (p.gradient_a) p.gradient_a[i] = static_cast<float>(slope);
    if (p.gradient_b) p.gradient_b[i] = static_cast<float>(-slope);
  }
  *p.sum += static_cast<float>(static_cast<double>(p.scale) * sum);
}

template <kernel_set K, class OnA, class OnB>
void launch(basic_cpu<K>&, ops::relativistic_average_terms<OnA, OnB>,
            const typename ops::relativistic_average_terms<OnA, OnB>::template params<
                typename basic_cpu<K>::storage>& p) {
  const double share = 1.0 / static_cast<double>(p.count);
  double mean_a = 0, mean_b = 0, sum = 0, slopes_a = 0, slopes_b = 0;
  for (std::size_t i = 0; i < p.count; ++i) {
    mean_a += share * static_cast<double>(p.a[i]);
    mean_b += share * static_cast<double>(p.b[i]);
  }
  for (std::size_t i = 0; i < p.count; ++i) {
    const double x = static_cast<double>(p.a[i]) - mean_b;
    const double y = static_cast<double>(p.b[i]) - mean_a;
    sum += share * (p.f.value(x) + p.g.value(y));
    slopes_a += share * p.f.derivative(x);
    slopes_b += share * p.g.derivative(y);
  }
  *p.sum += static_cast<float>(sum);
  for (std::size_t i = 0; i < p.count; ++i) {
    const double x = static_cast<double>(p.a[i]) - mean_b;
    const double y = static_cast<double>(p.b[i]) - mean_a;
    if (p.gradient_a) p.gradient_a[i] = static_cast<float>(share * (p.f.derivative(x) - slopes_b));
    if (p.gradient_b) p.gradient_b[i] = static_cast<float>(share * (p.g.derivative(y) - slopes_a));
  }
}

namespace detail {

/// A sample's logits, which become the derivative of the cross-entropy of their softmax.
template <int Classes>
struct labelled_logits {
  Eigen::Array<float, Classes, 1> values;
  Eigen::Index top{};  ///< the largest one
  /// @returns the cross-entropy against a label
  float differentiate(int label) {
    const float largest = values.maxCoeff(&top), own = values[label];
    values = (values - largest).exp();
    const float sum = values.sum();
    values /= sum;
    values[label] -= 1.0f;
    return std::log(sum) - (own - largest);
  }
};

}  // namespace detail

template <kernel_set K, int Classes>
void launch(basic_cpu<K>&, ops::softmax_cross_entropy<Classes>,
            const typename ops::softmax_cross_entropy<Classes>::template params<
                typename basic_cpu<K>::storage>& p) {
  using layout = typename basic_cpu<K>::storage::layout;
  const int n = p.logits.n;
  const auto at = [n](int i, int c) { return layout::offset(hwc{1, 1, Classes}, n, i, c); };
  double loss = 0;
  int correct = 0;
  for (int i = 0; i < n; ++i) {
    detail::labelled_logits<Classes> row;
    for (int c = 0; c < Classes; ++c) row.values[c] = p.logits.data[at(i, c)];
    loss += static_cast<double>(row.differentiate(p.labels[i]));
    correct += row.top == p.labels[i];
    for (int c = 0; c < Classes; ++c)
      p.gradient.data[at(i, c)] = row.values[c] / static_cast<float>(n);
  }
  *p.loss += static_cast<float>(loss / n);
  *p.correct += static_cast<float>(correct);
}

namespace detail {

/// Adam on a few elements. Eigen's square root differs in the last bit from that of a scalar, so
/// that all elements must go through its packets: then a part of an arena is updated bitwise as in
/// a step on the whole, wherever it begins. The standard library's square root sets errno and is
/// not vectorised.
struct adam_block {
  static constexpr std::size_t width = 32;
  float rate, root, beta1, beta2, epsilon, average_decay;

  /// Reads everything before it writes anything: arrays of an arena tend to begin at the same place
  /// of a page, where processors take a load behind a store for one of the same place and wait.
  /// Inlined, else the six factors are read again in each call.
  [[gnu::always_inline]] void operator()(float* weight, const float* gradient, float* first,
                                         float* second, float* average) const {
    using block = Eigen::Array<float, static_cast<int>(width), 1>;
    using array = Eigen::Map<block>;
    const auto read = [](const float* p) -> block { return Eigen::Map<const block>(p); };
    const block g = read(gradient), m = read(first), v = read(second), w = read(weight);
    const block new_m = beta1 * m + (1.0f - beta1) * g;
    const block new_v = beta2 * v + (1.0f - beta2) * g.square();
    const block new_w = w - rate * new_m / (new_v.sqrt() * root + epsilon);
    if (average) array{average} = average_decay * read(average) + (1.0f - average_decay) * new_w;
    array{first} = new_m;
    array{second} = new_v;
    array{weight} = new_w;
  }
};

}  // namespace detail

template <kernel_set K>
void launch(basic_cpu<K>& b, ops::adam_step,
            const ops::adam_step::params<typename basic_cpu<K>::storage>& p) {
  constexpr std::size_t width = detail::adam_block::width;
  const detail::adam_block update{static_cast<float>(p.rate / p.correction1),
                                  static_cast<float>(1.0 / std::sqrt(p.correction2)),
                                  p.beta1,
                                  p.beta2,
                                  p.epsilon,
                                  p.average_decay};
  b.split(p.count, detail::pointwise_grain, [&](std::size_t begin, std::size_t end) {
    std::size_t i = begin;
    for (; i + width <= end; i += width)
      update(p.weight + i, p.gradient + i, p.first_moment + i, p.second_moment + i,
             p.average ? p.average + i : nullptr);
    if (i == end) return;
    std::array<std::array<float, width>, 5> rest{};
    const std::array<float*, 4> arrays{p.weight, p.first_moment, p.second_moment, p.average};
    const std::size_t count = p.average ? 4 : 3;
    for (std::size_t k = 0; k < count; ++k)
      std::copy(arrays[k] + i, arrays[k] + end, rest[k].data());
    std::copy(p.gradient + i, p.gradient + end, rest[4].data());
    update(rest[0].data(), rest[4].data(), rest[1].data(), rest[2].data(),
           p.average ? rest[3].data() : nullptr);
    for (std::size_t k = 0; k < count; ++k) std::copy_n(rest[k].data(), end - i, arrays[k] + i);
  });
}

template <kernel_set K>
void launch(basic_cpu<K>& b, ops::sgd_step,
            const ops::sgd_step::params<typename basic_cpu<K>::storage>& p) {
  const auto q = p;
  if (!q.velocity)
    return detail::for_each_element(b, q.count,
                                    [q](std::size_t i) { q.weight[i] -= q.rate * q.gradient[i]; });
  detail::for_each_element(b, q.count, [q](std::size_t i) {
    q.velocity[i] = q.momentum * q.velocity[i] + q.gradient[i];
    q.weight[i] -= q.rate * q.velocity[i];
  });
}

template <kernel_set K>
void launch(basic_cpu<K>& b, ops::rmsprop_step,
            const ops::rmsprop_step::params<typename basic_cpu<K>::storage>& p) {
  const auto q = p;
  detail::for_each_element(b, q.count, [q](std::size_t i) {
    const float g = q.gradient[i];
    const float s = q.decay * q.square_average[i] + (1.0f - q.decay) * g * g;
    q.square_average[i] = s;
    q.weight[i] -= q.rate * g / (std::sqrt(s) + q.epsilon);
  });
}

template <kernel_set K>
void launch(basic_cpu<K>& b, ops::ema_step,
            const ops::ema_step::params<typename basic_cpu<K>::storage>& p) {
  const auto q = p;
  detail::for_each_element(b, q.count, [q](std::size_t i) {
    q.average[i] = q.decay * q.average[i] + (1.0f - q.decay) * q.value[i];
  });
}

}  // namespace gantry::backend
