// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>

#include <Eigen/Core>

#include "gantry/backend/cpu/backend.hpp"
#include "gantry/ops/loss.hpp"
#include "gantry/ops/optimizer_step.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::backend {

namespace detail {

/// Scalars in one piece of pointwise work: 64 KiB, about what a core reads while another wakes up.
inline constexpr std::size_t pointwise_grain = 16384;

/// Runs f(i) for every i below count.
template <class F>
void for_each_element(cpu& b, std::size_t count, F&& f) {
  b.split(count, pointwise_grain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) f(i);
  });
}

}  // namespace detail

template <class Function>
void launch(cpu& b, ops::activation_forward<Function>,
            const typename ops::activation_forward<Function>::template params<cpu::storage>& p) {
  const auto q = p;
  detail::for_each_element(b, q.count, [q](std::size_t i) { q.y[i] = q.f.value(q.x[i]); });
}

/// Eigen's tanh is vectorised, the standard library's is not.
inline void launch(cpu& b, ops::activation_forward<function::tanh>,
                   const ops::activation_forward<function::tanh>::params<cpu::storage>& p) {
  b.split(p.count, detail::pointwise_grain, [&](std::size_t begin, std::size_t end) {
    const auto n = static_cast<std::ptrdiff_t>(end - begin);
    Eigen::Map<Eigen::ArrayXf>(p.y + begin, n) =
        Eigen::Map<const Eigen::ArrayXf>(p.x + begin, n).tanh();
  });
}

template <class Function>
void launch(cpu& b, ops::activation_backward<Function>,
            const typename ops::activation_backward<Function>::template params<cpu::storage>& p) {
  const auto q = p;
  detail::for_each_element(b, q.count,
                           [q](std::size_t i) { q.dx[i] = q.dy[i] * q.f.derivative(q.y[i]); });
}

template <hwc Shape>
void launch(cpu& b, ops::dropout<Shape>,
            const typename ops::dropout<Shape>::template params<cpu::storage>& p) {
  const float scale = 1.0f / (1.0f - p.rate);
  b.split(nhwc::elements(Shape, p.x.n), detail::pointwise_grain,
          [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; i += 4) {
              const philox::block words = philox::at(p.stream, static_cast<std::uint32_t>(i / 4));
              for (std::size_t j = i; j < std::min(i + 4, end); ++j)
                p.y.data[j] = philox::to_unit(words[j - i]) > p.rate ? p.x.data[j] * scale : 0.0f;
            }
          });
}

inline void launch(cpu& b, ops::accumulate, const ops::accumulate::params<cpu::storage>& p) {
  const auto q = p;
  detail::for_each_element(b, q.count, [q](std::size_t i) { q.y[i] += q.x[i]; });
}

inline void launch(cpu&, ops::copy, const ops::copy::params<cpu::storage>& p) {
  std::copy_n(p.x, p.count, p.y);
}

inline void launch(cpu&, ops::fill, const ops::fill::params<cpu::storage>& p) {
  std::fill_n(p.y, p.count, p.value);
}

inline void launch(cpu& b, ops::clamp, const ops::clamp::params<cpu::storage>& p) {
  const auto q = p;
  detail::for_each_element(b, q.count,
                           [q](std::size_t i) { q.y[i] = std::clamp(q.y[i], -q.bound, q.bound); });
}

template <hwc Shape>
void launch(cpu&, ops::import_samples<Shape>,
            const typename ops::import_samples<Shape>::template params<cpu::storage>& p) {
  std::copy_n(p.source, nhwc::elements(Shape, p.y.n), p.y.data);
}

template <hwc Shape>
void launch(cpu&, ops::export_samples<Shape>,
            const typename ops::export_samples<Shape>::template params<cpu::storage>& p) {
  const float scale = p.scale;
  std::transform(p.x.data, p.x.data + nhwc::elements(Shape, p.x.n), p.target,
                 [scale](float v) { return v * scale; });
}

template <class Function>
void launch(cpu&, ops::loss_term<Function>,
            const typename ops::loss_term<Function>::template params<cpu::storage>& p) {
  double sum = 0;
  for (std::size_t i = 0; i < p.count; ++i) {
    sum += p.f.value(static_cast<double>(p.logits[i]));
    p.gradient[i] = p.scale * p.f.derivative(p.logits[i]);
  }
  *p.sum += static_cast<float>(p.scale * sum);
}

template <int Classes>
void launch(cpu&, ops::softmax_cross_entropy<Classes>,
            const typename ops::softmax_cross_entropy<Classes>::template params<cpu::storage>& p) {
  using row_map = Eigen::Map<const Eigen::Array<float, Classes, 1>>;
  double loss = 0;
  int correct = 0;
  for (int i = 0; i < p.logits.n; ++i) {
    const row_map row(p.logits.data + i * Classes);
    Eigen::Index top = 0;
    const float largest = row.maxCoeff(&top);
    const Eigen::Array<float, Classes, 1> shares = (row - largest).exp();
    const float sum = shares.sum();
    const int label = p.labels[i];
    correct += top == label;
    loss += std::log(sum) - (row[label] - largest);
    Eigen::Map<Eigen::Array<float, Classes, 1>> gradient(p.gradient.data + i * Classes);
    gradient = shares / sum;
    gradient[label] -= 1.0f;
    gradient /= static_cast<float>(p.logits.n);
  }
  *p.loss += static_cast<float>(loss / p.logits.n);
  *p.correct += static_cast<float>(correct);
}

inline void launch(cpu& b, ops::adam_step, const ops::adam_step::params<cpu::storage>& p) {
  const auto q = p;
  const float rate = static_cast<float>(p.rate / p.correction1);
  const float root = static_cast<float>(1.0 / std::sqrt(p.correction2));
  detail::for_each_element(b, q.count, [q, rate, root](std::size_t i) {
    const float g = q.gradient[i];
    const float m = q.beta1 * q.first_moment[i] + (1.0f - q.beta1) * g;
    const float v = q.beta2 * q.second_moment[i] + (1.0f - q.beta2) * g * g;
    q.first_moment[i] = m;
    q.second_moment[i] = v;
    q.weight[i] -= rate * m / (std::sqrt(v) * root + q.epsilon);
  });
}

inline void launch(cpu& b, ops::sgd_step, const ops::sgd_step::params<cpu::storage>& p) {
  const auto q = p;
  if (!q.velocity)
    return detail::for_each_element(b, q.count,
                                    [q](std::size_t i) { q.weight[i] -= q.rate * q.gradient[i]; });
  detail::for_each_element(b, q.count, [q](std::size_t i) {
    q.velocity[i] = q.momentum * q.velocity[i] + q.gradient[i];
    q.weight[i] -= q.rate * q.velocity[i];
  });
}

inline void launch(cpu& b, ops::rmsprop_step, const ops::rmsprop_step::params<cpu::storage>& p) {
  const auto q = p;
  detail::for_each_element(b, q.count, [q](std::size_t i) {
    const float g = q.gradient[i];
    const float s = q.decay * q.square_average[i] + (1.0f - q.decay) * g * g;
    q.square_average[i] = s;
    q.weight[i] -= q.rate * g / (std::sqrt(s) + q.epsilon);
  });
}

inline void launch(cpu& b, ops::ema_step, const ops::ema_step::params<cpu::storage>& p) {
  const auto q = p;
  detail::for_each_element(b, q.count, [q](std::size_t i) {
    q.average[i] = q.decay * q.average[i] + (1.0f - q.decay) * q.value[i];
  });
}

}  // namespace gantry::backend
