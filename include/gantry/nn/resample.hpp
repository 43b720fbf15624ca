// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Layers that change the number of pixels and treat all channels alike. All are linear.
#pragma once

#include <string_view>

#include "gantry/nn/parts.hpp"
#include "gantry/ops/resample.hpp"

namespace gantry::inline v0 {

namespace nn {

/// Base of layers without parameters that are a linear map. Map supplies `out(in)`, and
/// `apply<In>(b, x, y)` with its adjoint `apply_adjoint<In>(b, dy, dx)`.
template <class Map>
struct linear_map : parameter_free {
  static constexpr bool piecewise_linear = true;
  static constexpr hwc output_shape(hwc in) { return Map::out(in); }
  template <hwc In>
  using required_ops = typename Map::template ops_on<In>;

  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    Map::template apply<In>(b, a.x, a.y);
  }
  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    if (a.dx.data) Map::template apply_adjoint<In>(b, a.dy, a.dx);
  }
  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    Map::template apply<In>(b, a.tx, a.ty);
  }
};

template <class B>
using input_of = const_batch_of<typename B::storage>;
template <class B>
using output_of = batch_of<typename B::storage>;

template <int Factor>
struct nearest_map {
  static constexpr hwc out(hwc in) { return {in.h * Factor, in.w * Factor, in.c}; }
  static constexpr square_geometry geometry(hwc in) { return {out(in), Factor}; }
  template <hwc In>
  using ops_on = op_list<ops::spread_squares<geometry(In)>, ops::sum_squares<geometry(In)>>;
  template <hwc In, Backend B>
  static void apply(B& b, input_of<B> x, output_of<B> y) {
    launch(b, ops::spread_squares<geometry(In)>{}, {x, y, 1.0f});
  }
  template <hwc In, Backend B>
  static void apply_adjoint(B& b, input_of<B> dy, output_of<B> dx) {
    launch(b, ops::sum_squares<geometry(In)>{}, {dy, dx, 1.0f});
  }
};

template <int Factor>
struct average_map {
  static constexpr float share = 1.0f / (Factor * Factor);
  static constexpr square_geometry geometry(hwc in) { return {in, Factor}; }
  static constexpr hwc out(hwc in) { return geometry(in).small(); }
  template <hwc In>
  using ops_on = op_list<ops::sum_squares<geometry(In)>, ops::spread_squares<geometry(In)>>;
  template <hwc In, Backend B>
  static void apply(B& b, input_of<B> x, output_of<B> y) {
    launch(b, ops::sum_squares<geometry(In)>{}, {x, y, share});
  }
  template <hwc In, Backend B>
  static void apply_adjoint(B& b, input_of<B> dy, output_of<B> dx) {
    launch(b, ops::spread_squares<geometry(In)>{}, {dy, dx, share});
  }
};

template <int Factor>
struct bilinear_map {
  static constexpr bilinear_geometry geometry(hwc in) { return {in, Factor}; }
  static constexpr hwc out(hwc in) { return geometry(in).out(); }
  template <hwc In>
  using ops_on = op_list<ops::bilinear_forward<geometry(In)>, ops::bilinear_backward<geometry(In)>>;
  template <hwc In, Backend B>
  static void apply(B& b, input_of<B> x, output_of<B> y) {
    launch(b, ops::bilinear_forward<geometry(In)>{}, {x, y});
  }
  template <hwc In, Backend B>
  static void apply_adjoint(B& b, input_of<B> dy, output_of<B> dx) {
    launch(b, ops::bilinear_backward<geometry(In)>{}, {dy, dx});
  }
};

struct filter_halve_map {
  static constexpr hwc out(hwc in) { return {in.h / 2, in.w / 2, in.c}; }
  template <hwc In>
  using ops_on = op_list<ops::filter_halve<In>, ops::filter_double<In>>;
  template <hwc In, Backend B>
  static void apply(B& b, input_of<B> x, output_of<B> y) {
    launch(b, ops::filter_halve<In>{}, {x, y, 1.0f});
  }
  template <hwc In, Backend B>
  static void apply_adjoint(B& b, input_of<B> dy, output_of<B> dx) {
    launch(b, ops::filter_double<In>{}, {dy, dx, 1.0f});
  }
};

/// Four times the adjoint: half of the weights fall on the zeros between the pixels.
struct filter_double_map {
  static constexpr hwc out(hwc in) { return {in.h * 2, in.w * 2, in.c}; }
  template <hwc In>
  using ops_on = op_list<ops::filter_double<out(In)>, ops::filter_halve<out(In)>>;
  template <hwc In, Backend B>
  static void apply(B& b, input_of<B> x, output_of<B> y) {
    launch(b, ops::filter_double<out(In)>{}, {x, y, 4.0f});
  }
  template <hwc In, Backend B>
  static void apply_adjoint(B& b, input_of<B> dy, output_of<B> dx) {
    launch(b, ops::filter_halve<out(In)>{}, {dy, dx, 4.0f});
  }
};

template <bool Average>
struct global_map {
  static constexpr float scale(hwc in) {
    return Average ? 1.0f / static_cast<float>(in.pixels()) : 1.0f;
  }
  static constexpr hwc out(hwc in) { return {1, 1, in.c}; }
  template <hwc In>
  using ops_on = op_list<ops::sum_pixels<In>, ops::spread_pixels<In>>;
  template <hwc In, Backend B>
  static void apply(B& b, input_of<B> x, output_of<B> y) {
    launch(b, ops::sum_pixels<In>{}, {x, y, scale(In)});
  }
  template <hwc In, Backend B>
  static void apply_adjoint(B& b, input_of<B> dy, output_of<B> dx) {
    launch(b, ops::spread_pixels<In>{}, {dy, dx, scale(In)});
  }
};

}  // namespace nn

/// Repeats every pixel Factor x Factor times. PyTorch's Upsample(mode="nearest").
template <int Factor>
struct upsample_nearest : nn::linear_map<nn::nearest_map<Factor>> {
  static_assert(Factor > 0, "upsample_nearest<Factor>: the factor must be positive");
  static constexpr std::string_view name = "upsample_nearest";
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
};

/// Enlarges by linear interpolation in both axes. PyTorch's Upsample(mode="bilinear",
/// align_corners=False).
template <int Factor>
struct upsample_bilinear : nn::linear_map<nn::bilinear_map<Factor>> {
  static_assert(Factor > 0, "upsample_bilinear<Factor>: the factor must be positive");
  static constexpr std::string_view name = "upsample_bilinear";
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
};

/// The mean of every square of Factor x Factor pixels; rows and columns that fill no square are
/// left out. PyTorch's AvgPool2d(Factor).
template <int Factor>
struct average_pool : nn::linear_map<nn::average_map<Factor>> {
  static_assert(Factor > 0, "average_pool<Factor>: the factor must be positive");
  static constexpr std::string_view name = "average_pool";
  template <hwc In>
  static constexpr bool validate() {
    static_assert(In.h >= Factor && In.w >= Factor,
                  "average_pool<Factor>: the factor is larger than the image; use fewer pools or "
                  "strided layers before it");
    return true;
  }
};

/// Half as many rows and columns behind a low-pass filter, R3GAN's down-sampling (Huang et al.,
/// arXiv 2501.05441, and its code: resampling filter [1, 2, 1]): [1, 2, 1] after the mean of two is
/// [1, 3, 3, 1] / 8 in each axis, with zeros outside.
struct downsample_filtered : nn::linear_map<nn::filter_halve_map> {
  static constexpr std::string_view name = "downsample_filtered";
  template <hwc In>
  static constexpr bool validate() {
    static_assert(In.h % 2 == 0 && In.w % 2 == 0,
                  "downsample_filtered: height and width must be even; pad the image or use "
                  "average_pool");
    return true;
  }
};

/// Twice as many rows and columns, R3GAN's up-sampling: downsample_filtered's adjoint, times 4.
/// Inside it is upsample_bilinear<2>; at the edges it reads zeros instead of the last pixel.
struct upsample_filtered : nn::linear_map<nn::filter_double_map> {
  static constexpr std::string_view name = "upsample_filtered";
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
};

/// The sum over all pixels, extents 1 x 1 x c (the discriminators of Miyato et al., arXiv
/// 1802.05957).
struct global_sum_pool : nn::linear_map<nn::global_map<false>> {
  static constexpr std::string_view name = "global_sum_pool";
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
};

/// The mean over all pixels, extents 1 x 1 x c. PyTorch's AdaptiveAvgPool2d(1).
struct global_average_pool : nn::linear_map<nn::global_map<true>> {
  static constexpr std::string_view name = "global_average_pool";
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
};

}  // namespace gantry
