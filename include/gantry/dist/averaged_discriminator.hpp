// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Averaged discriminators (Ren, Liu, Yu, Guo, "A new distributed method for training generative
// adversarial networks", arXiv 2107.08681): every worker trains a copy of the global discriminator
// on its own samples and on fakes of the generator that it was sent; the server averages the copies
// and trains the generator. Real samples never leave a worker, and generators only go down. The
// sources leave most details open; docs/07_strategies.md says what was chosen.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/augmentation.hpp"
#include "gantry/dist/aggregate.hpp"
#include "gantry/dist/costs.hpp"
#include "gantry/dist/device_exchange.hpp"
#include "gantry/dist/device_scheduling.hpp"
#include "gantry/dist/discriminator_player.hpp"
#include "gantry/dist/generator_player.hpp"
#include "gantry/dist/local_gan.hpp"
#include "gantry/dist/network_packet.hpp"
#include "gantry/dist/node_memory.hpp"
#include "gantry/dist/roster.hpp"
#include "gantry/dist/stopwatch.hpp"

namespace gantry::inline v0::dist {

struct averaged_discriminator {
  static constexpr std::string_view name = "averaged_discriminator";
  static constexpr std::string_view title = "Averaged discriminators (Ren et al.)";
  static constexpr bool has_server = true;

  enum class schedule {
    serial,   ///< the generator learns from the new average, when workers have nothing to do
    parallel  ///< from the discriminator of the round before, while the workers train
  };

  struct config {
    schedule order_of_work{schedule::serial};
    int local_updates{1};   ///< n_d: discriminator updates of a worker per round, on new batches
    int server_updates{1};  ///< n_g: generator updates of the server per round, on new latents
    bool statistics_travel{true};  ///< with the parameters, both ways
    bool by_size{true};            ///< the average weighs by sizes of shards, or not at all
    device_scheduling scheduling{};
    aggregation how{};
  };

  template <Topology T, Backend B>
  class server;
  template <Topology T, Backend B, BatchSource Source>
  class worker;

  /// Floats of both networks on the way down, and of a discriminator on the way up.
  template <Topology T, Backend B>
  static constexpr std::size_t down_size(const config& c) {
    return packed_network<typename generator_player<T, B>::state_type>({c.statistics_travel}) +
           up_size<T, B>(c);
  }
  template <Topology T, Backend B>
  static constexpr std::size_t up_size(const config& c) {
    return packed_network<typename discriminator_player<T, B>::state_type>({c.statistics_travel});
  }

  template <Topology T, Backend B, BatchSource Source>
  static strategy_plan plan(const common_config<T>& common, const config& settings, int workers);

 private:
  /// The memory of both networks as a message has it; the second half is the discriminator's.
  template <class G, class D>
  static auto parts_of(G& generator, D& discriminator, const config& c) {
    std::vector<decltype(generator.gradients())> all;
    const auto add = [&](auto part) { all.push_back(part); };
    visit_parts(generator, {c.statistics_travel}, add);
    visit_parts(discriminator, {c.statistics_travel}, add);
    return all;
  }
  /// Server to every live worker, each round: what to do, and whether to take part.
  using plan_message = std::array<float, 2>;
  static constexpr plan_message message_of(order what, bool takes_part) {
    return {static_cast<float>(what), takes_part ? 1.0f : 0.0f};
  }
};

/// Owns the generator and the global discriminator. Its type knows no real samples.
template <Topology T, Backend B>
class averaged_discriminator::server {
 public:
  /// @throws usage_error for settings out of range, and for an objective whose generator needs real
  /// samples
  server(B& b, const common_config<T>& common, const config& settings, int workers)
      : backend_(&b),
        common_(common),
        config_(settings),
        roster_(name, workers),
        generator_((check(common, settings, workers), b), common, 1),
        discriminator_(b, common, 0),
        down_(down_size<T, B>(settings)),
        uploads_(static_cast<std::size_t>(settings.scheduling.count(workers)),
                 std::vector<float>(up_size<T, B>(settings))),
        memory_(static_cast<std::size_t>(workers) + 1) {}

  /// @throws usage_error as the constructor does
  static void check(const common_config<T>& common, const config& c, int workers) {
    dist::check(c.how);
    dist::check(c.scheduling);
    expects(c.local_updates >= 1 && c.server_updates >= 0,
            "averaged_discriminator: a round needs at least 1 local update, and 0 or more of the "
            "server");
    expects(c.how.needs() <= c.scheduling.count(workers),
            "averaged_discriminator: fewer workers take part in a round than the aggregation needs "
            "for so many wrong ones; let more take part, or lower the number of wrong ones");
    auto d = common.topology.discriminator;
    expects(!adaptive_augmentation(d),
            "averaged_discriminator: the probability of adaptive augmentations is a worker's and "
            "the server learns against an average; give augmentations a fixed probability");
    expects(!common.topology.loss.generator_needs_real(),
            "averaged_discriminator: the server trains the generator and has no real samples, "
            "which a relativistic objective compares with; take another objective");
  }

  /// Bytes that the constructor allocates from the backend, and of host message buffers.
  static constexpr std::size_t bytes(int batch, const typename T::loss_type& loss = {}) {
    return generator_player<T, B>::bytes(batch, 1) + discriminator_player<T, B>::bytes(batch, loss);
  }
  static std::size_t message_bytes(const config& settings, int workers) {
    const auto buffers = static_cast<std::size_t>(settings.scheduling.count(workers));
    return (down_size<T, B>(settings) + buffers * up_size<T, B>(settings)) * sizeof(float);
  }

  /// Learns the sizes of all shards. Call once before the first round.
  template <Communicator C>
  void begin(C& comm) {
    roster_.begin(comm);
  }

  /// One round. Serial: workers, average, generator. Parallel: the generator's updates lie between
  /// sending and receiving, so that they overlap with the workers', and see the discriminator that
  /// was sent. @throws workers_lost if no worker is left, or too few for the aggregation
  template <Communicator C>
  round_report round(C& comm, std::uint32_t iteration) {
    round_report report{.generator_steps = config_.server_updates};
    stopwatch watch(report.lead);
    const std::vector<int> chosen = send_networks(comm, iteration, report);
    watch.lap(phase::exchange);
    double loss = 0;
    if (config_.order_of_work == schedule::parallel) {
      loss = learn(comm, iteration);
      watch.lap(phase::generator);
    }
    const std::vector<contribution> arrived = receive_discriminators(comm, chosen, report);
    watch.lap(phase::wait);
    average(arrived);
    watch.lap(phase::discriminator);
    if (config_.order_of_work == schedule::serial) {
      loss = learn(comm, iteration);
      watch.lap(phase::generator);
    }
    finish_report(report);
    report.generator_loss = loss;
    return report;
  }

  /// Tells every live worker to save or to stop.
  template <Communicator C>
  void command(C& comm, order what) {
    for (int n = 1; n <= roster_.workers(); ++n)
      if (is_live(n)) comm.send(message::control, message_of(what, false), n);
  }

  void sample(std::span<const float> latents, std::span<float> images) {
    generator_.sample(latents, images);
  }
  [[nodiscard]] generator_player<T, B>& generator() { return generator_; }
  [[nodiscard]] discriminator_player<T, B>& discriminator() { return discriminator_; }
  void visit_networks(auto&& f) {
    f("generator", generator_.state());
    f("discriminator", discriminator_.state());
  }
  /// What the scheduling remembers.
  void visit_values(auto&& f) { f("scheduling", memory_); }
  [[nodiscard]] bool is_live(int n) const { return roster_.is_live(n); }
  void set_lost(int n) { roster_.set_lost(n); }

 private:
  /// The global GAN to the workers of the round. @returns them
  template <Communicator C>
  std::vector<int> send_networks(C& comm, std::uint32_t iteration, round_report& report) {
    const std::vector<int> live = roster_.live();
    std::vector<int> chosen =
        scheduled_workers(config_.scheduling, live, common_.seed, iteration, memory_);
    const auto both = parts_of(generator_.state(), discriminator_.state(), config_);
    stage<B>(*backend_, comm, both, down_);
    for (const int n : live) {
      const bool takes_part = std::ranges::binary_search(chosen, n);
      comm.send(message::control, message_of(order::train, takes_part), n);
      if (!takes_part) continue;
      send_parts<B>(*backend_, comm, message::model, both, down_, n);
      report.bytes_down += down_.size() * sizeof(float);
    }
    return chosen;
  }

  template <Communicator C>
  std::vector<contribution> receive_discriminators(C& comm, const std::vector<int>& chosen,
                                                   round_report& report) {
    std::vector<contribution> arrived;
    std::array<float, work_report::size> packed{};
    for (const int n : chosen) {
      std::vector<float>& upload = uploads_[arrived.size()];
      if (!roster_.receive(comm, message::model, upload, n)) continue;
      if (!roster_.receive(comm, message::control, packed, n)) continue;
      arrived.push_back({upload, n, config_.by_size ? roster_.size(n) : 1.0});
      add_report(report, work_report::unpack(packed), common_.batch);
      report.bytes_up += upload.size() * sizeof(float);
    }
    return arrived;
  }

  /// phi = sum_k m_k phi_k / sum_k m_k over the workers that took part to the end.
  void average(const std::vector<contribution>& arrived) {
    if (arrived.empty()) {  // the next round goes on with those that were not chosen, if any
      (void)roster_.live();
      return;
    }
    const std::span<float> phi = std::span(down_).last(up_size<T, B>(config_));
    aggregate(config_.how, arrived, phi);
    unpack_network(*backend_, discriminator_.state(), {config_.statistics_travel}, phi);
  }

  /// n_g updates of the generator against the discriminator that the server holds. Their fakes are
  /// batches 1 of the streams whose batches 0 the first worker draws. @returns the last loss
  template <Communicator C>
  double learn(C& comm, std::uint32_t iteration) {
    double loss = 0;
    for (int s = 0; s < config_.server_updates; ++s) {
      const auto index = iteration * static_cast<std::uint32_t>(config_.server_updates) +
                         static_cast<std::uint32_t>(s);
      generator_.generate_as(1, common_.seed, index, 0);
      const network_input<B> fake(generator_.images(0), generator_.labels(0));
      // No objective that gets here looks at real samples; the fakes stand in for the argument.
      loss = discriminator_.feedback(fake, fake, generator_.image_gradient(0), index);
      generator_.begin_update();
      generator_.learn(0);
      generator_.update();
    }
    backend_->synchronize();
    using c = costs<T>;
    charge(comm, static_cast<double>(common_.batch) * config_.server_updates *
                     (c::generate + c::feedback + c::learn_generator));
    return loss;
  }

  B* backend_;
  common_config<T> common_;
  config config_;
  roster roster_;
  generator_player<T, B> generator_;
  discriminator_player<T, B> discriminator_;
  std::vector<float> down_;
  std::vector<std::vector<float>> uploads_;
  std::vector<float> memory_;  // of scheduled_workers
};

/// A copy of the discriminator that learns, and of the generator that does not, beside a source of
/// private samples.
template <Topology T, Backend B, BatchSource Source>
class averaged_discriminator::worker {
 public:
  /// index = rank - 1 names the random streams.
  worker(B& b, const common_config<T>& common, const config& settings, Source source,
         std::uint32_t index)
      : backend_(&b),
        batch_(common.batch),
        config_(settings),
        gan_(b, common, std::move(source), index),
        packet_(down_size<T, B>(settings)) {}

  static constexpr std::size_t bytes(int batch, const typename T::loss_type& loss = {}) {
    return local_gan<T, B, Source>::bytes(batch, 1, loss);
  }
  static constexpr std::size_t message_bytes(int batch, const config& settings) {
    return local_gan<T, B, Source>::host_bytes(batch) + down_size<T, B>(settings) * sizeof(float);
  }
  /// Tells the server the size of the shard. Call once before the first round.
  template <Communicator C>
  static void begin(C& comm, const Source& source) {
    roster::introduce(comm, source);
  }

  /// One round. @returns what the server asked for; `stop` if the server is gone
  template <Communicator C>
  order round(C& comm, std::uint32_t iteration) {
    work_report done{.updates = config_.local_updates};
    stopwatch watch(done.times);
    plan_message plan{};
    if (!comm.receive(message::control, plan, 0)) return order::stop;
    const auto what = static_cast<order>(plan[0]);
    if (what != order::train || plan[1] == 0) return what;
    const auto both = parts_of(gan_.generator().state(), gan_.discriminator().state(), config_);
    if (!receive_parts<B>(*backend_, comm, message::model, both, packet_, 0)) return order::stop;
    watch.lap(phase::wait);
    unstage<B>(*backend_, comm, packet_, both);
    watch.lap(phase::exchange);
    for (int s = 0; s < config_.local_updates; ++s) {
      const auto index = iteration * static_cast<std::uint32_t>(config_.local_updates) +
                         static_cast<std::uint32_t>(s);
      gan_.generate(index);
      backend_->synchronize();
      watch.lap(phase::generate);
      gan_.read(index);
      watch.lap(phase::data);
      done.discriminator_loss = gan_.learn_discriminator(index);
      watch.lap(phase::discriminator);
    }
    using c = costs<T>;
    charge(comm, static_cast<double>(batch_) * config_.local_updates *
                     (c::generate + c::learn_discriminator));
    done.signals = gan_.discriminator().signals();
    const std::span<float> phi = std::span(packet_).last(up_size<T, B>(config_));
    const auto own = std::span(both).last(both.size() / 2);
    stage<B>(*backend_, comm, own, phi);
    send_parts<B>(*backend_, comm, message::model, own, phi, 0);
    watch.lap(phase::exchange);
    comm.send(message::control, done.pack(), 0);
    return order::train;
  }

  [[nodiscard]] discriminator_player<T, B>& discriminator() { return gan_.discriminator(); }
  /// The generator comes anew each round.
  void visit_networks(auto&& f) { f("discriminator", gan_.discriminator().state()); }
  void visit_values(auto&& f) { gan_.discriminator().visit_values(f); }

 private:
  B* backend_;
  int batch_;
  config config_;
  local_gan<T, B, Source> gan_;
  std::vector<float> packet_;
};

/// Down |phi| + |theta|, up |phi|, for each worker of a round. @throws usage_error as the server
/// does
template <Topology T, Backend B, BatchSource Source>
strategy_plan averaged_discriminator::plan(const common_config<T>& common, const config& settings,
                                           int workers) {
  using c = costs<T>;
  const auto count = static_cast<std::uint64_t>(settings.scheduling.count(workers));
  const double b = common.batch;
  server<T, B>::check(common, settings, workers);
  strategy_plan p;
  p.lead_flops = b * settings.server_updates * (c::generate + c::feedback + c::learn_generator);
  p.worker_flops = b * settings.local_updates * (c::generate + c::learn_discriminator);
  p.bytes_down = down_size<T, B>(settings) * sizeof(float) * count;
  p.bytes_up = up_size<T, B>(settings) * sizeof(float) * count;
  using helper = worker<T, B, Source>;
  p.set_memory(node_memory({generator_arenas<T, B>, discriminator_arenas<T, B>},
                           server<T, B>::bytes(common.batch, common.topology.loss),
                           server<T, B>::message_bytes(settings, workers)),
               node_memory({generator_arenas<T, B>, discriminator_arenas<T, B>},
                           helper::bytes(common.batch, common.topology.loss),
                           helper::message_bytes(common.batch, settings)));
  return p;
}

}  // namespace gantry::dist
