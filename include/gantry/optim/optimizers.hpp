// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

#include "gantry/concepts/optimizer.hpp"
#include "gantry/ops/optimizer_step.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::optim {

/// A moving average that an optimizer keeps in the pass that writes the weights; none if null.
template <class Scalar>
struct averaging {
  Scalar* weights{};
  float decay{};
};

/// What one update works on: spans of a network's parameters, and the number of the step, from 1.
template <Backend B>
struct step_args {
  std::span<typename B::scalar> weights;
  std::span<const typename B::scalar> gradient;
  std::span<typename B::scalar> state;
  std::int64_t t;
};

/// Adam (Kingma and Ba, arXiv 1412.6980). Defaults are DCGAN's (arXiv 1511.06434, section 4).
struct adam {
  static constexpr std::string_view name = "adam";
  float rate{2e-4f}, beta1{0.5f}, beta2{0.999f}, epsilon{1e-8f};

  [[nodiscard]] static constexpr std::size_t state_per_param() { return 2; }
  template <Backend B>
  void step(B& b, std::span<typename B::scalar> weights,
            std::span<const typename B::scalar> gradient, std::span<typename B::scalar> state,
            std::int64_t t, averaging<typename B::scalar> average = {}) const {
    const std::size_t n = weights.size();
    launch(b, ops::adam_step{},
           {weights.data(), gradient.data(), state.data(), state.data() + n, n, rate, beta1, beta2,
            epsilon, 1.0 - std::pow(static_cast<double>(beta1), static_cast<double>(t)),
            1.0 - std::pow(static_cast<double>(beta2), static_cast<double>(t)), average.weights,
            average.decay});
  }
};

/// Gradient descent, with momentum when it is not 0 (PyTorch's form: the rate is outside the
/// velocity).
struct sgd {
  static constexpr std::string_view name = "sgd";
  float rate{1e-2f}, momentum{0.0f};

  [[nodiscard]] static constexpr std::size_t state_per_param() { return 1; }
  template <Backend B>
  void step(B& b, std::span<typename B::scalar> weights,
            std::span<const typename B::scalar> gradient, std::span<typename B::scalar> state,
            std::int64_t) const {
    launch(b, ops::sgd_step{},
           {weights.data(), gradient.data(), momentum != 0 ? state.data() : nullptr, weights.size(),
            rate, momentum});
  }
};

/// RMSProp (Tieleman and Hinton 2012), as the Wasserstein GAN uses it (arXiv 1701.07875, Alg. 1).
struct rmsprop {
  static constexpr std::string_view name = "rmsprop";
  float rate{5e-5f}, decay{0.99f}, epsilon{1e-8f};

  [[nodiscard]] static constexpr std::size_t state_per_param() { return 1; }
  template <Backend B>
  void step(B& b, std::span<typename B::scalar> weights,
            std::span<const typename B::scalar> gradient, std::span<typename B::scalar> state,
            std::int64_t) const {
    launch(b, ops::rmsprop_step{},
           {weights.data(), gradient.data(), state.data(), weights.size(), rate, decay, epsilon});
  }
};

/// A step of any optimizer that also moves an average: in one pass where the optimizer can.
template <class Optimizer, Backend B>
void averaged_step(const Optimizer& o, B& b, const step_args<B>& a,
                   const averaging<typename B::scalar>& average) {
  if constexpr (requires { o.step(b, a.weights, a.gradient, a.state, a.t, average); }) {
    o.step(b, a.weights, a.gradient, a.state, a.t, average);
  } else {
    o.step(b, a.weights, a.gradient, a.state, a.t);
    if (average.weights)
      launch(b, ops::ema_step{},
             {a.weights.data(), average.weights, a.weights.size(), average.decay});
  }
}

/// One of several optimizers, chosen at run time. The state has room for the largest.
template <class... Optimizers>
struct one_of {
  static constexpr std::string_view name = "one_of";
  std::variant<Optimizers...> chosen;

  [[nodiscard]] static constexpr std::size_t state_per_param() {
    return std::max({Optimizers::state_per_param()...});
  }
  template <Backend B>
  void step(B& b, std::span<typename B::scalar> weights,
            std::span<const typename B::scalar> gradient, std::span<typename B::scalar> state,
            std::int64_t t, averaging<typename B::scalar> average = {}) const {
    std::visit(
        [&](const auto& o) {
          averaged_step(o, b, step_args<B>{weights, gradient, state, t}, average);
        },
        chosen);
  }
};

/// Decorator: keeps an exponential moving average of the weights beside any optimizer. Samples are
/// drawn from the average. The decay at step t is min(decay, (1 + t) / (10 + t)), so that a short
/// run is not dominated by its start; decay 0 copies the weights.
template <class Base>
struct ema {
  static constexpr std::string_view name = "ema";
  Base base{};
  float decay{0.999f};

  [[nodiscard]] static constexpr std::size_t state_per_param() {
    return Base::state_per_param() + 1;
  }
  [[nodiscard]] float decay_at(std::int64_t t) const {
    return std::min(decay, static_cast<float>(1 + t) / static_cast<float>(10 + t));
  }
  /// The averaged weights within the optimizer's state for n parameters.
  template <class T>
  static std::span<T> average(std::span<T> state, std::size_t n) {
    return state.subspan(Base::state_per_param() * n, n);
  }

  template <Backend B>
  void step(B& b, std::span<typename B::scalar> weights,
            std::span<const typename B::scalar> gradient, std::span<typename B::scalar> state,
            std::int64_t t) const {
    const std::size_t n = weights.size();
    averaged_step(base, b,
                  step_args<B>{weights, gradient, state.first(Base::state_per_param() * n), t},
                  {average(state, n).data(), t == 1 ? 0.0f : decay_at(t)});
  }
};

}  // namespace gantry::optim
