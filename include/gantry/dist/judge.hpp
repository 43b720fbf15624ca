// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/augmentation.hpp"
#include "gantry/concepts/loss.hpp"
#include "gantry/concepts/strategy.hpp"
#include "gantry/dist/network_state.hpp"
#include "gantry/ops/labels.hpp"
#include "gantry/ops/loss.hpp"
#include "gantry/ops/pointwise.hpp"
#include "gantry/tensor/buffer.hpp"

namespace gantry::inline v0::dist {

/// A discriminator that never learns here: others write its values, and it says how the generator
/// should move. It has one tape and neither gradients nor an optimizer's state, and sees no real
/// samples.
template <Topology T, Backend B>
class judge {
  static_assert(Loss<typename T::loss_type, B>,
                "gan<generator, discriminator, objective, optimizers...>: the third argument must "
                "be an adversarial objective that this backend can compute, such as "
                "loss::non_saturating (concepts/loss.hpp)");

 public:
  using network_type = typename T::discriminator_type;
  using tape_type = typename network_type::template tape<B>;

  /// Starts with the weights of the first worker's discriminator. @throws usage_error for an
  /// objective whose generator needs real samples
  judge(B& b, const common_config<T>& common)
      : backend_(&b),
        seed_(common.seed),
        loss_(common.topology.loss),
        network_(common.topology.discriminator),
        params_(allocate_for(b, memory_use::parameters, network_type::param_count)),
        buffers_(allocate_for(b, memory_use::parameters, network_type::buffer_count)),
        tape_(b, common.batch),
        loss_sum_(b.allocate(1)),
        heads_(b.allocate(head_elements(common.batch))) {
    check(common);
    std::vector<float> params(network_type::param_count), buffers(network_type::buffer_count);
    network_.initialise(params, buffers,
                        {.seed = common.seed, .worker = 1, .use = purpose::initialise});
    b.upload(params, params_.data());
    b.upload(buffers, buffers_.data());
  }

  /// @throws usage_error for what a server without real samples cannot follow
  static void check(const common_config<T>& common) {
    expects(!common.topology.loss.generator_needs_real(),
            "a server without real samples cannot follow an objective that compares generated with "
            "real samples in the generator's step; use another objective or another strategy");
    auto network = common.topology.discriminator;
    expects(!adaptive_augmentation(network),
            "the probability of adaptive augmentations is a worker's and the server learns against "
            "an average; give augmentations a fixed probability");
  }

  /// Bytes that an object allocates from its backend.
  static constexpr std::size_t bytes(int batch) {
    using scalar = typename B::scalar;
    return allocation_bytes<scalar>(network_type::param_count) +
           allocation_bytes<scalar>(network_type::buffer_count) +
           allocation_bytes<scalar>(tape_type::elements(batch)) + allocation_bytes<scalar>(1) +
           allocation_bytes<scalar>(head_elements(batch));
  }

  /// Of its network alone.
  static constexpr arena_bytes arenas() {
    using scalar = typename B::scalar;
    return {.parameters = allocation_bytes<scalar>(network_type::param_count) +
                          allocation_bytes<scalar>(network_type::buffer_count)};
  }

  [[nodiscard]] network_view<B> values() const { return {params_.span(), buffers_.span()}; }

  /// Writes the derivative of the generator's mean loss by each image of `fake`, drawing what the
  /// layers draw from the streams of `step`. @returns the loss
  double feedback(const network_input<B>& fake, batch_of<typename B::storage> gradient,
                  std::uint32_t step) {
    B& b = *backend_;
    launch(b, ops::fill{}, {loss_sum_.data(), 1, 0.0f});
    network_.forward(
        b, values(), fake, tape_, mode::train,
        {.seed = seed_, .step = step, .worker = 0, .use = purpose::dropout, .salt = feedback_pass});
    const auto on_fake = on_fakes(fake.labels);
    loss_.generator(b, on_fake, on_fake, loss_sum_.data());
    network_.backward(b, values(), fake.samples, tape_, {}, gradient);
    float loss = 0;
    b.download(loss_sum_.data(), {&loss, 1});
    return static_cast<double>(loss);
  }

 private:
  using loss_type = typename T::loss_type;
  /// As in discriminator_player: outputs of an auxiliary classifier lie between the logits.
  static constexpr bool has_classifier = outputs_of<loss_type> > 1;
  static constexpr std::uint32_t feedback_pass = 0xFFFE;
  static constexpr std::size_t head_elements(int n) {
    return has_classifier ? 2 * slice(static_cast<std::size_t>(n)) : 0;
  }
  auto on_fakes([[maybe_unused]] const std::uint8_t* labels) {
    const auto n = static_cast<std::size_t>(tape_.output().n);
    if constexpr (has_classifier) {
      auto* const first = heads_.data();
      return labelled_logits<B>{
          {first, first + slice(n), n}, tape_.output(), tape_.output_gradient(), labels, first};
    } else {
      return logits<B>{tape_.output().data, tape_.output_gradient().data, n};
    }
  }

  B* backend_;
  std::uint64_t seed_;
  loss_type loss_;
  network_type network_;
  typename B::buffer_type params_, buffers_;
  tape_type tape_;
  typename B::buffer_type loss_sum_, heads_;
};

}  // namespace gantry::dist
