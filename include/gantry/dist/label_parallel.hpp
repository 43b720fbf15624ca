// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// One generator and discriminator pair per label, trained at the same time and without a word to
// each other: DC-CGAN (Lupo Pasini, Gabbi, Yin, Perotto, Laanait, arXiv 2102.10485) with the
// objective of a DCGAN, W-CGAN (arXiv 2207.12315) with a Wasserstein objective. Together the pairs
// are a conditional GAN: class c is drawn by the generator of worker c + 1.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/dist/costs.hpp"
#include "gantry/dist/local_gan.hpp"
#include "gantry/dist/node_memory.hpp"
#include "gantry/dist/stopwatch.hpp"
#include "gantry/dist/worker_report.hpp"

namespace gantry::inline v0::dist {

/// Networks, samples and gradients stay where they are; a round moves one order to each worker and
/// its losses and times back, as control messages. Only a request for images moves the generators.
struct label_parallel {
  static constexpr std::string_view name = "label_parallel";
  static constexpr std::string_view title = "Label-parallel GANs (DC-CGAN, W-CGAN)";
  static constexpr bool has_server = true;

  struct config {
    int steps{1};         ///< generator steps of a round, between two control messages
    int critic_steps{1};  ///< discriminator steps per generator step, each on new batches
  };
  /// A worker is a label: no other number of them can go on from a checkpoint.
  static constexpr bool fixes_workers(const config&) { return true; }

  template <Topology T, Backend B>
  class server;
  template <Topology T, Backend B, BatchSource Source>
  class worker;

  template <Topology T, Backend B, BatchSource Source>
  static strategy_plan plan(const common_config<T>& common, const config& settings, int workers);

 private:
  template <Topology T>
  static constexpr std::size_t packet_size =
      T::generator_type::param_count + T::generator_type::buffer_count;

  template <Topology T>
  static double worker_flops(int batch, const config& settings) {
    using c = costs<T>;
    return batch * settings.steps *
           (settings.critic_steps * (c::generate + c::learn_discriminator) + c::feedback +
            c::learn_generator);
  }
  template <Topology T>
  static void check(const config& settings) {
    expects(T::classes == 0,
            "label_parallel: expected unconditional networks, because each pair knows one label, "
            "and found networks that read labels; use a model without classes");
    expects(settings.steps >= 1 && settings.critic_steps >= 1,
            "label_parallel: the numbers of generator steps of a round and of critic steps must be "
            "at least 1");
  }
};

/// Counts the workers' progress and, for images, draws from copies of their generators. Its type
/// knows no real samples.
template <Topology T, Backend B>
class label_parallel::server {
 public:
  /// @throws usage_error for conditional networks, or settings below 1
  server(B& b, const common_config<T>& common, const config& settings, int workers)
      : backend_(&b),
        common_(common),
        config_(settings),
        live_(static_cast<std::size_t>(workers), true),
        generator_((check<T>(settings), b), common, 1),
        networks_(live_.size(), std::vector<float>(packet_size<T>)) {
    for (auto& network : networks_) copy(network, false);
  }

  static constexpr std::size_t bytes(int batch) { return generator_player<T, B>::bytes(batch, 1); }
  /// Bytes of the copies of the generators, on the host.
  static constexpr std::size_t message_bytes(int workers) {
    return static_cast<std::size_t>(workers) * packet_size<T> * sizeof(float);
  }

  template <Communicator C>
  void begin(C&) {}

  /// Tells every worker to go on and collects what it has to say. @throws workers_lost if none is
  /// left
  template <Communicator C>
  round_report round(C& comm, std::uint32_t) {
    round_report report;
    report.generator_steps = config_.steps;
    stopwatch watch(report.lead);
    command(comm, order::train);
    is_fetched_ = false;
    worker_report::message_type statistics{};
    mean_of_workers mean;
    for (int n = 1; n <= workers(); ++n) {
      if (!is_live(n)) continue;
      if (!comm.receive(message::control, statistics, n)) {
        set_lost(n);
        continue;
      }
      mean.add(worker_report::unpack(statistics), true);
      report.images += std::int64_t{common_.batch} * config_.steps * config_.critic_steps;
    }
    mean.write(report);
    if (report.workers == 0)
      throw workers_lost(
          "label_parallel: expected at least one worker and found that all have stopped; start "
          "anew with workers that stay");
    watch.lap(phase::wait);
    return report;
  }

  template <Communicator C>
  void command(C& comm, order what) {
    for (int n = 1; n <= workers(); ++n)
      if (is_live(n)) comm.send(message::control, std::array{static_cast<float>(what)}, n);
  }

  /// Fetches the averaged generators, once between two rounds. That of a worker that has stopped
  /// stays as it last was.
  template <Communicator C>
  void prepare_sampling(C& comm) {
    if (std::exchange(is_fetched_, true)) return;
    command(comm, order::publish);
    for (int n = 1; n <= workers(); ++n)
      if (is_live(n) &&
          !comm.receive(message::model, networks_[static_cast<std::size_t>(n - 1)], n))
        set_lost(n);
  }

  /// Image i is of class i modulo the number of workers, as conditional networks draw their classes
  /// in turn. @throws usage_error if the sizes do not fit
  void sample(std::span<const float> latents, std::span<float> images) {
    constexpr std::size_t from = T::latent_shape.size(), to = T::sample_shape.size();
    const std::size_t count = latents.size() / from;
    expects(latents.size() == count * from && images.size() == count * to,
            "sampling needs whole latents and room for exactly one image each; give n times the "
            "latent size and n times the image size");
    for (std::size_t c = 0; c < networks_.size() && c < count; ++c) {
      copy(networks_[c], true);
      std::vector<float> z, x;
      for (std::size_t i = c; i < count; i += networks_.size())
        z.insert(z.end(), latents.begin() + static_cast<std::ptrdiff_t>(i * from),
                 latents.begin() + static_cast<std::ptrdiff_t>((i + 1) * from));
      x.resize(z.size() / from * to);
      generator_.sample(z, x);
      for (std::size_t i = c, k = 0; i < count; i += networks_.size(), ++k)
        std::copy_n(x.begin() + static_cast<std::ptrdiff_t>(k * to), to,
                    images.begin() + static_cast<std::ptrdiff_t>(i * to));
    }
  }

  void visit_networks(auto&&) {}
  /// What is drawn for a worker that stopped before a resume.
  void visit_values(auto&& f) {
    for (std::size_t n = 0; n < networks_.size(); ++n)
      f("published_generator-" + std::to_string(n + 1), networks_[n]);
  }
  [[nodiscard]] bool is_live(int n) const { return live_[static_cast<std::size_t>(n - 1)]; }
  void set_lost(int n) { live_[static_cast<std::size_t>(n - 1)] = false; }

 private:
  [[nodiscard]] int workers() const { return static_cast<int>(live_.size()); }

  /// Between a copy of a generator and the one that draws.
  void copy(std::vector<float>& network, bool to_generator) {
    const auto values = generator_.state().averaged_values();
    const std::span<float> params = std::span(network).first(values.params.size()),
                           buffers = std::span(network).subspan(values.params.size());
    if (to_generator) {
      backend_->upload(params, values.params.data());
      backend_->upload(buffers, values.buffers.data());
    } else {
      backend_->download(values.params.data(), params);
      backend_->download(values.buffers.data(), buffers);
    }
  }

  B* backend_;
  common_config<T> common_;
  config config_;
  std::vector<bool> live_;
  generator_player<T, B> generator_;
  std::vector<std::vector<float>> networks_;  ///< averaged weights and statistics of each pair
  bool is_fetched_{};                         ///< since the last round
};

/// Owns a pair and the samples of its label.
template <Topology T, Backend B, BatchSource Source>
class label_parallel::worker {
 public:
  /// index = rank - 1 names the pair's initial weights and random streams.
  worker(B& b, const common_config<T>& common, const config& settings, Source source,
         std::uint32_t index)
      : backend_(&b),
        batch_(common.batch),
        config_(settings),
        gan_((check<T>(settings), b), common, std::move(source), index),
        packet_(packet_size<T>) {}

  static constexpr std::size_t bytes(int batch, const typename T::loss_type& loss = {}) {
    return local_gan<T, B, Source>::bytes(batch, 1, loss);
  }
  static constexpr std::size_t message_bytes(int batch) {
    return local_gan<T, B, Source>::host_bytes(batch) + packet_size<T> * sizeof(float);
  }
  template <Communicator C>
  static void begin(C&, const Source&) {}

  /// The steps of one round, as the standalone GAN takes them. @returns what the server asked for;
  /// `stop` if the server is gone
  template <Communicator C>
  order round(C& comm, std::uint32_t iteration) {
    phase_times times;
    stopwatch watch(times);
    std::array<float, 1> what{};
    for (;;) {
      if (!comm.receive(message::control, what, 0)) return order::stop;
      if (static_cast<order>(what[0]) != order::publish) break;
      publish(comm);
    }
    if (static_cast<order>(what[0]) != order::train) return static_cast<order>(what[0]);
    watch.lap(phase::wait);
    double discriminator_loss = 0, generator_loss = 0;
    const auto steps = static_cast<std::uint32_t>(config_.steps);
    for (std::uint32_t s = 0; s < steps; ++s) {
      const std::uint32_t step = iteration * steps + s;
      discriminator_loss = learn_discriminator(step, watch);
      generator_loss = gan_.feedback(step);
      watch.lap(phase::feedback);
      gan_.learn_generator();
      backend_->synchronize();
      watch.lap(phase::generator);
    }
    charge(comm, worker_flops<T>(batch_, config_));
    const worker_report done{discriminator_loss, generator_loss, times, discriminator().signals()};
    comm.send(message::control, done.pack(), 0);
    return order::train;
  }

  [[nodiscard]] generator_player<T, B>& generator() { return gan_.generator(); }
  [[nodiscard]] discriminator_player<T, B>& discriminator() { return gan_.discriminator(); }
  void visit_networks(auto&& f) {
    f("generator", generator().state());
    f("discriminator", discriminator().state());
  }
  void visit_values(auto&& f) { discriminator().visit_values(f); }

 private:
  double learn_discriminator(std::uint32_t step, stopwatch& watch) {
    double loss = 0;
    const auto critic = static_cast<std::uint32_t>(config_.critic_steps);
    for (std::uint32_t s = 0; s < critic; ++s) {
      gan_.generate(step * critic + s);
      backend_->synchronize();
      watch.lap(phase::generate);
      gan_.read(step * critic + s);
      watch.lap(phase::data);
      if (s + 1 == critic) gan_.begin_generator();
      loss = gan_.learn_discriminator(step, s);
      watch.lap(phase::discriminator);
    }
    return loss;
  }

  template <Communicator C>
  void publish(C& comm) {
    const auto values = generator().state().averaged_values();
    backend_->download(values.params.data(), std::span(packet_).first(values.params.size()));
    backend_->download(values.buffers.data(), std::span(packet_).subspan(values.params.size()));
    comm.send(message::model, packet_, 0);
  }

  B* backend_;
  int batch_;
  config config_;
  local_gan<T, B, Source> gan_;
  std::vector<float> packet_;
};

/// Nothing is moved that has to do with samples or networks. @throws usage_error as the server
template <Topology T, Backend B, BatchSource Source>
strategy_plan label_parallel::plan(const common_config<T>& common, const config& settings,
                                   int workers) {
  check<T>(settings);
  strategy_plan p;
  p.worker_flops = worker_flops<T>(common.batch, settings);
  using lead = server<T, B>;
  using helper = worker<T, B, Source>;
  p.set_memory(node_memory({generator_arenas<T, B>}, lead::bytes(common.batch),
                           lead::message_bytes(workers)),
               node_memory({generator_arenas<T, B>, discriminator_arenas<T, B>},
                           helper::bytes(common.batch, common.topology.loss),
                           helper::message_bytes(common.batch)));
  return p;
}

}  // namespace gantry::dist
