// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

#include "gantry/base/schedule.hpp"
#include "gantry/concepts/optimizer.hpp"
#include "gantry/ops/optimizer_step.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0::optim {

/// A moving average that an optimizer keeps in the pass that writes the weights; none if null.
template <class Scalar>
struct averaging {
  Scalar* weights{};  ///< of the whole arena
  float decay{};
  /// Where the averages of a part begin.
  [[nodiscard]] Scalar* from(std::size_t first) const {
    return weights ? weights + first : nullptr;
  }
};

/// A setting at update t, which counts from 1.
[[nodiscard]] inline float at_update(const schedule& setting, std::int64_t t) {
  return setting.at(t - 1);
}

/// Adam (Kingma and Ba, arXiv 1412.6980). Defaults are DCGAN's (arXiv 1511.06434, section 4).
/// Where beta2 changes, the bias is corrected by 1 - beta2^t with beta2 as it is at update t, as
/// PyTorch's Adam does when its betas are set before each step; so does the code of R3GAN (Huang et
/// al., arXiv 2501.05441).
struct adam {
  static constexpr std::string_view name = "adam";
  schedule rate{2e-4f};
  float beta1{0.5f};
  schedule beta2{0.999f};
  float epsilon{1e-8f};

  [[nodiscard]] static constexpr std::size_t state_per_param() { return 2; }
  template <Backend B>
  void step(B& b, const step_args<B>& a, averaging<typename B::scalar> average = {}) const {
    typename B::scalar* const moments = a.state.data() + a.first;
    const float second = at_update(beta2, a.t);
    const auto correction = [t = a.t](float beta) {
      return 1.0 - std::pow(static_cast<double>(beta), static_cast<double>(t));
    };
    launch(b, ops::adam_step{},
           {a.weights.data() + a.first, a.gradient.data() + a.first, moments,
            moments + a.weights.size(), a.count, at_update(rate, a.t), beta1, second, epsilon,
            correction(beta1), correction(second), average.from(a.first), average.decay});
  }
  template <Backend B>
  void step(B& b, std::span<typename B::scalar> weights,
            std::span<const typename B::scalar> gradient, std::span<typename B::scalar> state,
            std::int64_t t) const {
    step(b, step_args<B>{weights, gradient, state, t});
  }
};

/// Gradient descent, with momentum when it is not 0 (PyTorch's form: the rate is outside the
/// velocity).
struct sgd {
  static constexpr std::string_view name = "sgd";
  schedule rate{1e-2f};
  float momentum{0.0f};

  [[nodiscard]] static constexpr std::size_t state_per_param() { return 1; }
  template <Backend B>
  void step(B& b, const step_args<B>& a) const {
    launch(b, ops::sgd_step{},
           {a.weights.data() + a.first, a.gradient.data() + a.first,
            momentum != 0 ? a.state.data() + a.first : nullptr, a.count, at_update(rate, a.t),
            momentum});
  }
  template <Backend B>
  void step(B& b, std::span<typename B::scalar> weights,
            std::span<const typename B::scalar> gradient, std::span<typename B::scalar> state,
            std::int64_t t) const {
    step(b, step_args<B>{weights, gradient, state, t});
  }
};

/// RMSProp (Tieleman and Hinton 2012), as the Wasserstein GAN uses it (arXiv 1701.07875, Alg. 1).
struct rmsprop {
  static constexpr std::string_view name = "rmsprop";
  schedule rate{5e-5f};
  float decay{0.99f}, epsilon{1e-8f};

  [[nodiscard]] static constexpr std::size_t state_per_param() { return 1; }
  template <Backend B>
  void step(B& b, const step_args<B>& a) const {
    launch(b, ops::rmsprop_step{},
           {a.weights.data() + a.first, a.gradient.data() + a.first, a.state.data() + a.first,
            a.count, at_update(rate, a.t), decay, epsilon});
  }
  template <Backend B>
  void step(B& b, std::span<typename B::scalar> weights,
            std::span<const typename B::scalar> gradient, std::span<typename B::scalar> state,
            std::int64_t t) const {
    step(b, step_args<B>{weights, gradient, state, t});
  }
};

/// A step of any optimizer that also moves an average: in one pass where the optimizer can. One
/// that knows only whole arenas is given only those.
template <class Optimizer, Backend B>
void averaged_step(const Optimizer& o, B& b, const step_args<B>& a,
                   const averaging<typename B::scalar>& average) {
  if constexpr (requires { o.step(b, a, average); }) {
    o.step(b, a, average);
  } else {
    if constexpr (PartwiseOptimizer<Optimizer, B>)
      o.step(b, a);
    else
      o.step(b, a.weights, a.gradient, a.state, a.t);
    if (average.weights)
      launch(b, ops::ema_step{},
             {a.weights.data() + a.first, average.from(a.first), a.count, average.decay});
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
  requires(PartwiseOptimizer<Optimizers, B>&&...) void step(
      B& b, const step_args<B>& a, averaging<typename B::scalar> average = {}) const {
    std::visit([&](const auto& o) { averaged_step(o, b, a, average); }, chosen);
  }
  template <Backend B>
  void step(B& b, std::span<typename B::scalar> weights,
            std::span<const typename B::scalar> gradient, std::span<typename B::scalar> state,
            std::int64_t t) const {
    std::visit(
        [&](const auto& o) {
          averaged_step(o, b, step_args<B>{weights, gradient, state, t}, {});
        },
        chosen);
  }
};

/// Decorator: keeps an exponential moving average of the weights beside any optimizer. Samples are
/// drawn from the average. The decay at step t is min(decay, (1 + t) / (10 + t)), so that a short
/// run is not dominated by its start; decay 0 copies the weights. Instead of a decay, a half-life
/// in updates may be given: decay = 2^(-1 / half-life), and 0 where the half-life starts at 0
/// (Karras et al., arXiv 1710.10196, in the form of their code; R3GAN schedules it).
template <class Base>
struct ema {
  static constexpr std::string_view name = "ema";
  Base base{};
  schedule decay{0.999f};
  schedule half_life{0.0f};  ///< in updates; always 0: `decay` counts

  [[nodiscard]] static constexpr std::size_t state_per_param() {
    return Base::state_per_param() + 1;
  }
  [[nodiscard]] float decay_at(std::int64_t t) const {
    const float longest =
        half_life.always_zero() ? at_update(decay, t) : std::exp2(-1.0f / at_update(half_life, t));
    return std::min(longest, static_cast<float>(1 + t) / static_cast<float>(10 + t));
  }
  /// The averaged weights within the optimizer's state for n parameters.
  template <class T>
  static std::span<T> average(std::span<T> state, std::size_t n) {
    return state.subspan(Base::state_per_param() * n, n);
  }

  template <Backend B>
  requires PartwiseOptimizer<Base, B>
  void step(B& b, const step_args<B>& a) const { move(b, a); }
  template <Backend B>
  void step(B& b, std::span<typename B::scalar> weights,
            std::span<const typename B::scalar> gradient, std::span<typename B::scalar> state,
            std::int64_t t) const {
    move(b, step_args<B>{weights, gradient, state, t});
  }

 private:
  template <Backend B>
  void move(B& b, step_args<B> a) const {
    typename B::scalar* const average = ema::average(a.state, a.weights.size()).data();
    a.state = a.state.first(Base::state_per_param() * a.weights.size());
    averaged_step(base, b, a, {average, a.t == 1 ? 0.0f : decay_at(a.t)});
  }
};

}  // namespace gantry::optim
