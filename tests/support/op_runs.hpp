// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// One run of each op on any backend: inputs are the same pseudo-random host numbers everywhere,
// outputs start as NaN (or as known numbers where the op adds to them) and come back as host
// floats. Guards around every array catch writes outside. A test compares the runs of two backends.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>
#include <span>
#include <stdexcept>
#include <vector>

#include "gantry/base/rng.hpp"
#include "gantry/concepts/backend.hpp"
#include "gantry/ops/conv2d.hpp"
#include "gantry/ops/linear.hpp"
#include "gantry/ops/minibatch.hpp"
#include "gantry/ops/norm.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::test {

inline constexpr float quiet_nan = std::numeric_limits<float>::quiet_NaN();

/// N(0, 1), a stream per salt; if `poison` is an index of it, NaN there.
inline std::vector<float> normal_floats(std::size_t count, std::uint32_t salt, int poison = -1) {
  std::vector<float> values(count);
  fill_normal(std::span<float>(values), {.seed = 42, .use = purpose::user, .salt = salt});
  if (poison >= 0) values[static_cast<std::size_t>(poison) % count] = quiet_nan;
  return values;
}

/// Numbers in a backend's memory between two guards.
template <Backend B>
class device_array {
 public:
  using scalar = typename B::scalar;

  device_array(B& b, const std::vector<float>& host)
      : backend_(&b), size_(host.size()), memory_(b.allocate(size_ + 2 * guard)) {
    std::vector<float> all(size_ + 2 * guard, guard_value);
    std::ranges::copy(host, all.begin() + guard);
    b.upload(all, memory_.data());
  }
  /// An output that has to be overwritten.
  device_array(B& b, std::size_t count) : device_array(b, std::vector<float>(count, quiet_nan)) {}

  [[nodiscard]] scalar* data() const { return memory_.data() + guard; }
  [[nodiscard]] std::vector<float> read() const {
    backend_->synchronize();
    std::vector<float> all(size_ + 2 * guard);
    backend_->download(memory_.data(), all);
    for (std::size_t i = 0; i < guard; ++i)
      if (all[i] != guard_value || all[all.size() - 1 - i] != guard_value)
        throw std::runtime_error("an op wrote outside its output");
    return {all.begin() + guard, all.end() - guard};
  }

 private:
  static constexpr std::size_t guard = slice_alignment;
  static constexpr float guard_value = 12345;
  B* backend_;
  std::size_t size_;
  typename B::buffer_type memory_;
};

/// A batch in a backend's layout.
template <Backend B, hwc Shape>
class device_batch {
 public:
  using storage = typename B::storage;

  /// Samples in canonical order.
  device_batch(B& b, int n, const std::vector<float>& canonical) : device_batch(b, n) {
    launch(b, ops::import_samples<Shape>{}, {canonical.data(), view()});
  }
  /// An output that has to be overwritten.
  device_batch(B& b, int n)
      : backend_(&b), n_(n), memory_(b, storage::layout::elements(Shape, n)) {}

  [[nodiscard]] batch_of<storage> view() const { return {memory_.data(), n_}; }
  [[nodiscard]] std::vector<float> read() const {
    static_cast<void>(memory_.read());  // the guards
    std::vector<float> canonical(nhwc::elements(Shape, n_));
    launch(*backend_, ops::export_samples<Shape>{}, {view(), canonical.data(), 1.0f});
    backend_->synchronize();
    return canonical;
  }

 private:
  B* backend_;
  int n_;
  device_array<B> memory_;
};

inline std::vector<float> joined(std::initializer_list<std::vector<float>> parts) {
  std::vector<float> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

/// What a run is told: the batch, a switch whose meaning each run gives, where NaN goes in.
struct run_options {
  int n{2};
  bool option{};
  int poison{-1};
};

namespace runs {

/// N(0, 1) samples of extents Shape, poisoned as the options say.
template <hwc Shape, Backend B>
device_batch<B, Shape> poisoned_batch(B& b, const run_options& o, std::uint32_t salt) {
  return {b, o.n, normal_floats(nhwc::elements(Shape, o.n), salt, o.poison)};
}
template <hwc Shape, Backend B>
device_batch<B, Shape> clean_batch(B& b, const run_options& o, std::uint32_t salt) {
  return {b, o.n, normal_floats(nhwc::elements(Shape, o.n), salt)};
}
template <Backend B>
device_array<B> numbers(B& b, int count, std::uint32_t salt) {
  return {b, normal_floats(static_cast<std::size_t>(count), salt)};
}

/// option: with a bias.
template <linear_geometry G>
struct linear_forward : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = poisoned_batch<G.in>(b, *this, 1);
    const auto weight = numbers(b, G.weights(), 2), bias = numbers(b, G.out, 3);
    const device_batch<B, hwc{1, 1, G.out}> y(b, n);
    launch(b, ops::linear_forward<G>{},
           {x.view(), weight.data(), option ? bias.data() : nullptr, y.view()});
    return y.read();
  }
};

/// option: accumulate.
template <linear_geometry G>
struct linear_backward_data : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto dy = poisoned_batch<hwc{1, 1, G.out}>(b, *this, 1);
    const auto weight = numbers(b, G.weights(), 2);
    const auto dx = option ? clean_batch<G.in>(b, *this, 3) : device_batch<B, G.in>(b, n);
    launch(b, ops::linear_backward_data<G>{}, {dy.view(), weight.data(), dx.view(), option});
    return dx.read();
  }
};

/// option: NaN goes into dy, not x.
template <linear_geometry G>
struct linear_backward_weights : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    constexpr hwc out{1, 1, G.out};
    const auto x = option ? clean_batch<G.in>(b, *this, 1) : poisoned_batch<G.in>(b, *this, 1);
    const auto dy = option ? poisoned_batch<out>(b, *this, 2) : clean_batch<out>(b, *this, 2);
    const auto dweight = numbers(b, G.weights(), 3);
    launch(b, ops::linear_backward_weights<G>{}, {x.view(), dy.view(), dweight.data()});
    return dweight.read();
  }
};

/// option: with a bias.
template <conv_geometry G>
struct conv2d_forward : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = poisoned_batch<G.in>(b, *this, 1);
    const auto weight = numbers(b, G.weights(), 2), bias = numbers(b, G.filters, 3);
    const device_batch<B, G.out()> y(b, n);
    launch(b, ops::conv2d_forward<G>{},
           {x.view(), weight.data(), option ? bias.data() : nullptr, y.view()});
    return y.read();
  }
};

/// option: with a bias, as the forward of a transposed convolution has it.
template <conv_geometry G>
struct conv2d_backward_data : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto dy = poisoned_batch<G.out()>(b, *this, 1);
    const auto weight = numbers(b, G.weights(), 2), bias = numbers(b, G.in.c, 3);
    const device_batch<B, G.in> dx(b, n);
    launch(b, ops::conv2d_backward_data<G>{},
           {dy.view(), weight.data(), option ? bias.data() : nullptr, dx.view()});
    return dx.read();
  }
};

/// option: NaN goes into dy, not x.
template <conv_geometry G>
struct conv2d_backward_weights : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    constexpr hwc out = G.out();
    const auto x = option ? clean_batch<G.in>(b, *this, 1) : poisoned_batch<G.in>(b, *this, 1);
    const auto dy = option ? poisoned_batch<out>(b, *this, 2) : clean_batch<out>(b, *this, 2);
    const auto dweight = numbers(b, G.weights(), 3);
    launch(b, ops::conv2d_backward_weights<G>{}, {x.view(), dy.view(), dweight.data()});
    return dweight.read();
  }
};

/// Calls f(first sample, samples, batch, paired): once where the backend takes the n samples as a
/// pair or they are none, else for either half.
template <Backend B, class F>
void on_batches(int n, bool paired, const F& f) {
  if (!paired || TakesPairs<B>) return f(0, n, 0, paired);
  f(0, n / 2, 0, false);
  f(n / 2, n / 2, 1, false);
}
template <Backend B, hwc Shape>
batch_of<typename B::storage> part(const device_batch<B, Shape>& all, int first, int n) {
  // No samples take room for a vector in the CPU's layout.
  return {all.view().data + (first == 0 ? 0 : B::storage::layout::elements(Shape, first)), n};
}

/// y, running statistics, saved statistics. option: inputs far from 0.
template <hwc Shape>
struct batch_norm_forward : run_options {
  bool paired{};
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    auto input = normal_floats(nhwc::elements(Shape, n), 1, poison);
    if (option)
      for (float& v : input) v = 100 + v;
    const device_batch<B, Shape> x(b, n, input), y(b, n);
    const auto gamma = numbers(b, Shape.c, 2), beta = numbers(b, Shape.c, 3);
    const auto mean = numbers(b, Shape.c, 4), variance = numbers(b, Shape.c, 5);
    const std::size_t saved = (paired ? 2 : 1) * Shape.c;
    const device_array<B> saved_mean(b, saved), saved_inverse(b, saved);
    on_batches<B>(n, paired, [&](int first, int count, int batch, bool pair) {
      const int c = batch * Shape.c;
      launch(b, ops::batch_norm_forward<Shape>{},
             {part(x, first, count), gamma.data(), beta.data(), mean.data(), variance.data(),
              saved_mean.data() + c, saved_inverse.data() + c, part(y, first, count), 0.1f, 1e-5f,
              pair});
    });
    return joined(
        {y.read(), mean.read(), variance.read(), saved_mean.read(), saved_inverse.read()});
  }
};

/// A positive number per channel.
inline std::vector<float> positive_floats(int count, std::uint32_t salt) {
  auto values = normal_floats(static_cast<std::size_t>(count), salt);
  for (float& v : values) v = std::exp(v);
  return values;
}

/// y and saved statistics.
template <hwc Shape>
struct batch_norm_inference : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = poisoned_batch<Shape>(b, *this, 1);
    const device_batch<B, Shape> y(b, n);
    const auto gamma = numbers(b, Shape.c, 2), beta = numbers(b, Shape.c, 3);
    const auto mean = numbers(b, Shape.c, 4);
    const device_array<B> variance(b, positive_floats(Shape.c, 5));
    const device_array<B> saved_mean(b, Shape.c), saved_inverse(b, Shape.c);
    launch(b, ops::batch_norm_inference<Shape>{},
           {x.view(), gamma.data(), beta.data(), mean.data(), variance.data(), saved_mean.data(),
            saved_inverse.data(), y.view(), 1e-5f});
    return joined({y.read(), saved_mean.read(), saved_inverse.read()});
  }
};

/// dx (if wanted), dgamma and dbeta (if wanted). option: fixed statistics.
template <hwc Shape>
struct batch_norm_backward : run_options {
  bool want_dx{true}, want_dparams{true}, in_place{false}, paired{false};

  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = clean_batch<Shape>(b, *this, 1), dy = poisoned_batch<Shape>(b, *this, 2);
    const device_batch<B, Shape> apart(b, n);
    const auto& dx = in_place ? dy : apart;
    const int saved = (paired ? 2 : 1) * Shape.c;
    const auto gamma = numbers(b, Shape.c, 3), mean = numbers(b, saved, 4);
    const device_array<B> inverse(b, positive_floats(saved, 5));
    const auto dgamma = numbers(b, Shape.c, 6), dbeta = numbers(b, Shape.c, 7);
    on_batches<B>(n, paired, [&](int first, int count, int batch, bool pair) {
      const int c = batch * Shape.c;
      launch(
          b, ops::batch_norm_backward<Shape>{},
          {part(x, first, count), part(dy, first, count), gamma.data(), mean.data() + c,
           inverse.data() + c, want_dx ? part(dx, first, count) : batch_of<typename B::storage>{},
           want_dparams ? dgamma.data() : nullptr, want_dparams ? dbeta.data() : nullptr, option,
           pair});
    });
    const auto images = in_place ? dy.read() : apart.read();
    return joined({want_dx ? images : std::vector<float>{}, dgamma.read(), dbeta.read()});
  }
};

/// ex (if wanted), dgamma and dbeta (if wanted). option: with ey. NaN goes into gy.
template <hwc Shape>
struct batch_norm_second_order : run_options {
  bool want_ex{true}, want_dparams{true}, fixed{false};

  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = clean_batch<Shape>(b, *this, 1), tx = clean_batch<Shape>(b, *this, 2);
    const auto gy = poisoned_batch<Shape>(b, *this, 3), ey = clean_batch<Shape>(b, *this, 4);
    const device_batch<B, Shape> ex(b, n);
    const auto gamma = numbers(b, Shape.c, 5), mean = numbers(b, Shape.c, 6);
    const device_array<B> inverse(b, positive_floats(Shape.c, 7));
    const auto dgamma = numbers(b, Shape.c, 8), dbeta = numbers(b, Shape.c, 9);
    launch(b, ops::batch_norm_second_order<Shape>{},
           {x.view(), tx.view(), gy.view(),
            option ? ey.view() : batch_of<typename B::storage>{nullptr, n}, gamma.data(),
            mean.data(), inverse.data(), want_ex ? ex.view() : batch_of<typename B::storage>{},
            want_dparams ? dgamma.data() : nullptr, want_dparams ? dbeta.data() : nullptr, fixed});
    return joined({want_ex ? ex.read() : std::vector<float>{}, dgamma.read(), dbeta.read()});
  }
};

template <hwc Shape>
struct channel_sum : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = poisoned_batch<Shape>(b, *this, 1);
    const auto sum = numbers(b, Shape.c, 2);
    launch(b, ops::channel_sum<Shape>{}, {x.view(), sum.data()});
    return sum.read();
  }
};

template <minibatch_geometry G>
struct minibatch_similarity_forward : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    const auto x = clean_batch<hwc{1, 1, G.in}>(b, *this, 1);
    const auto m = poisoned_batch<hwc{1, 1, G.kernels * G.dims}>(b, *this, 2);
    const device_batch<B, hwc{1, 1, G.in + G.kernels}> y(b, n);
    launch(b, ops::minibatch_similarity_forward<G>{}, {x.view(), m.view(), y.view()});
    return y.read();
  }
};

/// dm and, if the option says so, dx.
template <minibatch_geometry G>
struct minibatch_similarity_backward : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    constexpr hwc projected{1, 1, G.kernels * G.dims};
    const auto m = clean_batch<projected>(b, *this, 1);
    const auto dy = poisoned_batch<hwc{1, 1, G.in + G.kernels}>(b, *this, 2);
    const device_batch<B, hwc{1, 1, G.in}> dx(b, n);
    const device_batch<B, projected> dm(b, n);
    launch(b, ops::minibatch_similarity_backward<G>{},
           {m.view(), dy.view(), option ? dx.view() : batch_of<typename B::storage>{}, dm.view()});
    return joined({dm.read(), option ? dx.read() : std::vector<float>{}});
  }
};

template <minibatch_geometry G>
struct minibatch_similarity_tangent : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    constexpr hwc projected{1, 1, G.kernels * G.dims};
    const auto tx = clean_batch<hwc{1, 1, G.in}>(b, *this, 1);
    const auto m = clean_batch<projected>(b, *this, 2), tm = poisoned_batch<projected>(b, *this, 3);
    const device_batch<B, hwc{1, 1, G.in + G.kernels}> ty(b, n);
    launch(b, ops::minibatch_similarity_tangent<G>{}, {tx.view(), m.view(), tm.view(), ty.view()});
    return ty.read();
  }
};

/// em, etm and, if the option says so, ex with ey. NaN goes into gy.
template <minibatch_geometry G>
struct minibatch_similarity_second_order : run_options {
  template <Backend B>
  std::vector<float> operator()(B& b) const {
    constexpr hwc projected{1, 1, G.kernels * G.dims}, wide{1, 1, G.in + G.kernels};
    const auto m = clean_batch<projected>(b, *this, 1), tm = clean_batch<projected>(b, *this, 2);
    const auto gy = poisoned_batch<wide>(b, *this, 3), ey = clean_batch<wide>(b, *this, 4);
    const device_batch<B, hwc{1, 1, G.in}> ex(b, n);
    const device_batch<B, projected> em(b, n), etm(b, n);
    const batch_of<typename B::storage> none{nullptr, n};
    launch(b, ops::minibatch_similarity_second_order<G>{},
           {m.view(), tm.view(), gy.view(), option ? ey.view() : none, option ? ex.view() : none,
            em.view(), etm.view()});
    return joined({em.read(), etm.read(), option ? ex.read() : std::vector<float>{}});
  }
};

}  // namespace runs
}  // namespace gantry::test
