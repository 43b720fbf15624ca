// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "gantry/base/error.hpp"
#include "gantry/concepts/network.hpp"
#include "gantry/nn/chain.hpp"

namespace gantry::inline v0::nn {

/// What one batch leaves behind for its backward: activations and layer state in one allocation
/// whose size is known before it is made, plus scratch for the gradients in between.
template <class Net, Backend B>
class tape {
  using chain = nn::chain<Net::input_shape, typename Net::plan::pack, B>;
  using storage = typename B::storage;
  using layout = typename storage::layout;
  static constexpr std::size_t depth = Net::plan::depth;

 public:
  /// Scalars that a tape for batches of up to n samples allocates.
  static constexpr std::size_t elements(int n) {
    return chain::record_size(n) + chain::output_size(n) + gradient_elements(n) +
           chain::workspace_size(n);
  }

  /// @throws usage_error if capacity is not positive
  tape(B& b, int capacity) : capacity_(checked(capacity)), memory_(b.allocate(elements(capacity))) {
    lie_at(memory_.data());
  }
  /// In the caller's memory, elements(capacity) zeroed scalars or what another tape has left.
  tape(typename B::scalar* memory, int capacity) : capacity_(checked(capacity)) { lie_at(memory); }
  /// Results go into the caller's memory from now on.
  void place_output(typename B::scalar* where) { output_ = where; }

  [[nodiscard]] int capacity() const { return capacity_; }
  [[nodiscard]] mode run_mode() const { return mode_; }

  /// Result of the last forward, extents Net::output_shape.
  batch_of<storage> output() { return {output_, n_}; }
  /// Where the caller writes the derivative by the output before a backward, which leaves it as it
  /// is.
  batch_of<storage> output_gradient() { return {output_gradient_, n_}; }

  /// Forwards and backwards on this tape call `hooks` from now on; null: nobody.
  void watch(const layer_hooks* hooks) { hooks_ = hooks; }

  // What follows is called by the network.
  void begin(int n, mode run_mode, const stream_id& random, const std::uint8_t* labels = nullptr,
             bool paired = false) {
    expects(n > 0 && n <= capacity_, "a batch is larger than the tape it is to be recorded on");
    if (n != n_) where_ = chain::where(n);
    n_ = n;
    mode_ = run_mode;
    random_ = random;
    labels_ = labels;
    paired_ = paired;
  }
  batch_of<storage> activation(std::size_t i) { return chain::activation(frame({}, {}, {}), i); }
  std::span<typename B::scalar> saved(std::size_t i) {
    return {record_ + where_.saved[i], where_.saved_size[i]};
  }
  /// The stream of layer 0; each layer adds its own number.
  [[nodiscard]] stream_id random() const {
    stream_id id = random_;
    id.salt = id.salt * streams_per_pass;
    return id;
  }

  typename chain::frame frame(const typename Net::plan::pack::objects& layers,
                              const_batch_of<storage> x, network_view<B> values) {
    return {.layers = layers,
            .where = where_,
            .x = {x.data, n_},
            .y = output(),
            .params = values.params,
            .buffers = values.buffers,
            .record = record_,
            .workspace = workspace_,
            .run_mode = mode_,
            .random = random(),
            .labels = labels_,
            .hooks = hooks_,
            .paired = paired_};
  }

 private:
  static constexpr std::size_t gradient_elements(int n) {
    return slice(layout::elements(Net::output_shape, n));
  }
  static int checked(int capacity) {
    expects(capacity > 0,
            "the batch size must be at least 1: found 0 or less, give a positive --batch");
    return capacity;
  }
  void lie_at(typename B::scalar* memory) {
    record_ = memory;
    output_ = memory + chain::record_size(capacity_);
    output_gradient_ = output_ + chain::output_size(capacity_);
    workspace_ = output_gradient_ + gradient_elements(capacity_);
  }

  int capacity_{}, n_{};
  typename B::buffer_type memory_{};  ///< none where it is the caller's
  typename B::scalar *record_{}, *output_{}, *output_gradient_{}, *workspace_{};
  typename chain::offsets where_;
  bool paired_{};
  mode mode_{mode::train};
  stream_id random_;
  const std::uint8_t* labels_{};
  const layer_hooks* hooks_{};
};

/// What the gradient by a network's input leaves behind for the passes of a penalty: the gradient
/// and the tangent at every boundary between layers, and ones to start from.
template <class Net, Backend B>
class tangent_tape {
  using chain = nn::chain<Net::input_shape, typename Net::plan::pack, B>;
  using storage = typename B::storage;
  static constexpr std::size_t head(int n) {
    return slice(storage::layout::elements(Net::output_shape, n));
  }

 public:
  static constexpr std::size_t elements(int n) { return chain::kept_size(n) + 2 * head(n); }

  tangent_tape(B& b, int capacity) : memory_(b.allocate(elements(capacity))) {
    ones_ = memory_.data() + chain::kept_size(capacity);
    output_ = ones_ + head(capacity);
    launch(b, ops::fill{}, {ones_, head(capacity), 1.0f});
  }

  typename B::scalar* kept() { return memory_.data(); }
  batch_of<storage> ones(int n) { return {ones_, n}; }
  /// Tangent of the output: per sample <v, dD/dx>.
  batch_of<storage> output(int n) { return {output_, n}; }

 private:
  typename B::buffer_type memory_;
  typename B::scalar *ones_{}, *output_{};
};

}  // namespace gantry::nn
