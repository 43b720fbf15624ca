// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "gantry/nn/parts.hpp"
#include "gantry/ops/fused.hpp"
#include "gantry/ops/norm.hpp"

namespace gantry::inline v0 {

/// Batch normalisation per channel with scale and shift (Ioffe and Szegedy, arXiv 1502.03167).
/// Training uses the batch's statistics and moves the running ones; evaluation uses the running
/// ones. Gradient penalties differentiate through the batch's statistics (docs/10_penalties.md).
struct batch_norm {
  static constexpr std::string_view name = "batch_norm";
  static constexpr bool couples_samples = true;
  static constexpr bool takes_pairs = true;
  float momentum{0.1f};
  float epsilon{1e-5f};
  nn::initialiser scale_init{};  ///< scale starts at 1 + this

  static constexpr hwc output_shape(hwc in) { return in; }
  static constexpr std::size_t channels(hwc in) { return static_cast<std::size_t>(in.c); }
  static constexpr std::size_t param_count(hwc in) { return 2 * channels(in); }
  static constexpr std::size_t buffer_count(hwc in) { return 2 * channels(in); }
  /// Means, inverse deviations; room for those of a pair.
  static constexpr std::size_t saved_count(hwc in, int) { return 4 * channels(in); }
  static constexpr flop_count flops(hwc) { return {}; }
  template <hwc>
  static constexpr bool validate() {
    return true;
  }

  static std::vector<tensor_info> tensors(hwc in, hwc) {
    return {nn::plain_tensor("weight", 0, in.c), nn::plain_tensor("bias", channels(in), in.c),
            nn::plain_tensor("running_mean", 0, in.c, true),
            nn::plain_tensor("running_var", channels(in), in.c, true)};
  }

  template <hwc In>
  using required_ops = op_list<ops::batch_norm_forward<In>, ops::batch_norm_inference<In>,
                               ops::batch_norm_backward<In>>;

  void initialise(std::span<float> params, std::span<float> buffers, hwc in,
                  const stream_id& id) const {
    const std::size_t c = channels(in);
    scale_init(params.first(c), in.c, id);
    for (float& gamma : params.first(c)) gamma += 1.0f;
    std::ranges::fill(params.subspan(c), 0.0f);
    std::ranges::fill(buffers.first(c), 0.0f);
    std::ranges::fill(buffers.subspan(c), 1.0f);
  }

  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    if (a.run_mode == mode::train)
      launch(b, ops::batch_norm_forward<In>{}, training<In>(a));
    else
      launch(b, ops::batch_norm_inference<In>{}, inference<In>(a));
  }

  /// With the activation f behind it.
  template <hwc In, Backend B, class F>
  requires Implements<B, ops::activated<ops::batch_norm_forward<In>, F>> &&
      Implements<B, ops::activated<ops::batch_norm_inference<In>, F>>
  void forward(B& b, const forward_args<B>& a, const F& f) const {
    if (a.run_mode == mode::train)
      launch(b, ops::activated<ops::batch_norm_forward<In>, F>{}, {training<In>(a), f});
    else
      launch(b, ops::activated<ops::batch_norm_inference<In>, F>{}, {inference<In>(a), f});
  }

  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    constexpr std::size_t c = channels(In);
    auto* dgamma = a.dparams.empty() ? nullptr : a.dparams.data();
    auto* dbeta = dgamma ? dgamma + c : nullptr;
    if (!dgamma && !a.dx.data) return;
    launch(b, ops::batch_norm_backward<In>{},
           {a.x, a.dy, a.params.data(), a.saved.data(), a.saved.data() + 2 * c, a.dx, dgamma, dbeta,
            a.run_mode == mode::evaluate, a.paired && a.run_mode == mode::train});
  }

  /// The derivative by x is symmetric per channel, but for gamma, which it has as a factor: the
  /// gradient's op is the tangent's.
  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    launch(b, ops::batch_norm_backward<In>{},
           {a.x, a.tx, a.params.data(), a.saved.data(), a.saved.data() + 2 * channels(In), a.ty,
            nullptr, nullptr, a.run_mode == mode::evaluate});
  }

  template <hwc In, Backend B>
  void second_order(B& b, const second_order_args<B>& a) const {
    auto* dgamma = a.dparams.empty() ? nullptr : a.dparams.data();
    if (!dgamma && !a.ex.data) return;
    launch(
        b, ops::batch_norm_second_order<In>{},
        {a.x, a.tx, a.gy, a.ey, a.params.data(), a.saved.data(), a.saved.data() + 2 * channels(In),
         a.ex, dgamma, dgamma ? dgamma + channels(In) : nullptr, a.run_mode == mode::evaluate});
  }

 private:
  template <hwc In, class B>
  typename ops::batch_norm_forward<In>::template params<typename B::storage> training(
      const forward_args<B>& a) const {
    constexpr std::size_t c = channels(In);
    const auto* gamma = a.params.data();
    auto *mean = a.buffers.data(), *saved = a.saved.data();
    return {a.x,           gamma, gamma + c, mean,    mean + c, saved,
            saved + 2 * c, a.y,   momentum,  epsilon, a.paired};
  }
  template <hwc In, class B>
  typename ops::batch_norm_inference<In>::template params<typename B::storage> inference(
      const forward_args<B>& a) const {
    constexpr std::size_t c = channels(In);
    const auto* gamma = a.params.data();
    auto *mean = a.buffers.data(), *saved = a.saved.data();
    return {a.x, gamma, gamma + c, mean, mean + c, saved, saved + 2 * c, a.y, epsilon};
  }
};

}  // namespace gantry
