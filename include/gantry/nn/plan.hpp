// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The walk over a list of layers at compile time: extents, offsets, which activations share memory.
#pragma once

#include <array>
#include <tuple>
#include <utility>

#include "gantry/concepts/layer.hpp"

namespace gantry::nn {

template <class L>
inline constexpr bool is_in_place = requires {
  requires L::in_place;
};
template <class L>
inline constexpr bool needs_own_output = requires {
  requires L::backward_needs_output;
};
template <class L>
inline constexpr bool is_reshape = requires {
  requires L::is_reshape;
};

template <class L>
inline constexpr bool is_flattening = requires {
  requires L::flattens_samples;
};

template <class Input, class... Layers>
struct plan {
  static_assert(
      requires { Input::shape; },
      "sequential<input, layers...>: the first argument must be the input, image<H, W, C> or "
      "latent<N>");
  static_assert(sizeof...(Layers) > 0, "sequential<input, layers...>: give at least one layer");
  static constexpr std::size_t depth = sizeof...(Layers);
  template <class T>
  using per_boundary = std::array<T, depth + 1>;

  template <std::size_t I>
  using layer_type = std::tuple_element_t<I, std::tuple<Layers...>>;

  /// shapes[i] goes into layer i, shapes[i + 1] comes out.
  static constexpr per_boundary<hwc> shapes = [] {
    per_boundary<hwc> s{Input::shape};
    std::size_t i = 0;
    ((s[i + 1] = Layers::output_shape(s[i]), ++i), ...);
    return s;
  }();
  static constexpr per_boundary<std::size_t> param_offsets = [] {
    per_boundary<std::size_t> o{};
    std::size_t i = 0;
    ((o[i + 1] = o[i] + Layers::param_count(shapes[i]), ++i), ...);
    return o;
  }();
  static constexpr per_boundary<std::size_t> buffer_offsets = [] {
    per_boundary<std::size_t> o{};
    std::size_t i = 0;
    ((o[i + 1] = o[i] + Layers::buffer_count(shapes[i]), ++i), ...);
    return o;
  }();
  static constexpr std::size_t params_of(std::size_t i) {
    return param_offsets[i + 1] - param_offsets[i];
  }
  static constexpr std::size_t buffers_of(std::size_t i) {
    return buffer_offsets[i + 1] - buffer_offsets[i];
  }

  static constexpr std::array<bool, depth> in_place{is_in_place<Layers>...};
  static constexpr std::array<bool, depth> keeps_output{needs_own_output<Layers>...};
  static constexpr std::array<bool, depth> reshapes{is_reshape<Layers>...};
  static constexpr std::array<bool, depth> flattens{is_flattening<Layers>...};

  /// First layer that has parameters; nothing before it is back-propagated unless dx is wanted.
  static constexpr std::size_t first_parameter_layer = [] {
    std::size_t i = 0;
    while (i < depth && params_of(i) == 0) ++i;
    return i;
  }();

  /// slots[i] is the memory of shapes[i]: an in-place layer writes into its input's memory, unless
  /// that is the caller's or the layer before still needs what is there. Slot 0 is the caller's
  /// input.
  static constexpr per_boundary<std::size_t> slots = [] {
    per_boundary<std::size_t> s{};
    std::size_t last = 0;
    for (std::size_t i = 0; i < depth; ++i) {
      const bool share = i > 0 && in_place[i] && !keeps_output[i - 1];
      s[i + 1] = share ? s[i] : ++last;
    }
    return s;
  }();

  static constexpr flop_count flops = [] {
    flop_count sum;
    std::size_t i = 0;
    ((sum = sum + Layers::flops(shapes[i]), ++i), ...);
    return sum;
  }();
  static constexpr double first_input_gradient_flops = [] {
    double first = 0;
    std::size_t i = 0;
    ((first += i <= first_parameter_layer ? Layers::flops(shapes[i]).input_gradient : 0.0, ++i),
     ...);
    return first;
  }();

  /// The image that a flattening layer reads or that is made of its output: what decides the order
  /// of its weights in PyTorch, which flattens channels first.
  static constexpr hwc seen_input(std::size_t i) {
    return flattens[i] && i > 0 && reshapes[i - 1] ? shapes[i - 1] : shapes[i];
  }
  static constexpr hwc seen_output(std::size_t i) {
    return flattens[i] && i + 1 < depth && reshapes[i + 1] ? shapes[i + 2] : shapes[i + 1];
  }

  static constexpr bool valid = []<std::size_t... I>(std::index_sequence<I...>) {
    return (Layers::template validate<shapes[I]>() && ...);
  }
  (std::make_index_sequence<depth>{});

  template <class Layout>
  static constexpr std::size_t activation_elements(std::size_t i, int n) {
    return Layout::elements(shapes[i], n);
  }
  static constexpr std::size_t saved_elements(std::size_t i, int n) {
    constexpr auto functions = std::array{&Layers::saved_count...};
    return functions[i](shapes[i], n);
  }
};

}  // namespace gantry::nn
