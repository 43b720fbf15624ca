// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// One of the two players of a GAN, with its network and the tapes of one round; strategies are
// written in terms of these.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/rng.hpp"
#include "gantry/concepts/strategy.hpp"
#include "gantry/dist/network_state.hpp"
#include "gantry/ops/draw.hpp"

namespace gantry::inline v0::dist {

/// Generator with `batches` tapes, so that several batches can wait for their feedback.
template <Topology T, Backend B>
class generator_player {
 public:
  using state_type =
      network_state<typename T::generator_type, typename T::generator_optimizer_type, B>;
  using tape_type = typename T::generator_type::template tape<B>;
  static constexpr hwc latent_shape = T::latent_shape, sample_shape = T::sample_shape;

  /// Worker w's generator starts from the same weights as any other and draws from streams of its
  /// own.
  generator_player(B& b, const common_config<T>& common, int batches, std::uint32_t worker = 0)
      : backend_(&b),
        batch_(common.batch),
        worker_(worker),
        state_(b, common.topology.generator, common.topology.generator_optimizer) {
    state_.initialise(b, common.seed, 0);
    for (int j = 0; j < batches; ++j) {
      tapes_.push_back(std::make_unique<tape_type>(b, batch_));
      latents_.push_back(b.allocate(latent_elements(batch_)));
      labels_.emplace_back(T::classes > 0 ? static_cast<std::size_t>(batch_) : 0);
    }
    if (!draws_latents)
      host_latents_.resize(static_cast<std::size_t>(batch_) * latent_shape.size());
  }

  /// Bytes that an object allocates from its backend.
  static constexpr std::size_t bytes(int batch, int batches) {
    using scalar = typename B::scalar;
    return state_type::bytes() + static_cast<std::size_t>(batches) *
                                     (allocation_bytes<scalar>(tape_type::elements(batch)) +
                                      allocation_bytes<scalar>(latent_elements(batch)));
  }

  /// Batch j of an index: latents, and for conditional networks classes, from the streams of
  /// (index, worker, j), one forward in training mode.
  batch_of<typename B::storage> generate(std::uint64_t seed, std::uint32_t index, std::uint32_t j) {
    return generate_as(j, seed, index, j);
  }
  /// Batch j from the streams of another, `name`.
  batch_of<typename B::storage> generate_as(std::uint32_t name, std::uint64_t seed,
                                            std::uint32_t index, std::uint32_t j) {
    const std::uint32_t stream = name | worker_ << 16;
    if constexpr (T::classes > 0) {
      random_sequence draw(
          {.seed = seed, .step = index, .worker = stream, .use = purpose::latent, .salt = 1});
      for (std::uint8_t& label : labels_[j])
        label = static_cast<std::uint8_t>(draw.below(T::classes));
    }
    const batch_of<typename B::storage> z{latents_[j].data(), batch_};
    const stream_id normal{.seed = seed, .step = index, .worker = stream, .use = purpose::latent};
    if constexpr (draws_latents) {
      launch(*backend_, ops::draw_normal<latent_shape>{}, {z, normal});
    } else {
      fill_normal(std::span<float>(host_latents_), normal);
      launch(*backend_, ops::import_samples<latent_shape>{}, {host_latents_.data(), z});
    }
    state_.network.forward(
        *backend_, state_.values(), {z, labels(j)}, *tapes_[j], mode::train,
        {.seed = seed, .step = index, .worker = stream, .use = purpose::dropout, .salt = 0xFFFF});
    return tapes_[j]->output();
  }

  /// Classes of batch j, null for networks without.
  [[nodiscard]] const std::uint8_t* labels(std::size_t j) const {
    return labels_[j].empty() ? nullptr : labels_[j].data();
  }
  /// The images of batch j, as `generate` left them.
  batch_of<typename B::storage> images(std::size_t j) { return tapes_[j]->output(); }
  /// Where the derivative of the loss by the images of batch j goes before `learn`.
  batch_of<typename B::storage> image_gradient(std::size_t j) {
    return tapes_[j]->output_gradient();
  }

  /// Images of batch j go into the caller's memory from now on.
  void place_images(std::size_t j, typename B::scalar* where) { tapes_[j]->place_output(where); }

  /// Calls `hooks` on the way through the layers with batch j from now on; null: nobody.
  void watch(const layer_hooks* hooks, std::size_t j = 0) { tapes_[j]->watch(hooks); }

  void begin_update() { state_.clear_gradients(*backend_); }
  /// Adds the parameter gradient of batch j; what image_gradient(j) held is gone.
  void learn(std::size_t j) {
    state_.network.backward_in_place(*backend_, state_.values(), {latents_[j].data(), batch_},
                                     *tapes_[j], state_.gradients());
  }
  void update() { state_.update(*backend_); }

  /// Images of given latents ([n][latent] to [n][h][w][c]) by the averaged generator in evaluation
  /// mode; latent i of a conditional network gets class i modulo their number. Uses tape 0, so only
  /// between rounds. @throws usage_error if the sizes do not fit
  void sample(std::span<const float> latents, std::span<float> images) {
    const std::size_t total = latents.size() / latent_shape.size();
    expects(
        latents.size() % latent_shape.size() == 0 && images.size() == total * sample_shape.size(),
        "sampling needs whole latents and room for exactly one image each; give n times the "
        "latent size and n times the image size");
    for (std::size_t first = 0; first < total; first += static_cast<std::size_t>(batch_)) {
      const int n = static_cast<int>(std::min(total - first, static_cast<std::size_t>(batch_)));
      const batch_of<typename B::storage> z{latents_[0].data(), n};
      launch(*backend_, ops::import_samples<latent_shape>{},
             {latents.data() + first * latent_shape.size(), z});
      for (std::size_t i = 0; i < labels_[0].size(); ++i)
        labels_[0][i] = static_cast<std::uint8_t>((first + i) % std::max(1, T::classes));
      state_.network.forward(*backend_, state_.averaged_values(), {z, labels(0)}, *tapes_[0],
                             mode::evaluate, {});
      launch(*backend_, ops::export_samples<sample_shape>{},
             {tapes_[0]->output(), images.data() + first * sample_shape.size(), 1.0f});
    }
    backend_->synchronize();
  }

  [[nodiscard]] state_type& state() { return state_; }

 private:
  /// Else the host draws them and sends them.
  static constexpr bool draws_latents = Implements<B, ops::draw_normal<latent_shape>>;
  static constexpr std::size_t latent_elements(int n) {
    return B::storage::layout::elements(latent_shape, n);
  }

  B* backend_;
  int batch_;
  std::uint32_t worker_;
  state_type state_;
  std::vector<std::unique_ptr<tape_type>> tapes_;
  std::vector<typename B::buffer_type> latents_;
  std::vector<std::vector<std::uint8_t>> labels_;
  std::vector<float> host_latents_;
};

}  // namespace gantry::dist
