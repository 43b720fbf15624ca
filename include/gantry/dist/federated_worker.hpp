// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/dist/costs.hpp"
#include "gantry/dist/device_exchange.hpp"
#include "gantry/dist/federated_settings.hpp"
#include "gantry/dist/local_gan.hpp"
#include "gantry/dist/roster.hpp"
#include "gantry/dist/stopwatch.hpp"

namespace gantry::inline v0::dist {

/// Both players beside a source of private samples.
template <Topology T, Backend B, BatchSource Source>
class federated_average::worker {
 public:
  /// index = rank - 1 names initial weights and random streams.
  worker(B& b, const common_config<T>& common, const config& settings, Source source,
         std::uint32_t index)
      : backend_(&b),
        batch_(common.batch),
        config_(settings),
        updates_(updates(settings, static_cast<int>(index) + 1, source.size(), common.batch)),
        gan_(b, common, std::move(source), index),
        packet_(buffer_size(settings)),
        losses_(2) {}

  static constexpr std::size_t bytes(int batch, const typename T::loss_type& loss = {}) {
    return local_gan<T, B, Source>::bytes(batch, 1, loss);
  }
  static constexpr std::size_t message_bytes(int batch, const config& settings) {
    return local_gan<T, B, Source>::host_bytes(batch) + buffer_size(settings) * sizeof(float);
  }
  /// Tells the server the size of the shard. Call once before the first round.
  template <Communicator C>
  static void begin(C& comm, const Source& source) {
    roster::introduce(comm, source);
  }

  /// One communication round. @returns what the server asked for; `stop` if the server is gone
  template <Communicator C>
  order round(C& comm, std::uint32_t iteration) {
    phase_times times;
    stopwatch watch(times);
    std::array<float, plan_message::size> packed{};
    plan_message plan{.what = order::publish};
    while (plan.what == order::publish) {
      if (!comm.receive(message::control, packed, 0)) return order::stop;
      plan = plan_message::unpack(packed);
      if (plan.what == order::publish) publish(comm, plan.start);
    }
    if (plan.what != order::train) return plan.what;
    watch.lap(phase::wait);
    times_ += times;
    if (plan.start && !train(comm, plan, iteration)) return order::stop;
    if (plan.deliver) deliver(comm);
    if (plan.restart && !train(comm, plan, iteration + 1)) return order::stop;
    return order::train;
  }

  [[nodiscard]] local_gan<T, B, Source>& gan() { return gan_; }
  void visit_networks(auto&& f) {
    f("generator", gan_.generator().state());
    f("discriminator", gan_.discriminator().state());
  }
  /// A result may wait for its delivery.
  void visit_values(auto&& f) {
    f("losses", losses_);
    gan_.discriminator().visit_values(f);
  }

 private:
  using packet_type = packet<T, B>;
  static constexpr std::size_t buffer_size(const config& settings) {
    const std::size_t size = packet_type::size(settings);
    return packet_type::must_publish(settings) ? std::max(size, packet_type::published) : size;
  }

  /// Calls f(network) for the averaged networks.
  template <class F>
  void each_network(F&& f) {
    if (averages_generator(config_)) f(gan_.generator().state());
    if (averages_discriminator(config_)) f(gan_.discriminator().state());
  }
  /// Their memory, and their message on the host.
  std::vector<std::span<typename B::scalar>> parts() {
    std::vector<std::span<typename B::scalar>> all;
    each_network([&](auto& state) {
      visit_parts(state, config_.with, [&](auto part) { all.push_back(part); });
    });
    return all;
  }
  std::span<float> staged() { return std::span(packet_).first(packet_type::size(config_)); }

  /// Takes the server's networks and makes K updates, FedGAN's Algorithm 1, step 2; those of round
  /// r have the indices r K, ..., r K + K - 1. @returns false if the server is gone
  template <Communicator C>
  bool train(C& comm, const plan_message& plan, std::uint32_t round) {
    stopwatch watch(times_);
    const auto networks = parts();
    if (!receive_parts<B>(*backend_, comm, message::model, networks, staged(), 0)) return false;
    watch.lap(phase::wait);
    unstage<B>(*backend_, comm, staged(), networks);
    if (config_.with.moments)
      each_network([&](auto& state) { state.step = static_cast<std::int64_t>(plan.step); });
    watch.lap(phase::exchange);
    for (int s = 0; s < updates_; ++s)
      update(round * static_cast<std::uint32_t>(updates_) + static_cast<std::uint32_t>(s), watch);
    using c = costs<T>;
    charge(comm, static_cast<double>(batch_) * updates_ *
                     (c::generate + c::learn_discriminator + c::feedback + c::learn_generator));
    return true;
  }
  void update(std::uint32_t index, stopwatch& watch) {
    double d_loss = 0, g_loss = 0;
    const auto feedback = [&] {
      g_loss = gan_.feedback(index);
      watch.lap(phase::feedback);
    };
    gan_.generate(index);
    backend_->synchronize();
    watch.lap(phase::generate);
    gan_.read(index);
    watch.lap(phase::data);
    if (config_.updates == update_order::simultaneous) feedback();
    gan_.begin_generator();
    d_loss = gan_.learn_discriminator(index);
    watch.lap(phase::discriminator);
    if (config_.updates == update_order::alternating) feedback();
    gan_.learn_generator();
    backend_->synchronize();
    watch.lap(phase::generator);
    losses_ = {static_cast<float>(d_loss), static_cast<float>(g_loss)};
  }

  template <Communicator C>
  void deliver(C& comm) {
    stopwatch watch(times_);
    const auto networks = parts();
    stage<B>(*backend_, comm, networks, staged());
    send_parts<B>(*backend_, comm, message::model, networks, staged(), 0);
    watch.lap(phase::exchange);
    const work_report done{static_cast<double>(losses_[0]), static_cast<double>(losses_[1]),
                           updates_, times_, gan_.discriminator().signals()};
    comm.send(message::control, done.pack(), 0);
    times_ = {};
  }

  /// The averaged generator, or how often each label occurs: only if the server's settings need it.
  template <Communicator C>
  void publish(C& comm, bool labels) {
    if (labels) {
      if constexpr (CountedSource<Source>) {
        std::array<float, label_values> counts{};
        std::ranges::copy(gan_.source().label_counts(), counts.begin());
        comm.send(message::control, counts, 0);
        return;
      } else {
        throw usage_error(
            "federated_average: weights and sampling by label need a source with label_counts() "
            "(concepts/dataset.hpp); give one, or choose weights by size");
      }
    }
    const auto average = gan_.generator().state().averaged_values();
    const std::span<float> all = std::span(packet_).first(packet_type::published);
    backend_->download(average.params.data(), all.first(average.params.size()));
    backend_->download(average.buffers.data(), all.subspan(average.params.size()));
    comm.send(message::model, all, 0);
  }

  B* backend_;
  int batch_;
  config config_;
  int updates_;
  local_gan<T, B, Source> gan_;
  std::vector<float> packet_;
  std::vector<float> losses_;  // of the last update: discriminator's, generator's
  phase_times times_;          // since the last delivery
};

}  // namespace gantry::dist
