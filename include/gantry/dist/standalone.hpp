// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "gantry/dist/costs.hpp"
#include "gantry/dist/local_gan.hpp"
#include "gantry/dist/node_memory.hpp"
#include "gantry/dist/stopwatch.hpp"

namespace gantry::inline v0::dist {

/// One node with both players and all data: the baseline of every strategy. With `fakes` = 1 both
/// players see the same generated batch, as in PyTorch's DCGAN example; with 2 each sees its own,
/// which is MD-GAN with one worker and k = 2, bit for bit where the discriminator makes a pass for
/// each batch (pairs_batches).
struct standalone {
  static constexpr std::string_view name = "standalone";
  static constexpr std::string_view title = "Standalone GAN";
  static constexpr bool has_server = false;

  struct config {
    int fakes{1};
    int local_steps{1};   ///< discriminator steps on the same two batches, as MD-GAN's L
    int critic_steps{1};  ///< discriminator steps per iteration, each on new batches (n_critic)
  };

  /// Discriminator steps of one round.
  static constexpr int steps(const config& settings) {
    return settings.critic_steps * settings.local_steps;
  }

  template <Topology T, Backend B, BatchSource Source>
  static strategy_plan plan(const common_config<T>& common, const config& settings, int) {
    using c = costs<T>;
    strategy_plan p;
    p.lead_flops = common.batch *
                   (settings.fakes * settings.critic_steps * c::generate +
                    steps(settings) * c::learn_discriminator + c::feedback + c::learn_generator);
    p.set_memory(
        node_memory({generator_arenas<T, B>, discriminator_arenas<T, B>},
                    node<T, B, Source>::bytes(common.batch, settings, common.topology.loss), 0),
        {});
    return p;
  }

  template <Topology T, Backend B, BatchSource Source>
  class node {
   public:
    /// @throws usage_error for settings below 1
    node(B& b, const common_config<T>& common, const config& settings, Source source)
        : batch_(common.batch),
          config_(settings),
          gan_((check(settings), b), common, std::move(source), 0, settings.fakes) {}

    static constexpr std::size_t bytes(int batch, const config& settings,
                                       const typename T::loss_type& loss = {}) {
      return local_gan<T, B, Source>::bytes(batch, settings.fakes, loss);
    }

    template <Communicator C>
    void begin(C&) {}

    template <Communicator C>
    round_report round(C& comm, std::uint32_t iteration) {
      round_report report = start_round(comm, iteration);
      complete(iteration, {&report, 1});
      return report;
    }

    /// A round whose losses and signals stay on the backend, which may still be at work: the report
    /// lacks them until it is completed. A backend that runs behind the host has its work under the
    /// phase in which the host waits.
    template <Communicator C>
    round_report start_round(C& comm, std::uint32_t iteration) {
      round_report report;
      report.workers = 1;
      report.images = std::int64_t{batch_} * config_.critic_steps;
      stopwatch watch(report.lead);
      const int for_learning = 0, for_feedback = config_.fakes - 1;
      for (int s = 0; s < steps(config_); ++s) {
        if (s % config_.local_steps == 0) {
          const auto index = iteration * static_cast<std::uint32_t>(config_.critic_steps) +
                             static_cast<std::uint32_t>(s / config_.local_steps);
          for (int j = 0; j < config_.fakes; ++j) gan_.generate(index, j);
          watch.lap(phase::generate);
          gan_.read(index);
          watch.lap(phase::data);
        }
        if (s + 1 == steps(config_)) gan_.begin_generator();
        gan_.start_discriminator(iteration, static_cast<std::uint32_t>(s), for_learning);
        watch.lap(phase::discriminator);
      }
      gan_.start_feedback(iteration, for_feedback);
      watch.lap(phase::feedback);
      gan_.learn_generator(for_feedback);
      watch.lap(phase::generator);
      using c = costs<T>;
      charge(comm,
             batch_ * (config_.fakes * config_.critic_steps * c::generate +
                       steps(config_) * c::learn_discriminator + c::feedback + c::learn_generator));
      return report;
    }

    /// Rounds whose reports can wait to be completed.
    static constexpr std::uint32_t rounds_kept = step_records<B>::kept;
    /// Waits for the backend and fills in what the reports of the last start_rounds lack, of at
    /// most rounds_kept; the first of them was that of iteration `first`.
    void complete(std::uint32_t first, std::span<round_report> reports) {
      if (reports.empty()) return;
      stopwatch watch(reports.back().lead);
      discriminator().records().read(first, static_cast<std::uint32_t>(reports.size()),
                                     [&](std::uint32_t i, const auto& r) {
                                       reports[i].discriminator_loss = r.discriminator_loss;
                                       reports[i].generator_loss = r.generator_loss;
                                       reports[i].signals = r.signals;
                                     });
      watch.lap(phase::generator);
    }

    template <Communicator C>
    void command(C&, order) {}

    void sample(std::span<const float> latents, std::span<float> images) {
      generator().sample(latents, images);
    }
    [[nodiscard]] generator_player<T, B>& generator() { return gan_.generator(); }
    [[nodiscard]] discriminator_player<T, B>& discriminator() { return gan_.discriminator(); }
    void visit_networks(auto&& f) {
      f("generator", generator().state());
      f("discriminator-1", discriminator().state());
    }
    void visit_values(auto&& f) { discriminator().visit_values(f); }

   private:
    static void check(const config& settings) {
      expects(settings.fakes == 1 || settings.fakes == 2,
              "standalone: the number of fake batches must be 1 or 2");
      expects(settings.local_steps >= 1,
              "standalone: the number of local steps must be at least 1");
      expects(settings.critic_steps >= 1,
              "standalone: the number of critic steps must be at least 1");
    }

    int batch_;
    config config_;
    local_gan<T, B, Source> gan_;
  };
};

}  // namespace gantry::dist
