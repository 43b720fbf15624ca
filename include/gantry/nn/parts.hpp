// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What most layers share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/concepts/layer.hpp"

namespace gantry::inline v0::nn {

/// How a weight tensor starts: N(0, deviation^2) as DCGAN (Radford et al., arXiv 1511.06434,
/// section 4), N(0, 2 / fan_in) (He et al., arXiv 1502.01852), or N(0, deviation^2 / fan_in).
struct initialiser {
  enum class rule { normal, he, scaled } how{rule::normal};
  float deviation{0.02f};

  void operator()(std::span<float> weights, int fan_in, const stream_id& id) const {
    fill_normal(weights, id);
    const float root = std::sqrt(static_cast<float>(fan_in));
    const float scale = how == rule::normal ? deviation
                        : how == rule::he   ? std::sqrt(2.0f) / root
                                            : deviation / root;
    for (float& w : weights) w *= scale;
  }
};

/// Makes all layers of a network start by He's rule instead of DCGAN's.
template <class Net>
void use_he_initialisation(Net& net) {
  net.for_each_layer([](auto& layer) {
    if constexpr (requires { layer.weight_init; }) layer.weight_init.how = initialiser::rule::he;
  });
}

/// Base of layers without parameters, running statistics and products.
struct parameter_free {
  static constexpr std::size_t param_count(hwc) { return 0; }
  static constexpr std::size_t buffer_count(hwc) { return 0; }
  static constexpr std::size_t saved_count(hwc, int) { return 0; }
  static constexpr flop_count flops(hwc) { return {}; }
  static std::vector<tensor_info> tensors(hwc, hwc) { return {}; }
  void initialise(std::span<float>, std::span<float>, hwc, const stream_id&) const {}
};

/// Describes a tensor whose storage order is PyTorch's.
inline tensor_info plain_tensor(std::string name, std::size_t offset, int length,
                                bool is_buffer = false) {
  return {std::move(name), offset, {length}, {0}, {length}, is_buffer};
}

/// Describes a vector over the channels of an image of extents s, which PyTorch flattens channels
/// first.
inline tensor_info flattened_tensor(std::string name, std::size_t offset, hwc s) {
  return {std::move(name), offset, {s.h, s.w, s.c}, {2, 0, 1}, {s.size()}, false};
}

}  // namespace gantry::nn
