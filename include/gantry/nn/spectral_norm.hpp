// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "gantry/nn/parts.hpp"
#include "gantry/nn/plan.hpp"
#include "gantry/ops/pointwise.hpp"
#include "gantry/ops/spectral_norm.hpp"

namespace gantry::inline v0 {

/// A linear or conv2d layer whose weight matrix, one row per output, is divided by its largest
/// singular value (Miyato et al., arXiv 1802.05957). Each forward in training does one step of
/// power iteration on the vectors u and v, which are buffers; the gradient goes through sigma as in
/// torch.nn.utils.spectral_norm, whose names the tensors have.
template <class Layer>
struct spectral_norm {
  static_assert(
      requires { Layer::weight_rows; }, "spectral_norm<layer>: the layer must be linear or conv2d");
  static constexpr std::string_view name = "spectral_norm";
  static constexpr bool piecewise_linear = true;
  static constexpr bool flattens_samples = requires { requires Layer::flattens_samples; };
  static constexpr int rows = Layer::weight_rows;
  Layer layer{};
  float epsilon{1e-12f};

  static constexpr int columns(hwc in) { return static_cast<int>(Layer::weight_count(in)) / rows; }
  static constexpr hwc output_shape(hwc in) { return Layer::output_shape(in); }
  static constexpr std::size_t param_count(hwc in) { return Layer::param_count(in); }
  static constexpr std::size_t buffer_count(hwc in) {
    return static_cast<std::size_t>(rows + columns(in));
  }
  /// The divided weights with the bias behind them, and u, v and sigma of this batch.
  static constexpr std::size_t saved_count(hwc in, int) {
    return slice(param_count(in)) + slice(rows) + slice(static_cast<std::size_t>(columns(in))) +
           slice(1);
  }
  /// The gradient by the divided weights, behind what the layer itself needs.
  template <class Layout, hwc In>
  static constexpr std::size_t workspace_elements(int n) {
    return slice(nn::workspace_elements<Layer, Layout, In>(n)) + slice(param_count(In));
  }
  static constexpr flop_count flops(hwc in) { return Layer::flops(in); }
  template <hwc In>
  static constexpr bool validate() {
    return Layer::template validate<In>();
  }

  static std::vector<tensor_info> tensors(hwc in, hwc out) {
    std::vector<tensor_info> all = Layer::tensors(in, out);
    tensor_info u, v;
    const tensor_info& weight = all.front();
    std::size_t leading = 0;
    for (int n = 1; n < rows || leading == 0; ++leading) n *= weight.storage_extents[leading];
    u = {"weight_u", 0, {}, {}, {rows}, true};
    v = {"weight_v", static_cast<std::size_t>(rows), {}, {}, {columns(in)}, true};
    for (std::size_t i = 0; i < weight.storage_extents.size(); ++i)
      (i < leading ? u : v).storage_extents.push_back(weight.storage_extents[i]);
    for (const int axis : weight.order) {
      const bool first = axis < static_cast<int>(leading);
      (first ? u : v).order.push_back(first ? axis : axis - static_cast<int>(leading));
    }
    all.front().name = "weight_orig";
    all.push_back(std::move(u));
    all.push_back(std::move(v));
    return all;
  }

  template <hwc In>
  using required_ops = op_list<ops::spectral_normalise<rows, columns(In)>,
                               ops::spectral_gradient<rows, columns(In)>, ops::copy, ops::fill>;

  /// u and v start near the first singular vectors, after 15 steps as in PyTorch's
  /// parametrisation.
  void initialise(std::span<float> params, std::span<float> buffers, hwc in,
                  const stream_id& id) const {
    layer.initialise(params, {}, in, id);
    const auto r = static_cast<std::size_t>(rows), c = static_cast<std::size_t>(columns(in));
    const std::span<float> u = buffers.first(r), v = buffers.subspan(r, c);
    stream_id stream = id;
    stream.step += 1;
    fill_normal(u, stream);
    unit(u);
    for (int step = 0; step < 15; ++step) {
      std::ranges::fill(v, 0.0f);
      for (std::size_t i = 0; i < r; ++i)
        for (std::size_t j = 0; j < c; ++j) v[j] += u[i] * params[i * c + j];
      unit(v);
      for (std::size_t i = 0; i < r; ++i) {
        u[i] = 0;
        for (std::size_t j = 0; j < c; ++j) u[i] += params[i * c + j] * v[j];
      }
      unit(u);
    }
  }

  template <class F>
  void for_each_layer(F& f) {
    f(layer);
  }

  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    const auto s = parts<In>(a.saved);
    launch(b, ops::spectral_normalise<rows, columns(In)>{},
           {a.params.data(), a.buffers.data(), a.buffers.data() + rows, s.weights.data(), s.u, s.v,
            s.sigma, epsilon, a.run_mode == mode::train});
    constexpr std::size_t weights = Layer::weight_count(In);
    if constexpr (param_count(In) > weights)
      launch(b, ops::copy{},
             {a.params.data() + weights, s.weights.data() + weights, param_count(In) - weights});
    forward_args<B> inner = a;
    inner.params = s.weights;
    inner.buffers = {};
    inner.saved = {};
    layer.template forward<In>(b, inner);
  }

  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    backward_args<B> inner = a;
    inner.params = parts<In>(a.saved).weights;
    inner.saved = {};
    through_sigma<In>(b, inner.dparams, a.saved, a.workspace,
                      [&] { layer.template backward<In>(b, inner); });
  }

  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    tangent_args<B> inner = a;
    inner.params = parts<In>(a.saved).weights;
    inner.saved = {};
    layer.template tangent<In>(b, inner);
  }

  template <hwc In, Backend B>
  void merged_gradient(B& b, const merged_args<B>& a) const {
    merged_args<B> inner = a;
    inner.params = parts<In>(a.saved).weights;
    inner.saved = {};
    through_sigma<In>(b, inner.dparams, a.saved, a.workspace,
                      [&] { layer.template merged_gradient<In>(b, inner); });
  }

 private:
  template <class T>
  struct saved_parts {
    std::span<T> weights;
    T *u, *v, *sigma;
  };
  template <hwc In, class T>
  static saved_parts<T> parts(std::span<T> saved) {
    T* u = saved.data() + slice(param_count(In));
    T* v = u + slice(rows);
    return {saved.first(param_count(In)), u, v, v + slice(static_cast<std::size_t>(columns(In)))};
  }

  /// Lets `run` add to a zeroed workspace in place of dparams, then adds what that means for the
  /// undivided weights.
  template <hwc In, class B, class T, class F>
  static void through_sigma(B& b, std::span<T>& dparams, std::span<T> saved, std::span<T> workspace,
                            F&& run) {
    if (dparams.empty()) return run();
    const std::span<T> target = dparams;
    dparams = workspace.last(slice(param_count(In))).first(param_count(In));
    launch(b, ops::fill{}, {dparams.data(), dparams.size(), 0.0f});
    run();
    const auto s = parts<In>(saved);
    launch(b, ops::spectral_gradient<rows, columns(In)>{},
           {dparams.data(), s.weights.data(), s.u, s.v, s.sigma, target.data()});
    constexpr std::size_t weights = Layer::weight_count(In);
    if constexpr (param_count(In) > weights)
      launch(b, ops::accumulate{},
             {dparams.data() + weights, target.data() + weights, param_count(In) - weights});
  }

  static void unit(std::span<float> x) {
    float square = 0;
    for (const float value : x) square += value * value;
    const float norm = std::max(std::sqrt(square), 1e-12f);
    for (float& value : x) value /= norm;
  }
};

}  // namespace gantry
