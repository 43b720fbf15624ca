// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Runs (see op_runs.hpp) of the ops on flat arrays: pointwise, losses, optimizer steps. `n` is the
// number of scalars where there are no samples.
#pragma once

#include <cstdint>

#include "gantry/ops/loss.hpp"
#include "gantry/ops/optimizer_step.hpp"

#include "support/op_runs.hpp"

namespace gantry::test::runs {

/// N(0, 4) with a few large values, so that both ends of an activation are seen.
inline std::vector<float> spread_floats(const run_options& o, std::uint32_t salt) {
  auto values = normal_floats(static_cast<std::size_t>(o.n), salt, o.poison);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] *= i % 7 == 0 ? 20.0f : 2.0f;
  return values;
}

/// option: in place.
template <class Function>
struct activation_forward : run_options {
  Function f{};
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const device_array<B> x(b, spread_floats(*this, 1)), apart(b, static_cast<std::size_t>(n));
    const auto& y = option ? x : apart;
    launch(b, ops::activation_forward<Function>{},
           {x.data(), y.data(), static_cast<std::size_t>(n), f});
    return y.read();
  }
};

/// option: in place. The outputs are those of the forward.
template <class Function>
struct activation_backward : run_options {
  Function f{};
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    run_options clean = *this;
    clean.poison = -1;
    auto output = spread_floats(clean, 1);
    for (float& v : output) v = f.value(v);
    const device_array<B> y(b, output), dy(b, spread_floats(*this, 2));
    const device_array<B> apart(b, static_cast<std::size_t>(n));
    const auto& dx = option ? dy : apart;
    launch(b, ops::activation_backward<Function>{},
           {y.data(), dy.data(), dx.data(), static_cast<std::size_t>(n), f});
    return dx.read();
  }
};

/// option: in place.
template <hwc Shape>
struct dropout : run_options {
  float rate{0.5f};
  bool paired{};
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = poisoned_batch<Shape>(b, *this, 1);
    const device_batch<B, Shape> apart(b, n);
    const auto& y = option ? x : apart;
    on_batches<B>(n, paired, [&](int first, int count, int batch, bool pair) {
      const stream_id stream{
          .seed = 1, .step = 2, .worker = 3, .use = purpose::dropout, .salt = batch == 0 ? 4u : 9u};
      std::optional<std::uint32_t> second_salt;
      if (pair) second_salt = 9;
      launch(b, ops::dropout<Shape>{},
             {part(x, first, count), part(y, first, count), rate, stream, second_salt});
    });
    return y.read();
  }
};

struct accumulate : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const device_array<B> x(b, spread_floats(*this, 1));
    const auto y = numbers(b, n, 2);
    launch(b, ops::accumulate{}, {x.data(), y.data(), static_cast<std::size_t>(n)});
    return y.read();
  }
};

struct copy : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const device_array<B> x(b, spread_floats(*this, 1)), y(b, static_cast<std::size_t>(n));
    launch(b, ops::copy{}, {x.data(), y.data(), static_cast<std::size_t>(n)});
    return y.read();
  }
};

struct fill : run_options {
  float value{-1.5f};
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const device_array<B> y(b, static_cast<std::size_t>(n));
    launch(b, ops::fill{}, {y.data(), static_cast<std::size_t>(n), value});
    return y.read();
  }
};

struct clamp : run_options {
  float bound{0.75f};
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const device_array<B> y(b, spread_floats(*this, 1));
    launch(b, ops::clamp{}, {y.data(), static_cast<std::size_t>(n), bound});
    return y.read();
  }
};

/// Into the backend's layout and back, with a factor of one half.
template <hwc Shape>
struct there_and_back : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = poisoned_batch<Shape>(b, *this, 1);
    std::vector<float> target(nhwc::elements(Shape, n), quiet_nan);
    launch(b, ops::export_samples<Shape>{}, {x.view(), target.data(), 0.5f});
    b.synchronize();
    return target;
  }
};

/// option: in place.
template <hwc From, hwc To>
struct reshape : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    using layout = typename B::storage::layout;
    const auto values = normal_floats(nhwc::elements(From, n), 1, poison);
    const std::size_t room = std::max(layout::elements(From, n), layout::elements(To, n));
    const device_array<B> from(b, room), apart(b, room);
    launch(b, ops::import_samples<From>{}, {values.data(), {from.data(), n}});
    const batch_of<typename B::storage> to{option ? from.data() : apart.data(), n};
    launch(b, ops::reshape<From, To>{}, {{from.data(), n}, to});
    static_cast<void>(from.read());  // the guards
    static_cast<void>(apart.read());
    std::vector<float> found(values.size());
    launch(b, ops::export_samples<To>{}, {to, found.data(), 1.0f});
    b.synchronize();
    return found;
  }
};

/// The gradient and the sum, which starts at 3.
template <class Function>
struct loss_term : run_options {
  Function f{};
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const device_array<B> x(b, spread_floats(*this, 1)), gradient(b, static_cast<std::size_t>(n));
    const device_array<B> sum(b, std::vector<float>{3.0f});
    launch(b, ops::loss_term<Function>{},
           {x.data(), gradient.data(), static_cast<std::size_t>(n), 1.0f / static_cast<float>(n),
            sum.data(), f});
    return joined({gradient.read(), sum.read()});
  }
};

/// The gradients of n and of n + 7 outputs, and the sum, which starts at 3; term by term where the
/// backend has no op for both.
template <class OnA, class OnB>
struct two_loss_terms : run_options {
  OnA f{};
  OnB g{};
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto n_a = static_cast<std::size_t>(n), n_b = n_a + 7;
    const device_array<B> x(b, spread_floats(*this, 1)), y(b, normal_floats(n_b, 2));
    const device_array<B> dx(b, n_a), dy(b, n_b), sum(b, std::vector<float>{3.0f});
    if constexpr (Implements<B, ops::two_loss_terms<OnA, OnB>>) {
      launch(b, ops::two_loss_terms<OnA, OnB>{},
             {x.data(), y.data(), dx.data(), dy.data(), n_a, n_b, sum.data(), f, g});
    } else {
      launch(b, ops::loss_term<OnA>{},
             {x.data(), dx.data(), n_a, 1.0f / static_cast<float>(n_a), sum.data(), f});
      launch(b, ops::loss_term<OnB>{},
             {y.data(), dy.data(), n_b, 1.0f / static_cast<float>(n_b), sum.data(), g});
    }
    return joined({dx.read(), dy.read(), sum.read()});
  }
};

/// The gradient, the loss and the number of correct answers, which start at 3 and 4. Labels and
/// what the op reads of them are in host memory.
template <int Classes>
struct softmax_cross_entropy : run_options {
  float spread{3.0f};
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    auto values = normal_floats(static_cast<std::size_t>(n * Classes), 1, poison);
    for (float& v : values) v *= spread;
    std::vector<std::uint8_t> labels;
    for (int i = 0; i < n; ++i) labels.push_back(static_cast<std::uint8_t>(i * 5 % Classes));
    const device_batch<B, hwc{1, 1, Classes}> x(b, n, values), gradient(b, n);
    const device_array<B> loss(b, std::vector<float>{3.0f}), correct(b, std::vector<float>{4.0f});
    launch(b, ops::softmax_cross_entropy<Classes>{},
           {x.view(), labels.data(), gradient.view(), loss.data(), correct.data()});
    return joined({gradient.read(), loss.read(), correct.read()});
  }
};

/// Weights and state after three steps; the gradients of each step are other numbers of many sizes.
struct optimizer_run : run_options {
  [[nodiscard]] std::vector<float> gradient(int step) const {
    auto g = normal_floats(static_cast<std::size_t>(n), 10 + static_cast<std::uint32_t>(step),
                           step == 2 ? poison : -1);
    for (std::size_t i = 0; i < g.size(); ++i) g[i] *= i % 3 == 0 ? 1e-4f : 1.0f;
    return g;
  }
  [[nodiscard]] std::vector<float> zeros() const {
    return std::vector<float>(static_cast<std::size_t>(n));
  }
};

/// option: with a moving average.
struct adam_step : optimizer_run {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto weight = numbers(b, n, 1), average = numbers(b, n, 2);
    const device_array<B> first(b, zeros()), second(b, zeros());
    for (int t = 1; t <= 3; ++t) {
      const device_array<B> g(b, gradient(t));
      launch(
          b, ops::adam_step{},
          {weight.data(), g.data(), first.data(), second.data(), static_cast<std::size_t>(n), 0.01f,
           0.5f, 0.999f, 1e-8f, 1 - std::pow(0.5, t), 1 - std::pow(static_cast<double>(0.999f), t),
           option ? average.data() : nullptr, 0.9f});
    }
    return joined({weight.read(), first.read(), second.read(),
                   option ? average.read() : std::vector<float>{}});
  }
};

/// option: with momentum.
struct sgd_step : optimizer_run {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto weight = numbers(b, n, 1);
    const device_array<B> velocity(b, zeros());
    for (int t = 1; t <= 3; ++t) {
      const device_array<B> g(b, gradient(t));
      launch(b, ops::sgd_step{},
             {weight.data(), g.data(), option ? velocity.data() : nullptr,
              static_cast<std::size_t>(n), 0.01f, option ? 0.9f : 0.0f});
    }
    return joined({weight.read(), velocity.read()});
  }
};

struct rmsprop_step : optimizer_run {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto weight = numbers(b, n, 1);
    const device_array<B> square(b, zeros());
    for (int t = 1; t <= 3; ++t) {
      const device_array<B> g(b, gradient(t));
      launch(b, ops::rmsprop_step{},
             {weight.data(), g.data(), square.data(), static_cast<std::size_t>(n), 0.01f, 0.99f,
              1e-8f});
    }
    return joined({weight.read(), square.read()});
  }
};

struct ema_step : optimizer_run {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto average = numbers(b, n, 1);
    for (int t = 1; t <= 3; ++t) {
      const device_array<B> value(b, gradient(t));
      launch(b, ops::ema_step{}, {value.data(), average.data(), static_cast<std::size_t>(n), 0.9f});
    }
    return average.read();
  }
};

}  // namespace gantry::test::runs
