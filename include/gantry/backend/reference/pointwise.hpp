// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "gantry/backend/reference/backend.hpp"
#include "gantry/ops/loss.hpp"
#include "gantry/ops/optimizer_step.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0::backend {

template <class T, class Function>
void launch(reference<T>&, ops::activation_forward<Function>,
            const typename ops::activation_forward<Function>::template params<
                typename reference<T>::storage>& p) {
  for (std::size_t i = 0; i < p.count; ++i) p.y[i] = p.f.value(p.x[i]);
}

template <class T, class Function>
void launch(reference<T>&, ops::activation_backward<Function>,
            const typename ops::activation_backward<Function>::template params<
                typename reference<T>::storage>& p) {
  for (std::size_t i = 0; i < p.count; ++i) p.dx[i] = p.dy[i] * p.f.derivative(p.y[i]);
}

template <class T, class Function>
void launch(reference<T>&, ops::activation_second_order<Function>,
            const typename ops::activation_second_order<Function>::template params<
                typename reference<T>::storage>& p) {
  for (std::size_t i = 0; i < p.count; ++i) {
    const T bend = p.gy[i] * p.tx[i] * p.f.second_derivative(p.y[i]);
    p.ex[i] = p.ey ? p.ey[i] * p.f.derivative(p.y[i]) + bend : bend;
  }
}

template <class T, hwc Shape>
void launch(
    reference<T>&, ops::dropout<Shape>,
    const typename ops::dropout<Shape>::template params<typename reference<T>::storage>& p) {
  const std::size_t count = nhwc::elements(Shape, p.x.n);
  const T scale = T(1) / (T(1) - static_cast<T>(p.rate));
  for (std::size_t i = 0; i < count; ++i) {
    const float u = philox::to_unit(philox::at(p.stream, static_cast<std::uint32_t>(i / 4))[i % 4]);
    p.y.data[i] = u > p.rate ? p.x.data[i] * scale : T(0);
  }
}

template <class T>
void launch(reference<T>&, ops::accumulate,
            const ops::accumulate::params<typename reference<T>::storage>& p) {
  for (std::size_t i = 0; i < p.count; ++i) p.y[i] += p.x[i];
}

template <class T, hwc Shape>
void launch(
    reference<T>&, ops::accumulate_scaled<Shape>,
    const typename ops::accumulate_scaled<Shape>::template params<typename reference<T>::storage>&
        p) {
  for (std::size_t i = 0; i < nhwc::elements(Shape, p.x.n); ++i)
    p.y.data[i] += p.scale[i / Shape.size()] * p.x.data[i];
}

template <class T>
void launch(reference<T>&, ops::copy, const ops::copy::params<typename reference<T>::storage>& p) {
  std::copy_n(p.x, p.count, p.y);
}

template <class T>
void launch(reference<T>&, ops::fill, const ops::fill::params<typename reference<T>::storage>& p) {
  std::fill_n(p.y, p.count, static_cast<T>(p.value));
}

template <class T>
void launch(reference<T>&, ops::clamp,
            const ops::clamp::params<typename reference<T>::storage>& p) {
  const T bound = static_cast<T>(p.bound);
  for (std::size_t i = 0; i < p.count; ++i) p.y[i] = std::clamp(p.y[i], -bound, bound);
}

template <class T, hwc From, hwc To>
void launch(
    reference<T>&, ops::reshape<From, To>,
    const typename ops::reshape<From, To>::template params<typename reference<T>::storage>& p) {
  if (p.x.data != p.y.data) std::copy_n(p.x.data, nhwc::elements(From, p.x.n), p.y.data);
}

template <class T, hwc Shape>
void launch(
    reference<T>&, ops::import_samples<Shape>,
    const typename ops::import_samples<Shape>::template params<typename reference<T>::storage>& p) {
  std::copy_n(p.source, nhwc::elements(Shape, p.y.n), p.y.data);
}

template <class T, hwc Shape>
void launch(
    reference<T>&, ops::export_samples<Shape>,
    const typename ops::export_samples<Shape>::template params<typename reference<T>::storage>& p) {
  for (std::size_t i = 0; i < nhwc::elements(Shape, p.x.n); ++i)
    p.target[i] = static_cast<float>(p.x.data[i] * static_cast<T>(p.scale));
}

template <class T, class Function>
void launch(
    reference<T>&, ops::loss_term<Function>,
    const typename ops::loss_term<Function>::template params<typename reference<T>::storage>& p) {
  double sum = 0;
  for (std::size_t i = 0; i < p.count; ++i) {
    const double x = p.logits[i];
    sum += p.f.value(x);
    p.gradient[i] = static_cast<T>(p.scale * p.f.derivative(x));
  }
  *p.sum += static_cast<T>(p.scale * sum);
}

template <class T, class Function>
void launch(
    reference<T>&, ops::paired_term<Function>,
    const typename ops::paired_term<Function>::template params<typename reference<T>::storage>& p) {
  const double scale = p.scale;
  const auto margin = [&p](std::size_t i) { return static_cast<double>(p.a[i]) - p.b[i]; };
  double loss = 0;
  for (std::size_t i = 0; i < p.count; ++i) loss += scale * p.f.value(margin(i));
  *p.sum += static_cast<T>(loss);
  for (std::size_t i = 0; p.gradient_a && i < p.count; ++i)
    p.gradient_a[i] = static_cast<T>(scale * p.f.derivative(margin(i)));
  for (std::size_t i = 0; p.gradient_b && i < p.count; ++i)
    p.gradient_b[i] = static_cast<T>(scale * p.f.derivative(margin(i)) * -1);
}

namespace detail {

/// mean_i own(x_i - mean y), and its derivatives by each x_k and by each y_k.
template <class T, class Function>
struct terms_against_mean {
  const T *x, *y;
  std::size_t count;
  const Function& own;

  [[nodiscard]] double distance(std::size_t i) const {
    double sum = 0;
    for (std::size_t j = 0; j < count; ++j) sum += static_cast<double>(x[i]) - y[j];
    return sum / static_cast<double>(count);
  }
  [[nodiscard]] double value() const {
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) sum += own.value(distance(i));
    return sum / static_cast<double>(count);
  }
  [[nodiscard]] double by_x(std::size_t k) const {
    return own.derivative(distance(k)) / static_cast<double>(count);
  }
  /// The same for every k: each takes part in the mean alike.
  [[nodiscard]] double by_y() const {
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) sum -= by_x(i) / static_cast<double>(count);
    return sum;
  }
};

}  // namespace detail

template <class T, class OnA, class OnB>
void launch(reference<T>&, ops::relativistic_average_terms<OnA, OnB>,
            const typename ops::relativistic_average_terms<OnA, OnB>::template params<
                typename reference<T>::storage>& p) {
  const detail::terms_against_mean<T, OnA> on_a{p.a, p.b, p.count, p.f};
  const detail::terms_against_mean<T, OnB> on_b{p.b, p.a, p.count, p.g};
  *p.sum += static_cast<T>(on_a.value() + on_b.value());
  for (std::size_t k = 0; p.gradient_a && k < p.count; ++k)
    p.gradient_a[k] = static_cast<T>(on_a.by_x(k) + on_b.by_y());
  for (std::size_t k = 0; p.gradient_b && k < p.count; ++k)
    p.gradient_b[k] = static_cast<T>(on_b.by_x(k) + on_a.by_y());
}

namespace detail {

/// The cross-entropy of softmax(row) against a label; writes `share` times its derivative.
template <int Classes, class T>
double cross_entropy(const T* row, int label, double share, T* gradient) {
  const double top = *std::max_element(row, row + Classes);
  double sum = 0;
  for (int c = 0; c < Classes; ++c) sum += std::exp(static_cast<double>(row[c]) - top);
  for (int c = 0; c < Classes; ++c)
    gradient[c] =
        static_cast<T>(share * (std::exp(static_cast<double>(row[c]) - top) / sum - (c == label)));
  return std::log(sum) - (static_cast<double>(row[label]) - top);
}

}  // namespace detail

template <class T, int Classes>
void launch(reference<T>&, ops::softmax_cross_entropy<Classes>,
            const typename ops::softmax_cross_entropy<Classes>::template params<
                typename reference<T>::storage>& p) {
  double loss = 0;
  int correct = 0;
  for (int i = 0; i < p.logits.n; ++i) {
    const T* row = p.logits.data + i * Classes;
    const int label = p.labels[i];
    correct += std::max_element(row, row + Classes) - row == label;
    loss +=
        detail::cross_entropy<Classes>(row, label, 1.0 / p.logits.n, p.gradient.data + i * Classes);
  }
  *p.loss += static_cast<T>(loss / p.logits.n);
  *p.correct += static_cast<T>(correct);
}

template <class T>
void launch(reference<T>&, ops::adam_step,
            const ops::adam_step::params<typename reference<T>::storage>& p) {
  for (std::size_t i = 0; i < p.count; ++i) {
    const double g = p.gradient[i];
    const double m = p.beta1 * static_cast<double>(p.first_moment[i]) + (1.0 - p.beta1) * g;
    const double v = p.beta2 * static_cast<double>(p.second_moment[i]) + (1.0 - p.beta2) * g * g;
    p.first_moment[i] = static_cast<T>(m);
    p.second_moment[i] = static_cast<T>(v);
    p.weight[i] -=
        static_cast<T>(p.rate / p.correction1 * m / (std::sqrt(v / p.correction2) + p.epsilon));
    if (p.average)
      p.average[i] = static_cast<T>(p.average_decay * static_cast<double>(p.average[i]) +
                                    (1.0 - p.average_decay) * static_cast<double>(p.weight[i]));
  }
}

template <class T>
void launch(reference<T>&, ops::sgd_step,
            const ops::sgd_step::params<typename reference<T>::storage>& p) {
  for (std::size_t i = 0; i < p.count; ++i) {
    double v = p.gradient[i];
    if (p.velocity) {
      v += static_cast<double>(p.momentum) * p.velocity[i];
      p.velocity[i] = static_cast<T>(v);
    }
    p.weight[i] -= static_cast<T>(p.rate * v);
  }
}

template <class T>
void launch(reference<T>&, ops::rmsprop_step,
            const ops::rmsprop_step::params<typename reference<T>::storage>& p) {
  for (std::size_t i = 0; i < p.count; ++i) {
    const double g = p.gradient[i];
    const double s = p.decay * static_cast<double>(p.square_average[i]) + (1.0 - p.decay) * g * g;
    p.square_average[i] = static_cast<T>(s);
    p.weight[i] -= static_cast<T>(p.rate * g / (std::sqrt(s) + p.epsilon));
  }
}

template <class T>
void launch(reference<T>&, ops::ema_step,
            const ops::ema_step::params<typename reference<T>::storage>& p) {
  for (std::size_t i = 0; i < p.count; ++i)
    p.average[i] = static_cast<T>(p.decay * static_cast<double>(p.average[i]) +
                                  (1.0 - p.decay) * static_cast<double>(p.value[i]));
}

}  // namespace gantry::backend
