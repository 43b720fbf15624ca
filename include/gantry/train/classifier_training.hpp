// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numbers>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/rng.hpp"
#include "gantry/data/sampler.hpp"
#include "gantry/dist/network_state.hpp"
#include "gantry/ops/loss.hpp"
#include "gantry/optim/optimizers.hpp"
#include "gantry/train/classifier_weights.hpp"

namespace gantry::inline v0::train {

namespace detail {

/// Mirrors one image in two and moves each by up to `shift` pixels in both directions; what comes
/// in from outside is 0, the middle of the range of pixels.
inline void vary_images(std::span<float> images, hwc shape, int shift, const stream_id& id) {
  random_sequence draw(id);
  const auto size = static_cast<std::size_t>(shape.size());
  const auto move = [&] {
    return static_cast<int>(draw.below(2 * static_cast<std::uint32_t>(shift) + 1)) - shift;
  };
  std::vector<float> original(size);
  for (std::size_t first = 0; first < images.size(); first += size) {
    const auto image = images.subspan(first, size);
    std::ranges::copy(image, original.begin());
    const bool mirrored = draw.below(2) == 1;
    const int down = move(), right = move();
    float* to = image.data();
    for (int y = 0; y < shape.h; ++y)
      for (int x = 0; x < shape.w; ++x, to += shape.c) {
        const int row = y - down, column = (mirrored ? shape.w - 1 - x : x) - right;
        if (row >= 0 && row < shape.h && column >= 0 && column < shape.w)
          std::copy_n(original.data() + (row * shape.w + column) * shape.c, shape.c, to);
        else
          std::fill_n(to, shape.c, 0.0f);
      }
  }
}

}  // namespace detail

namespace detail {

template <class Net>
Net with_he_initialisation() {
  Net net;
  net.for_each_layer([](auto& layer) {
    if constexpr (requires { layer.weight_init; })
      layer.weight_init.how = nn::initialiser::rule::he;
  });
  return net;
}

/// Far from the numbers of players and workers, whose streams a run with the same seed draws.
inline constexpr std::uint32_t classifier_stream = 0xC1A5'0000;

}  // namespace detail

/// Where a training with seed 0 begins, always the same: the features of a random network, for
/// images without labels.
template <class Networks>
classifier_weights<Networks> untrained_weights() {
  classifier_weights<Networks> weights;
  const auto draw = [](const auto& net, std::vector<float>& params, std::uint32_t player) {
    net.initialise(params, {},
                   {.worker = detail::classifier_stream + player, .use = purpose::initialise});
  };
  draw(detail::with_he_initialisation<typename Networks::features>(), weights.features, 0);
  draw(detail::with_he_initialisation<typename Networks::head>(), weights.head, 1);
  return weights;
}

/// Trains both networks together by softmax cross-entropy.
template <Backend B, class Networks = grey_classifier>
class classifier_training {
  using feature_network = typename Networks::features;
  using head_network = typename Networks::head;
  static constexpr hwc input_shape = feature_network::input_shape;
  static constexpr int classes = head_network::output_shape.c;

 public:
  /// @throws usage_error for images of another size than the network's, labels that are missing or
  /// too high, or a setting below its least value
  classifier_training(B& b, const data::image_set& images, const classifier_settings& settings)
      : backend_(&b),
        settings_((check(images, settings), settings)),
        source_(all_of(images), settings.seed, stream),
        features_(b, detail::with_he_initialisation<feature_network>(), optimizer),
        head_(b, detail::with_he_initialisation<head_network>(), optimizer),
        feature_tape_(b, settings.batch),
        head_tape_(b, settings.batch),
        input_(b.allocate(B::storage::layout::elements(input_shape, settings.batch))),
        sums_(b.allocate(2)),
        host_(static_cast<std::size_t>(settings.batch) * input_shape.size()) {
    features_.initialise(b, settings.seed, stream);
    head_.initialise(b, settings.seed, stream + 1);
  }

  /// The trained weights: on one build a pure function of images and settings, for any number of
  /// threads.
  /// @throws numeric_error if training diverges
  classifier_weights<Networks> run() {
    const auto steps = static_cast<std::uint32_t>(
        std::max(std::int64_t{1}, source_.size() * settings_.passes / settings_.batch));
    for (std::uint32_t step = 0; step < steps; ++step) {
      features_.optimizer.rate = head_.optimizer.rate = rate_at(static_cast<double>(step) / steps);
      learn(step);
    }
    float loss = 0;
    backend_->download(sums_.data(), {&loss, 1});
    // Activations that are max(x, 0) hide NaN, so a loss can stay finite; a guess costs ln 10.
    if (const float mean = loss / static_cast<float>(steps); !(mean < 10.0f))
      throw numeric_error("the mean loss of the classifier was expected to be below 10 and is " +
                          std::to_string(mean) + "; train it with a smaller rate than " +
                          std::to_string(settings_.rate));
    classifier_weights<Networks> weights;
    backend_->download(features_.values().params.data(), weights.features);
    backend_->download(head_.values().params.data(), weights.head);
    return weights;
  }

 private:
  static constexpr optim::adam optimizer{.beta1 = 0.9f};
  static constexpr std::uint32_t stream = detail::classifier_stream;

  static void check(const data::image_set& images, const classifier_settings& settings) {
    expects(settings.passes >= 1 && settings.batch >= 1 && settings.rate > 0 &&
                settings.shift >= 0 && settings.shift < input_shape.h,
            "a classifier is trained with at least 1 pass, a batch of at least 1, a rate above 0 "
            "and shifts shorter than its images; correct its settings");
    if (hwc{images.height, images.width, images.channels} != input_shape || images.size() < 1)
      throw usage_error("the classifier is trained on " + std::string(Networks::images) +
                        "; pass the set as it was read, before it is padded or resized");
    if (images.labels.size() != images.size() ||
        !std::ranges::all_of(images.labels, [](std::uint8_t label) { return label < classes; }))
      throw usage_error("the classifier needs a label from 0 to " + std::to_string(classes - 1) +
                        " for each image; pass a labelled set of " + std::to_string(classes) +
                        " classes");
  }

  static data::shard all_of(const data::image_set& images) {
    data::index_list all(images.size());
    std::iota(all.begin(), all.end(), 0u);
    return {std::shared_ptr<const data::image_set>(std::shared_ptr<void>(), &images),
            std::move(all)};
  }

  /// Up in a line over the first twentieth, down in half a cosine to 0; `done` is the part of all
  /// steps taken.
  [[nodiscard]] float rate_at(double done) const {
    const double falling = 0.5 * (1.0 + std::cos(std::numbers::pi * done));
    return static_cast<float>(settings_.rate * std::min(1.0, 0.01 + 20.0 * done) * falling);
  }

  void learn(std::uint32_t step) {
    B& b = *backend_;
    const batch_of<typename B::storage> x{input_.data(), settings_.batch};
    source_.read(step, host_, settings_.batch);
    if (settings_.shift > 0)
      detail::vary_images(
          host_, input_shape, settings_.shift,
          {.seed = settings_.seed, .step = step, .worker = stream, .use = purpose::evaluation});
    launch(b, ops::import_samples<input_shape>{}, {host_.data(), x});
    features_.clear_gradients(b);
    head_.clear_gradients(b);
    features_.network.forward(b, features_.values(), x, feature_tape_, mode::train, {});
    const auto features = feature_tape_.output();
    head_.network.forward(b, head_.values(), features, head_tape_, mode::train, {});
    launch(b, ops::softmax_cross_entropy<classes>{},
           {head_tape_.output(), source_.labels(step, settings_.batch).data(),
            head_tape_.output_gradient(), sums_.data(), sums_.data() + 1});
    head_.network.backward(b, head_.values(), features, head_tape_, head_.gradients(),
                           feature_tape_.output_gradient());
    features_.network.backward(b, features_.values(), x, feature_tape_, features_.gradients(), {});
    features_.update(b);
    head_.update(b);
  }

  B* backend_;
  classifier_settings settings_;
  data::shuffled_source source_;
  dist::network_state<feature_network, optim::adam, B> features_;
  dist::network_state<head_network, optim::adam, B> head_;
  typename feature_network::template tape<B> feature_tape_;
  typename head_network::template tape<B> head_tape_;
  typename B::buffer_type input_, sums_;  ///< sums: loss and correct answers over all steps
  std::vector<float> host_;
};

}  // namespace gantry::train
