// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The layer contract.
//
// A layer is a small struct: template arguments for what changes storage or code, members for
// run-time settings (slope, rate, epsilon). It owns no storage. All extents are constexpr functions
// of the input's extents, so a network's offsets, bytes and FLOPs are constants of its type.
//
//   forward   overwrites y. It may write `saved` (kept until the backward of the same batch) and,
//   in
//             training mode, `buffers` (running statistics).
//   backward  overwrites dx (skipped when dx.data is null) and adds to dparams (skipped when empty:
//             the generator step needs D's input gradient, never its weight gradients). It must
//             accept saved as forward left it and may use it as scratch afterwards.
//
// `in_place` = the output may overwrite the input and dx may alias dy; such a layer computes its
// backward without x. `backward_needs_output` = backward reads y, so the next layer must not
// overwrite it.
//
// Penalties on the gradient of a discriminator by its input need more (docs/10_penalties.md): with
// J(x) = dy/dx,
//   tangent          overwrites ty with J(x) tx.
//   merged_gradient  layers with parameters and `piecewise_linear` (J does not change with x but at
//                    kinks): adds to dparams what x (x) gy gives, see merged_args.
//   second_order     layers that are not piecewise linear: the derivatives of <gy, J(x) tx>.
// A layer without them trains in every network that no penalty is asked of. Layers whose output for
// one sample depends on the others of the batch say `couples_samples`: their passes are of the
// whole batch, and a loss by numbers per sample is not merged. Layers that read a class label per
// sample say how many `classes` there are. `is_numbered` = false keeps a layer out of the names of
// tensors.
//
// A discriminator's real and generated batch go through in one pass, a pair, where the backend and
// all layers can: a layer that works on each sample by itself can as it is. One that couples
// samples, has running statistics or draws numbers says `takes_pairs` = true and does, where its
// arguments are `paired`, for either half of the batch what it does for a batch; a layer that draws
// numbers and does not says `takes_pairs` = false.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "gantry/base/rng.hpp"
#include "gantry/concepts/backend.hpp"

namespace gantry::inline v0 {

/// Random streams between those of the same layer in two passes that follow each other.
inline constexpr std::uint32_t streams_per_pass = 256;

/// Training uses batch statistics and dropout; evaluation uses running statistics and none.
enum class mode { train, evaluate };

template <Backend B>
struct forward_args {
  const_batch_of<typename B::storage> x{};
  batch_of<typename B::storage> y{};
  std::span<const typename B::scalar> params{};
  std::span<typename B::scalar> buffers{};
  std::span<typename B::scalar> saved{};
  mode run_mode{mode::train};
  stream_id random{};  ///< for layers that draw numbers; unique per step, worker, pass and layer
  std::span<typename B::scalar> workspace{};  ///< for layers made of layers: scratch of this call
  const std::uint8_t* labels{};               ///< for layers with classes: one per sample
  bool paired{};  ///< x is two batches, the second with the next pass's random stream
};

template <Backend B>
struct backward_args {
  const_batch_of<typename B::storage> x{}, y{}, dy{};
  std::span<const typename B::scalar> params{};
  std::span<typename B::scalar> saved{};
  batch_of<typename B::storage> dx{};       ///< data null: not wanted
  std::span<typename B::scalar> dparams{};  ///< empty: not wanted
  mode run_mode{mode::train};
  stream_id random{};                         ///< the same as in forward
  std::span<typename B::scalar> workspace{};  ///< for layers made of layers: scratch of this call
  std::span<typename B::scalar>
      kept{};  ///< the same: where inner gradients stay for a later tangent
  const std::uint8_t* labels{};
  bool paired{};  ///< as in forward
};

/// The derivative of forward along tx; x, y, saved and random are those of the forward.
template <Backend B>
struct tangent_args {
  const_batch_of<typename B::storage> x{}, y{}, tx{};
  batch_of<typename B::storage> ty{};  ///< may be tx where the layer is in place
  std::span<const typename B::scalar> params{};
  std::span<typename B::scalar> saved{};
  mode run_mode{mode::train};
  stream_id random{};
  std::span<typename B::scalar> workspace{}, kept{};
  const std::uint8_t* labels{};
};

/// One weight gradient for two terms (Gulrajani et al., arXiv 1704.00028, differentiated once more
/// by hand): a penalty's, whose layer input is the tangent t, and the loss's, whose layer gradients
/// are those of the output times a number s_i per sample: adds sum_i m_i (x) gy_i with
/// m_i = s_i x_i + t_i to the parameters that multiply, and sum_i s_i gy_i to those that are added.
template <Backend B>
struct merged_args {
  const_batch_of<typename B::storage> x{}, m{}, gy{};
  const typename B::scalar* seeds{};  ///< s, null: all zero
  std::span<const typename B::scalar> params{};
  std::span<typename B::scalar> saved{};
  std::span<typename B::scalar> dparams{};
  mode run_mode{mode::train};
  stream_id random{};
  std::span<typename B::scalar> workspace{}, kept{};
  const std::uint8_t* labels{};
};

/// Derivatives of F = <gy, J(x) tx> + <ey, y(x)>: overwrites ex with dF/dx unless its data is null
/// and adds dF/dparams. ey.data null means zero.
template <Backend B>
struct second_order_args {
  const_batch_of<typename B::storage> x{}, y{}, tx{}, gy{}, ey{};
  batch_of<typename B::storage> ex{};
  std::span<const typename B::scalar> params{};
  std::span<typename B::scalar> saved{};
  std::span<typename B::scalar> dparams{};
  mode run_mode{mode::train};
  stream_id random{};
  std::span<typename B::scalar> workspace{}, kept{};
  const std::uint8_t* labels{};
};

/// Called on the way through the layers of a network, for those who move its parameters while it
/// runs; set on a tape by `watch`. An empty function is not called.
struct layer_hooks {
  std::function<void(std::size_t)> before_forward{};  ///< layer i is about to read its parameters
  /// This pass adds no more to the gradients of layers i, i + 1, ... and has read their parameters
  /// for the last time; it may end before layer 0 where nothing is wanted of the first layers.
  std::function<void(std::size_t)> after_backward{};
};

/// FLOPs of one sample, 2 per multiply-add of products (norms and activations are not counted).
struct flop_count {
  double forward{}, input_gradient{}, weight_gradient{};
  friend constexpr flop_count operator+(const flop_count& a, const flop_count& b) {
    return {a.forward + b.forward, a.input_gradient + b.input_gradient,
            a.weight_gradient + b.weight_gradient};
  }
};

/// One named tensor of a layer: where it is in the layer's slice, and how its storage order maps to
/// PyTorch's.
struct tensor_info {
  std::string name;                  ///< PyTorch's: weight, bias, running_mean, ...
  std::size_t offset{};              ///< in scalars, within the layer's params or buffers
  std::vector<int> storage_extents;  ///< row-major, as stored
  std::vector<int> order;  ///< storage axis that each PyTorch axis group walks, outermost first
  std::vector<std::int64_t> shape;  ///< PyTorch's shape; the product equals that of storage_extents
  bool is_buffer{};
  [[nodiscard]] std::size_t size() const {
    std::size_t n = 1;
    for (int e : storage_extents) n *= static_cast<std::size_t>(e);
    return n;
  }
};

/// Layer L on backend B with input extents In.
template <class L, class B, hwc In>
concept Layer = Backend<B> &&
    requires(const L& l, B& b, const forward_args<B>& f, const backward_args<B>& g,
             std::span<float> host, const stream_id& id, int n) {
  { L::name } -> std::convertible_to<std::string_view>;
  { L::output_shape(In) } -> std::same_as<hwc>;
  { L::param_count(In) } -> std::same_as<std::size_t>;
  { L::buffer_count(In) } -> std::same_as<std::size_t>;
  { L::saved_count(In, n) } -> std::same_as<std::size_t>;
  { L::flops(In) } -> std::same_as<flop_count>;
  { L::tensors(In, L::output_shape(In)) } -> std::same_as<std::vector<tensor_info>>;
  { L::template validate<In>() } -> std::same_as<bool>;
  typename L::template required_ops<In>;
  { l.initialise(host, host, In, id) } -> std::same_as<void>;
  { l.template forward<In>(b, f) } -> std::same_as<void>;
  { l.template backward<In>(b, g) } -> std::same_as<void>;
};

}  // namespace gantry
