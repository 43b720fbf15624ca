// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The walk over a list of layers at compile time: extents, offsets, which activations share memory.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>

#include "gantry/concepts/layer.hpp"

namespace gantry::inline v0::nn {

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
template <class L>
inline constexpr bool is_piecewise_linear = requires {
  requires L::piecewise_linear;
};
/// Activations say which function they are.
template <class L>
inline constexpr bool is_activation = is_in_place<L>&& requires(const L& l) {
  l.function();
};
template <class L>
inline constexpr bool is_coupling = requires {
  requires L::couples_samples;
};

/// Layers that PyTorch has as functions in front of a module take no number in names of tensors.
template <class L>
inline constexpr bool is_numbered = [] {
  if constexpr (requires { L::is_numbered; })
    return L::is_numbered;
  else
    return true;
}();

/// Classes that a layer's labels may be of; 0 for layers without labels.
template <class L>
inline constexpr int class_count = [] {
  if constexpr (requires { L::classes; })
    return L::classes;
  else
    return 0;
}();

/// Random streams a layer uses; layers made of layers have more than one.
template <class L>
inline constexpr std::uint32_t stream_count = [] {
  if constexpr (requires { L::stream_count; })
    return L::stream_count;
  else
    return 1u;
}();

/// Whether a layer can keep two batches of one pass apart (concepts/layer.hpp).
template <class L>
constexpr bool takes_pairs(hwc in) {
  if constexpr (requires { L::takes_pairs; })
    return L::takes_pairs;
  else
    return !is_coupling<L> && class_count<L> == 0 && L::buffer_count(in) == 0;
}

/// Scalars a layer keeps from forward to backward for n samples; layers made of layers keep
/// activations, whose size is the layout's business.
template <class L, class Layout, hwc In>
constexpr std::size_t saved_elements(int n) {
  if constexpr (requires { L::template saved_elements<Layout, In>(n); })
    return L::template saved_elements<Layout, In>(n);
  else
    return L::saved_count(In, n);
}
/// Scratch of one call, and what stays from a backward until the passes of a penalty.
template <class L, class Layout, hwc In>
constexpr std::size_t workspace_elements(int n) {
  if constexpr (requires { L::template workspace_elements<Layout, In>(n); })
    return L::template workspace_elements<Layout, In>(n);
  else
    return 0;
}
template <class L, class Layout, hwc In>
constexpr std::size_t kept_elements(int n) {
  if constexpr (requires { L::template kept_elements<Layout, In>(n); })
    return L::template kept_elements<Layout, In>(n);
  else
    return 0;
}

/// The layer objects of a network, by index. Not a std::tuple: g++ 12 zeroes the default member
/// initialisers of elements behind an empty one.
template <std::size_t I, class L>
struct layer_at {
  L value{};
};
template <class Indices, class... Layers>
struct layer_list;
template <std::size_t... I, class... Layers>
struct layer_list<std::index_sequence<I...>, Layers...> : layer_at<I, Layers>... {};

template <std::size_t I, class L>
constexpr L& get(layer_at<I, L>& at) {
  return at.value;
}
template <std::size_t I, class L>
constexpr const L& get(const layer_at<I, L>& at) {
  return at.value;
}

/// A list of layers whose input is not known yet: what residual blocks are made of.
template <class... Layers>
struct layer_pack {
  static constexpr std::size_t depth = sizeof...(Layers);
  using objects = layer_list<std::make_index_sequence<depth>, Layers...>;
  template <class T>
  using per_boundary = std::array<T, depth + 1>;
  template <std::size_t I>
  using layer_type = std::tuple_element_t<I, std::tuple<Layers...>>;

  /// [i] goes into layer i, [i + 1] comes out.
  static constexpr per_boundary<hwc> shapes(hwc in) {
    per_boundary<hwc> s{in};
    std::size_t i = 0;
    ((s[i + 1] = Layers::output_shape(s[i]), ++i), ...);
    return s;
  }
  static constexpr per_boundary<std::size_t> param_offsets(hwc in) {
    [[maybe_unused]] const auto s = shapes(in);
    per_boundary<std::size_t> o{};
    std::size_t i = 0;
    ((o[i + 1] = o[i] + Layers::param_count(s[i]), ++i), ...);
    return o;
  }
  static constexpr per_boundary<std::size_t> buffer_offsets(hwc in) {
    [[maybe_unused]] const auto s = shapes(in);
    per_boundary<std::size_t> o{};
    std::size_t i = 0;
    ((o[i + 1] = o[i] + Layers::buffer_count(s[i]), ++i), ...);
    return o;
  }
  static constexpr flop_count flops(hwc in) {
    [[maybe_unused]] const auto s = shapes(in);
    flop_count sum;
    std::size_t i = 0;
    ((sum = sum + Layers::flops(s[i]), ++i), ...);
    return sum;
  }
  template <hwc In>
  static constexpr bool validate() {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return (Layers::template validate<shapes(In)[I]>() && ...);
    }
    (std::make_index_sequence<depth>{});
  }
  static constexpr std::array<bool, depth> in_place{is_in_place<Layers>...};
  static constexpr std::array<bool, depth> keeps_output{needs_own_output<Layers>...};
  static constexpr std::array<bool, depth> bends{!is_piecewise_linear<Layers>...};
  static constexpr bool piecewise_linear = (is_piecewise_linear<Layers> && ...);
  static constexpr bool couples_samples = (is_coupling<Layers> || ...);
  static constexpr int classes = std::max({0, class_count<Layers>...});
  static constexpr bool takes_pairs(hwc in) {
    [[maybe_unused]] const auto s = shapes(in);
    std::size_t i = 0;
    return (nn::takes_pairs<Layers>(s[i++]) && ...);
  }

  /// First random stream of each layer.
  static constexpr per_boundary<std::uint32_t> streams = [] {
    per_boundary<std::uint32_t> o{};
    std::size_t i = 0;
    ((o[i + 1] = o[i] + stream_count<Layers>, ++i), ...);
    return o;
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
};

template <class Input, class... Layers>
struct plan {
  static_assert(
      requires { Input::shape; },
      "sequential<input, layers...>: the first argument must be the input, image<H, W, C> or "
      "latent<N>");
  static_assert(sizeof...(Layers) > 0, "sequential<input, layers...>: give at least one layer");
  using pack = layer_pack<Layers...>;
  static constexpr std::size_t depth = pack::depth;
  template <class T>
  using per_boundary = std::array<T, depth + 1>;
  template <std::size_t I>
  using layer_type = typename pack::template layer_type<I>;

  /// shapes[i] goes into layer i, shapes[i + 1] comes out.
  static constexpr per_boundary<hwc> shapes = pack::shapes(Input::shape);
  static constexpr per_boundary<std::size_t> param_offsets = pack::param_offsets(Input::shape);
  static constexpr per_boundary<std::size_t> buffer_offsets = pack::buffer_offsets(Input::shape);
  static constexpr std::size_t params_of(std::size_t i) {
    return param_offsets[i + 1] - param_offsets[i];
  }
  static constexpr std::size_t buffers_of(std::size_t i) {
    return buffer_offsets[i + 1] - buffer_offsets[i];
  }

  static constexpr std::array<bool, depth> reshapes{is_reshape<Layers>...};
  static constexpr std::array<bool, depth> flattens{is_flattening<Layers>...};
  /// Number of layer i in names of tensors.
  static constexpr std::size_t number(std::size_t i) {
    constexpr std::array<bool, depth> counts{is_numbered<Layers>...};
    return static_cast<std::size_t>(std::count(counts.begin(), counts.begin() + i, true));
  }

  /// First layer that has parameters; nothing before it is back-propagated unless dx is wanted.
  static constexpr std::size_t first_parameter_layer = [] {
    std::size_t i = 0;
    while (i < depth && params_of(i) == 0) ++i;
    return i;
  }();

  static constexpr per_boundary<std::size_t> slots = pack::slots;
  static constexpr flop_count flops = pack::flops(Input::shape);
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

  static constexpr bool valid = pack::template validate<Input::shape>();
  static constexpr bool takes_pairs = pack::takes_pairs(Input::shape);
};

}  // namespace gantry::nn
