// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "gantry/dist/discriminator_player.hpp"
#include "gantry/dist/generator_player.hpp"
#include "gantry/dist/real_images.hpp"
#include "gantry/dist/real_labels.hpp"

namespace gantry::inline v0::dist {

/// Both players on one node, beside its real samples. Strategies whose nodes make their own fakes
/// are written in terms of it. Real and generated batches have an index, which names their random
/// streams: the same index gives the same batch, on a resumed run too.
template <Topology T, Backend B, BatchSource Source>
class local_gan {
 public:
  using batch_type = batch_of<typename B::storage>;
  static constexpr hwc shape = T::sample_shape;
  static_assert(require_labels<T, Source>::value, "see the message above");

  /// `worker` names the discriminator's initial weights, and the random streams of both players;
  /// `fakes` generated batches can be held at once.
  local_gan(B& b, const common_config<T>& common, Source source, std::uint32_t worker = 0,
            int fakes = 1)
      : backend_(&b),
        batch_(common.batch),
        seed_(common.seed),
        source_(std::move(source)),
        generator_(b, common, fakes, worker),
        discriminator_(b, common, worker),
        real_(b.allocate(room(common.batch))),
        images_(b, source_, common.batch),
        host_(static_cast<std::size_t>(common.batch) * shape.size()) {
    if constexpr (pairs) generator_.place_images(0, real_.data() + elements(common.batch));
  }

  /// Bytes that an object allocates from its backend.
  static constexpr std::size_t bytes(int batch, int fakes = 1,
                                     const typename T::loss_type& loss = {}) {
    return generator_player<T, B>::bytes(batch, fakes) +
           discriminator_player<T, B>::bytes(batch, loss) +
           allocation_bytes<typename B::scalar>(room(batch));
  }
  /// Bytes of canonical samples on the host.
  static constexpr std::size_t host_bytes(int batch) {
    return static_cast<std::size_t>(batch) * shape.size() * sizeof(float);
  }

  /// Takes the real batch of that index. @throws usage_error for a label that the networks lack
  void read(std::uint32_t index) {
    images_.read(*backend_, source_, index, host_, view());
    labels_ = real_labels<T>(source_, index, batch_);
  }
  /// Generates batch j of that index.
  void generate(std::uint32_t index, int j = 0) {
    generator_.generate(seed_, index, static_cast<std::uint32_t>(j));
  }
  /// One discriminator step on the real batch and fake batch j; `step` numbers the steps of one
  /// iteration. @returns the loss before the step
  double learn_discriminator(std::uint32_t iteration, std::uint32_t step = 0, int j = 0) {
    return discriminator_.learn(real_before(j), fake(j), iteration, step);
  }
  /// The derivative of the generator's loss by the images of batch j. @returns the generator's loss
  double feedback(std::uint32_t iteration, int j = 0) {
    return discriminator_.feedback(
        real(), fake(j), generator_.image_gradient(static_cast<std::size_t>(j)), iteration);
  }
  /// Both without waiting for the loss, which stays on the backend (step_records): a
  /// discriminator step, and then the feedback of the same iteration.
  void start_discriminator(std::uint32_t iteration, std::uint32_t step = 0, int j = 0) {
    discriminator_.start_learning(real_before(j), fake(j), iteration, step);
  }
  void start_feedback(std::uint32_t iteration, int j = 0) {
    discriminator_.start_feedback(
        real(), fake(j), generator_.image_gradient(static_cast<std::size_t>(j)), iteration);
  }
  /// Clears the generator's gradients; before a discriminator step a device does it on the way.
  void begin_generator() { generator_.begin_update(); }
  /// One generator step on the feedback of batch j; after begin_generator.
  void learn_generator(int j = 0) {
    generator_.learn(static_cast<std::size_t>(j));
    generator_.update();
  }

  [[nodiscard]] Source& source() { return source_; }
  [[nodiscard]] generator_player<T, B>& generator() { return generator_; }
  [[nodiscard]] discriminator_player<T, B>& discriminator() { return discriminator_; }
  /// The real batch, and fake batch j, as the discriminator sees them.
  [[nodiscard]] network_input<B> real() { return {view(), labels_}; }
  [[nodiscard]] network_input<B> fake(int j = 0) {
    const auto batch = static_cast<std::size_t>(j);
    return {generator_.images(batch), generator_.labels(batch)};
  }

 private:
  /// Whether the discriminator learns from the real batch and fake batch 0 in one pass.
  static constexpr bool pairs = pairs_batches<T, B>;
  static constexpr std::size_t elements(int n) { return B::storage::layout::elements(shape, n); }
  /// Of the real batch, and of fake batch 0 where it lies right behind.
  static constexpr std::size_t room(int batch) { return (pairs ? 2 : 1) * elements(batch); }
  batch_type view() { return {real_.data(), batch_}; }
  network_input<B> real_before(int j) {
    network_input<B> input = real();
    input.paired = pairs && j == 0;
    return input;
  }

  B* backend_;
  int batch_;
  std::uint64_t seed_;
  Source source_;
  generator_player<T, B> generator_;
  discriminator_player<T, B> discriminator_;
  typename B::buffer_type real_;
  real_images<shape, B, Source> images_;
  std::vector<float> host_;
  const std::uint8_t* labels_{};
};

}  // namespace gantry::dist
