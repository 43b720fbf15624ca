// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <span>

#include "gantry/base/error.hpp"
#include "gantry/concepts/layer.hpp"

namespace gantry::nn {

/// What one batch leaves behind for its backward: activations and layer state in one allocation
/// whose size is known before it is made, plus two gradient buffers that the backward alternates
/// between.
template <class Net, Backend B>
class tape {
  using plan = typename Net::plan;
  using storage = typename B::storage;
  using layout = typename storage::layout;
  static constexpr std::size_t depth = plan::depth;

 public:
  /// Scalars that a tape for batches of up to n samples allocates.
  static constexpr std::size_t elements(int n) { return offsets(n).total; }

  /// @throws usage_error if capacity is not positive
  tape(B& b, int capacity) : capacity_(capacity) {
    expects(capacity > 0,
            "the batch size must be at least 1: found 0 or less, give a positive --batch");
    where_ = offsets(capacity);
    memory_ = b.allocate(where_.total);
  }

  [[nodiscard]] int capacity() const { return capacity_; }
  [[nodiscard]] mode run_mode() const { return mode_; }

  /// Result of the last forward, extents Net::output_shape.
  batch_of<storage> output() { return activation(depth); }
  /// Where the caller writes the derivative by the output before a backward.
  batch_of<storage> output_gradient() { return {at(where_.output_gradient), n_}; }

  // What follows is called by the network.
  void begin(int n, mode run_mode, const stream_id& random) {
    expects(n > 0 && n <= capacity_, "a batch is larger than the tape it is to be recorded on");
    n_ = n;
    mode_ = run_mode;
    random_ = random;
  }
  batch_of<storage> activation(std::size_t i) { return {at(where_.activation[i]), n_}; }
  std::span<typename B::scalar> saved(std::size_t i) {
    return {at(where_.saved[i]), plan::saved_elements(i, n_)};
  }
  [[nodiscard]] stream_id random(std::size_t layer) const {
    stream_id id = random_;
    id.salt = id.salt * 256 + static_cast<std::uint32_t>(layer);
    return id;
  }
  void begin_backward() { current_ = where_.output_gradient; }
  const_batch_of<storage> current_gradient() { return {at(current_), n_}; }
  /// Memory for the gradient by the input of layer i; in place where the layer allows it.
  batch_of<storage> next_gradient(std::size_t i) {
    if (!plan::in_place[i]) current_ = current_ == where_.ping ? where_.pong : where_.ping;
    return {at(current_), n_};
  }

 private:
  struct layout_plan {
    std::array<std::size_t, depth + 1> activation{};
    std::array<std::size_t, depth> saved{};
    std::size_t output_gradient{}, ping{}, pong{}, total{};
  };

  static constexpr layout_plan offsets(int n) {
    layout_plan p;
    std::size_t widest = 0;
    for (std::size_t i = 1; i <= depth; ++i) {
      if (plan::slots[i] == plan::slots[i - 1]) {
        p.activation[i] = p.activation[i - 1];
      } else {
        p.activation[i] = p.total;
        p.total += slot_size(i, n);
      }
      if (i < depth) widest = std::max(widest, size(i, n));
    }
    for (std::size_t i = 0; i < depth; ++i) {
      p.saved[i] = p.total;
      p.total += slice(plan::saved_elements(i, n));
    }
    // In-place layers at the end write their input's gradient over the output's.
    std::size_t last = size(depth, n);
    for (std::size_t i = depth; i > 1 && plan::in_place[i - 1]; --i)
      last = std::max(last, size(i - 1, n));
    p.output_gradient = p.total;
    p.ping = p.total += last;
    p.pong = p.total += widest;
    p.total += widest;
    return p;
  }
  static constexpr std::size_t size(std::size_t i, int n) {
    return slice(plan::template activation_elements<layout>(i, n));
  }
  /// Extents that share memory may need more or less of it in the backend's layout.
  static constexpr std::size_t slot_size(std::size_t first, int n) {
    std::size_t widest = 0;
    for (std::size_t i = first; i <= depth && plan::slots[i] == plan::slots[first]; ++i)
      widest = std::max(widest, size(i, n));
    return widest;
  }

  typename B::scalar* at(std::size_t offset) { return memory_.data() + offset; }

  typename B::buffer_type memory_;
  layout_plan where_;
  int capacity_{}, n_{};
  mode mode_{mode::train};
  stream_id random_;
  std::size_t current_{};
};

}  // namespace gantry::nn
