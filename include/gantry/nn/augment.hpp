// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Layers that change images at random while training, for the front of a discriminator: it sees
// real and generated images changed alike, and the generator's gradient passes through the change
// (Zhao et al., arXiv 2006.10738). DiffAugment's policy "color,translation,cutout" is
// sequential<image<32, 32, 3>, augment_color, augment_translation, augment_cutout, conv2d<...>,
// ...>, or augmented_network<sequential<image<32, 32, 3>, conv2d<...>, ...>> with the choice at run
// time. In evaluation they do nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gantry/base/error.hpp"
#include "gantry/concepts/augmentation.hpp"
#include "gantry/nn/parts.hpp"
#include "gantry/ops/augment.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0 {

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
  static constexpr bool takes_pairs = false;  // draws for one batch
  float probability{1.0f};                    ///< that a sample is changed, each sample by itself

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

using gantry::set_augment_probability;

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

/// All of these behind each other, chosen at run time: DiffAugment's policy with its probability of
/// 1, or with `adaptive` the probability that keeps E sign D(real) at a target (Karras et al.,
/// arXiv 2006.06676), which training sets (dist/augmentation_control.hpp). For the front of a
/// discriminator, at most once, usually by augmented_network<Net>: takes no number in the names of
/// tensors and no random stream from the layers behind, so that probability 0 is the network
/// without it.
struct augment_images : nn::parameter_free {
  static constexpr std::string_view name = "augment_images";
  static constexpr bool in_place = true;
  static constexpr bool piecewise_linear = true;
  static constexpr bool is_numbered = false;
  static constexpr bool takes_pairs = false;        // draws for one batch
  static constexpr std::uint32_t stream_count = 0;  // purpose::augment is a stream of its own
  bool color{true}, translation{true}, cutout{true}, flip{false};  ///< made in this order
  float probability{1.0f};  ///< of each change, each sample by itself
  float translation_ratio{0.125f}, cutout_ratio{0.5f};
  std::optional<adaptive_probability> adaptive{};  ///< its value is the first probability

  /// Changes by name, such as "color,translation,cutout". @throws usage_error for other names
  static augment_images of(std::string_view changes) {
    augment_images a;
    a.color = a.translation = a.cutout = false;
    for (std::size_t begin = 0; begin <= changes.size();) {
      const std::size_t end = std::min(changes.find(',', begin), changes.size());
      const std::string_view word = changes.substr(begin, end - begin);
      bool* const chosen = word == "color"         ? &a.color
                           : word == "translation" ? &a.translation
                           : word == "cutout"      ? &a.cutout
                           : word == "flip"        ? &a.flip
                                                   : nullptr;
      if (!chosen)
        throw usage_error(
            "augmentations are named color, translation, cutout and flip, with "
            "commas between them; found '" +
            std::string(word) + "'");
      *chosen = true;
      begin = end + 1;
    }
    return a;
  }

  static constexpr hwc output_shape(hwc in) { return in; }
  template <hwc>
  static constexpr bool validate() {
    return true;
  }
  template <hwc In>
  using required_ops = op_list<ops::augment_color<In>, ops::augment_translation<In>,
                               ops::augment_cutout<In>, ops::augment_flip<In>, ops::copy>;

  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    apply<In>(b, a.x, a.y, a, nn::augment_pass::forward);
  }
  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    if (a.dx.data) apply<In>(b, a.dy, a.dx, a, nn::augment_pass::transposed);
  }
  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    apply<In>(b, a.tx, a.ty, a, nn::augment_pass::linear);
  }

 private:
  /// The changes in their order, or the transposed ones in the reverse order.
  template <hwc In, Backend B, class Args>
  void apply(B& b, const_batch_of<typename B::storage> from, batch_of<typename B::storage> to,
             const Args& a, nn::augment_pass pass) const {
    const auto make = [&](bool chosen, const auto& change, std::uint32_t number) {
      if (!chosen || a.run_mode != mode::train || !(probability > 0)) return;
      stream_id random = a.random;
      random.use = purpose::augment;
      random.salt += number;
      change.template change<In>(b, from, to, random, pass);
      from = to;
    };
    augment_color first;
    augment_translation second;
    augment_cutout third;
    augment_flip fourth;
    first.probability = second.probability = third.probability = fourth.probability = probability;
    second.ratio = translation_ratio;
    third.ratio = cutout_ratio;
    if (pass == nn::augment_pass::transposed) {
      make(flip, fourth, 3);
      make(cutout, third, 2);
      make(translation, second, 1);
      make(color, first, 0);
    } else {
      make(color, first, 0);
      make(translation, second, 1);
      make(cutout, third, 2);
      make(flip, fourth, 3);
    }
    if (from.data != to.data)
      launch(b, ops::copy{}, {from.data, to.data, B::storage::layout::elements(In, from.n)});
  }
};

}  // namespace gantry
