// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/dist/md_gan.hpp"

namespace gantry::dist {

/// One node with both players and all data: the baseline of every strategy. With `fakes` = 1 both
/// players see the same generated batch, as in PyTorch's DCGAN example; with 2 each sees its own,
/// which is MD-GAN with one worker and k = 2, bit for bit.
struct standalone {
  static constexpr std::string_view name = "standalone";
  static constexpr bool has_server = false;

  struct config {
    int fakes{1};
    int local_steps{1};   ///< discriminator steps on the same two batches, as MD-GAN's L
    int critic_steps{1};  ///< discriminator steps per iteration, each on new batches (n_critic)
  };

  template <Topology T, Backend B, BatchSource Source>
  class node {
   public:
    static constexpr hwc shape = T::sample_shape;
    static_assert(require_labels<T, Source>::value, "see the message above");

    /// @throws usage_error for settings below 1
    node(B& b, const common_config<T>& common, const config& settings, Source source)
        : backend_(&b),
          common_(common),
          config_(settings),
          source_(std::move(source)),
          generator_((check(settings), b), common, settings.fakes),
          discriminator_(b, common, 0),
          real_(b.allocate(B::storage::layout::elements(shape, common.batch))),
          host_(static_cast<std::size_t>(common.batch) * shape.size()) {}

    static constexpr std::size_t bytes(int batch, const config& settings,
                                       const typename T::loss_type& loss = {}) {
      return generator_player<T, B>::bytes(batch, settings.fakes) +
             discriminator_player<T, B>::bytes(batch, loss) +
             allocation_bytes<typename B::scalar>(B::storage::layout::elements(shape, batch));
    }

    template <Communicator C>
    void begin(C&) {}

    template <Communicator C>
    round_report round(C&, std::uint32_t iteration) {
      round_report report;
      report.workers = 1;
      report.images = std::int64_t{common_.batch} * config_.critic_steps;
      stopwatch watch(report.lead);
      const md_gan::assignment a = md_gan::assign(1, config_.fakes);
      const batch_of<typename B::storage> real{real_.data(), common_.batch};
      const auto steps = static_cast<std::uint32_t>(config_.critic_steps * config_.local_steps);
      const std::uint8_t* labels = nullptr;
      for (std::uint32_t s = 0; s < steps; ++s) {
        const auto local = static_cast<std::uint32_t>(config_.local_steps), draw = s / local;
        if (s % local == 0) {
          for (int j = 0; j < config_.fakes; ++j)
            generator_.generate(common_.seed, iteration, static_cast<std::uint32_t>(j), draw);
          backend_->synchronize();
          watch.lap(phase::generate);
          const std::uint32_t batch =
              iteration * static_cast<std::uint32_t>(config_.critic_steps) + draw;
          source_.read(batch, host_, common_.batch);
          labels = real_labels<T>(source_, batch, common_.batch);
          launch(*backend_, ops::import_samples<shape>{}, {host_.data(), real});
          watch.lap(phase::data);
        }
        report.discriminator_loss =
            discriminator_.learn({real, labels}, fake(a.for_learning), iteration, s);
        watch.lap(phase::discriminator);
      }
      const auto j = static_cast<std::size_t>(a.for_feedback);
      report.generator_loss = discriminator_.feedback({real, labels}, fake(a.for_feedback),
                                                      generator_.image_gradient(j), iteration);
      watch.lap(phase::feedback);
      generator_.begin_update();
      generator_.learn(j);
      generator_.update();
      backend_->synchronize();
      watch.lap(phase::generator);
      return report;
    }

    template <Communicator C>
    void command(C&, order) {}

    void sample(std::span<const float> latents, std::span<float> images) {
      generator_.sample(latents, images);
    }
    [[nodiscard]] generator_player<T, B>& generator() { return generator_; }
    [[nodiscard]] discriminator_player<T, B>& discriminator() { return discriminator_; }

   private:
    network_input<B> fake(int j) {
      const auto batch = static_cast<std::size_t>(j);
      return {generator_.images(batch), generator_.labels(batch)};
    }
    static void check(const config& settings) {
      expects(settings.fakes == 1 || settings.fakes == 2,
              "standalone: the number of fake batches must be 1 or 2");
      expects(settings.local_steps >= 1,
              "standalone: the number of local steps must be at least 1");
      expects(settings.critic_steps >= 1,
              "standalone: the number of critic steps must be at least 1");
    }

    B* backend_;
    common_config<T> common_;
    config config_;
    Source source_;
    generator_player<T, B> generator_;
    discriminator_player<T, B> discriminator_;
    typename B::buffer_type real_;
    std::vector<float> host_;
  };
};

}  // namespace gantry::dist
