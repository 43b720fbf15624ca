// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Layers that change images at random while training, for the front of a discriminator: it sees
// real and generated images changed alike, and the generator's gradient passes through the change
// (Zhao et al., arXiv 2006.10738). DiffAugment's policy "color,translation,cutout" is
// sequential<image<32, 32, 3>, augment_color, augment_translation, augment_cutout, conv2d<...>,
// ...>. In evaluation they do nothing.
#pragma once

#include "gantry/nn/parts.hpp"
#include "gantry/ops/augment.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry {

namespace nn {

/// Which of a layer's three linear maps to launch: the change itself, its transpose, or its linear
/// part.
enum class augment_pass { forward, transposed, linear };

/// Base: `Layer::change<In>(b, from, to, random, pass)` launches the op. The random numbers are a
/// function of the step's stream, so that the backward draws them again instead of keeping them.
template <class Layer>
struct augmentation : parameter_free {
  static constexpr bool in_place = true;
  static constexpr bool piecewise_linear = true;
  float probability{1.0f};  ///< that a sample is changed, each sample by itself

  static constexpr hwc output_shape(hwc in) { return in; }
  template <hwc>
  static constexpr bool validate() {
    return true;
  }

  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    apply<In>(b, a.x, a.y, a, augment_pass::forward);
  }
  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    if (a.dx.data) apply<In>(b, a.dy, a.dx, a, augment_pass::transposed);
  }
  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    apply<In>(b, a.tx, a.ty, a, augment_pass::linear);
  }

 private:
  template <hwc In, Backend B, class Args>
  void apply(B& b, const_batch_of<typename B::storage> from, batch_of<typename B::storage> to,
             const Args& a, augment_pass pass) const {
    if (a.run_mode == mode::train)
      static_cast<const Layer&>(*this).template change<In>(b, from, to, a.random, pass);
    else if (from.data != to.data)
      launch(b, ops::copy{}, {from.data, to.data, B::storage::layout::elements(In, from.n)});
  }
};

/// Sets the probability of all augmentations of a network, as an adaptive_probability asks for.
template <class Net>
void set_augment_probability(Net& net, float probability) {
  net.for_each_layer([probability](auto& layer) {
    if constexpr (requires { layer.probability; }) layer.probability = probability;
  });
}

}  // namespace nn

/// Brightness by up to 1/2 (images are in -1 .. 1), saturation times 0 .. 2, contrast times
/// 1/2 .. 3/2.
struct augment_color : nn::augmentation<augment_color> {
  static constexpr std::string_view name = "augment_color";
  template <hwc In>
  using required_ops = op_list<ops::augment_color<In>, ops::copy>;

  template <hwc In, Backend B>
  void change(B& b, const_batch_of<typename B::storage> from, batch_of<typename B::storage> to,
              const stream_id& random, nn::augment_pass pass) const {
    launch(b, ops::augment_color<In>{},
           {from, to, probability, random, pass == nn::augment_pass::forward});
  }
};

/// Up to `ratio` of the extents, zeros from outside.
struct augment_translation : nn::augmentation<augment_translation> {
  static constexpr std::string_view name = "augment_translation";
  float ratio{0.125f};
  template <hwc In>
  using required_ops = op_list<ops::augment_translation<In>, ops::copy>;

  template <hwc In, Backend B>
  void change(B& b, const_batch_of<typename B::storage> from, batch_of<typename B::storage> to,
              const stream_id& random, nn::augment_pass pass) const {
    launch(b, ops::augment_translation<In>{},
           {from, to, probability, ratio, random, pass == nn::augment_pass::transposed});
  }
};

/// Zeros in a rectangle of `ratio` times the extents, of which a part may lie outside.
struct augment_cutout : nn::augmentation<augment_cutout> {
  static constexpr std::string_view name = "augment_cutout";
  float ratio{0.5f};
  template <hwc In>
  using required_ops = op_list<ops::augment_cutout<In>, ops::copy>;

  template <hwc In, Backend B>
  void change(B& b, const_batch_of<typename B::storage> from, batch_of<typename B::storage> to,
              const stream_id& random, nn::augment_pass) const {
    launch(b, ops::augment_cutout<In>{}, {from, to, probability, ratio, random});
  }
};

/// Left for right in every second sample.
struct augment_flip : nn::augmentation<augment_flip> {
  static constexpr std::string_view name = "augment_flip";
  template <hwc In>
  using required_ops = op_list<ops::augment_flip<In>, ops::copy>;

  template <hwc In, Backend B>
  void change(B& b, const_batch_of<typename B::storage> from, batch_of<typename B::storage> to,
              const stream_id& random, nn::augment_pass) const {
    launch(b, ops::augment_flip<In>{}, {from, to, probability, random});
  }
};

}  // namespace gantry
