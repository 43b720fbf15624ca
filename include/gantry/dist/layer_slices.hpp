// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/network.hpp"

namespace gantry::inline v0::dist {

/// Parameters and running statistics of one layer or of several that follow each other.
struct layer_slice {
  std::size_t layer{};  ///< the first of them
  std::size_t first_param{}, params{};
  std::size_t first_buffer{}, buffers{};
  [[nodiscard]] constexpr std::size_t scalars() const { return params + buffers; }
};

/// A network cut into messages, input layers first. A slice takes in layers until it has `bucket`
/// bytes; 0 keeps each layer with parameters or statistics for itself.
template <class Net>
class layer_slices {
  static_assert(LayeredNetwork<Net>,
                "layerwise_overlap sends networks layer by layer and needs to know where a layer "
                "begins; give it a network with depth, param_offset, buffer_offset and layer_flops "
                "(concepts/network.hpp), such as sequential");

 public:
  static constexpr std::size_t total = Net::param_count + Net::buffer_count;
  static constexpr std::size_t everything = std::numeric_limits<std::size_t>::max();

  constexpr explicit layer_slices(std::size_t bucket) {
    layer_slice open;
    for (std::size_t i = 0; i < Net::depth; ++i) {
      const std::size_t params = Net::param_offset(i + 1) - Net::param_offset(i);
      const std::size_t buffers = Net::buffer_offset(i + 1) - Net::buffer_offset(i);
      of_layer_[i] = params + buffers > 0 ? count_ : none;
      if (of_layer_[i] == none) continue;
      if (open.scalars() == 0) open = {i, Net::param_offset(i), 0, Net::buffer_offset(i), 0};
      open.params += params;
      open.buffers += buffers;
      if (open.scalars() * sizeof(float) < bucket) continue;
      slices_[count_++] = open;
      open = {};
    }
    if (open.scalars() > 0) slices_[count_++] = open;
  }

  static constexpr std::size_t none = everything;
  [[nodiscard]] constexpr std::size_t size() const { return count_; }
  constexpr const layer_slice& operator[](std::size_t s) const { return slices_[s]; }
  /// The slice with the values of a layer, none for layers without.
  [[nodiscard]] constexpr std::size_t of_layer(std::size_t layer) const { return of_layer_[layer]; }
  /// Scalars of the largest slice.
  [[nodiscard]] constexpr std::size_t largest() const {
    std::size_t most = 0;
    for (std::size_t s = 0; s < count_; ++s) most = std::max(most, slices_[s].scalars());
    return most;
  }

 private:
  std::array<layer_slice, Net::depth> slices_{};
  std::array<std::size_t, Net::depth> of_layer_{};
  std::size_t count_{};
};

/// Calls f(piece) for the pieces of at most `room` scalars that a slice travels in, first to last.
template <class F>
void for_each_piece(const layer_slice& s, std::size_t room, F&& f) {
  for (std::size_t from = 0; from < s.scalars(); from += std::min(room, s.scalars() - from)) {
    const std::size_t to = from + std::min(room, s.scalars() - from);
    const std::size_t p0 = std::min(from, s.params), p1 = std::min(to, s.params);
    f(layer_slice{.layer = s.layer,
                  .first_param = s.first_param + p0,
                  .params = p1 - p0,
                  .first_buffer = s.first_buffer + (from - p0),
                  .buffers = (to - p1) - (from - p0)});
  }
}

/// Where a slice lies in a network's arenas: parameters, then statistics.
template <Backend B>
std::array<std::span<typename B::scalar>, 2> slice_parts(network_view<B> values,
                                                         const layer_slice& s) {
  return {values.params.subspan(s.first_param, s.params),
          values.buffers.subspan(s.first_buffer, s.buffers)};
}

/// Copies a slice between a network's arenas and a message: parameters, then statistics.
template <Backend B>
void download_slice(B& b, network_view<B> values, const layer_slice& s, std::span<float> message) {
  b.download(values.params.data() + s.first_param, message.first(s.params));
  b.download(values.buffers.data() + s.first_buffer, message.subspan(s.params, s.buffers));
}
template <Backend B>
void upload_slice(B& b, std::span<const float> message, const layer_slice& s,
                  network_view<B> values) {
  b.upload(message.first(s.params), values.params.data() + s.first_param);
  b.upload(message.subspan(s.params, s.buffers), values.buffers.data() + s.first_buffer);
}

/// The weighted mean of slices that arrive one after the other: sums in double, in the order they
/// are added, so that equal slices give themselves, bit for bit, and none is kept.
class slice_mean {
 public:
  explicit slice_mean(std::size_t largest) : sum_(largest) {}
  void begin() { weight_ = 0, count_ = 0; }
  void add(std::span<const float> values, double weight) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double term = weight * static_cast<double>(values[i]);
      sum_[i] = count_ == 0 ? term : sum_[i] + term;  // -0 stays -0
    }
    weight_ += weight;
    ++count_;
  }
  /// Whether there was nothing to add.
  [[nodiscard]] bool empty() const { return count_ == 0; }
  void finish(std::span<float> values) const {
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(sum_[i] / weight_);
  }

 private:
  std::vector<double> sum_;
  double weight_{};
  int count_{};
};

/// Charges the compute of a pass layer by layer, so that a communicator that models time sees when
/// each slice was ready; `finish` charges what is left of the pass.
template <Communicator C>
class layer_charge {
 public:
  layer_charge(C& comm, double flops) : comm_(&comm), left_(flops) {}
  void layer(double flops) {
    const double part = std::min(flops, left_);
    left_ -= part;
    charge(*comm_, part);
  }
  void finish() { layer(left_); }

 private:
  C* comm_;
  double left_;
};

}  // namespace gantry::dist
