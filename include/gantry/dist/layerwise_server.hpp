// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gantry/dist/costs.hpp"
#include "gantry/dist/device_exchange.hpp"
#include "gantry/dist/generator_player.hpp"
#include "gantry/dist/judge.hpp"
#include "gantry/dist/layerwise_config.hpp"
#include "gantry/dist/stopwatch.hpp"

namespace gantry::inline v0::dist {

/// The server of layerwise_overlap: owns the generator, and a discriminator that is the mean of
/// what the workers upload. It keeps no copy of a worker's discriminator: each slice is added to
/// the mean when it comes. Its type knows no real samples.
template <Topology T, Backend B, StepScheduler Scheduler>
class layerwise_server {
 public:
  using config = layerwise_config<Scheduler>;
  using generator_slices = layer_slices<typename T::generator_type>;
  using discriminator_slices = layer_slices<typename T::discriminator_type>;

  /// @throws usage_error for settings that cannot work, or an objective that compares with real
  /// samples in the generator's step
  layerwise_server(B& b, const common_config<T>& common, const config& settings, int workers)
      : backend_(&b),
        common_(common),
        config_((check(settings), settings)),
        workers_(workers),
        live_(static_cast<std::size_t>(workers), true),
        weights_(live_.size()),
        g_slices_(slices_of<typename T::generator_type>(settings)),
        d_slices_(slices_of<typename T::discriminator_type>(settings)),
        generator_(b, common, 1),
        judge_(b, common),
        mean_(largest_message<typename T::discriminator_type>(settings)),
        slice_(largest_slice(settings)),
        held_back_(holds_back(settings) ? discriminator_slices::total : 0) {
    config_.steps.begin(workers);
  }

  /// Bytes that the constructor allocates from the backend; host message buffers are
  /// `message_bytes`. Neither depends on the number of workers.
  static constexpr std::size_t bytes(int batch) {
    return generator_player<T, B>::bytes(batch, 1) + judge<T, B>::bytes(batch);
  }
  static constexpr std::size_t message_bytes(const config& c) {
    return largest_message<typename T::discriminator_type>(c) * sizeof(double) +
           (largest_slice(c) + (holds_back(c) ? discriminator_slices::total : 0)) * sizeof(float);
  }

  /// Learns the sizes of all shards and sends the generator to all. Workers begin with the same
  /// discriminator, so it does not travel. Call once before the first round.
  template <Communicator C>
  void begin(C& comm) {
    for (int n = 1; n <= workers_; ++n) {
      std::array<float, 1> size{};
      if (receive_from(comm, message::control, size, n))
        weights_[index(n)] = static_cast<double>(size[0]);
    }
    for (std::size_t s = 0; s < g_slices_.size(); ++s) send_slice(comm, sent_as(s));
  }

  /// One round. @throws workers_lost if no worker is left
  template <Communicator C>
  round_report round(C& comm, std::uint32_t iteration) {
    open(comm, iteration);
    return close(comm);
  }

  /// The two halves of a round, for those who lead several groups of workers: between them the
  /// workers compute.
  template <Communicator C>
  void open(C& comm, std::uint32_t iteration) {
    std::vector<rank_t> live;
    for (int n = 1; n <= workers_; ++n)
      if (is_live(n)) live.push_back(n);
    if (live.empty()) throw_lost();
    std::vector<layerwise_plan> plans(live.size());
    passing_ = 0;
    if (config_.peer != peer_rule::none) {
      const auto targets =
          swap_targets(config_.peer_order, static_cast<std::uint32_t>(live.size()),
                       {.seed = common_.seed, .step = iteration, .use = purpose::swap});
      for (std::size_t i = 0; i < live.size(); ++i) {
        if (targets[i] == i) continue;
        ++passing_;
        plans[i].send_to = live[targets[i]];
        plans[targets[i]].receive_from = live[i];
      }
    }
    for (std::size_t i = 0; i < live.size(); ++i) {
      plans[i].steps = config_.steps.for_worker(live[i]);
      comm.send(message::control, plans[i].pack(), live[i]);
    }
  }
  template <Communicator C>
  round_report close(C& comm) {
    round_report report;
    report.bytes_swap = passing_ * peer_packet<T>(config_) * sizeof(float);
    stopwatch watch(report.lead);
    overlap_ = {};
    // The first fakes need no discriminator: they are made while the workers are busy.
    if (config_.overlap != overlap_mode::blocking) generate(comm, watch);
    average(comm, report);
    collect(comm, report);
    if (report.workers == 0) throw_lost();
    watch.lap(phase::wait);
    report.lead[phase::wait] -= overlap_.sending;
    learn(comm, report, watch);
    report.lead[phase::exchange] += overlap_.sending;
    return report;
  }

  /// Tells every live worker to save or to stop.
  template <Communicator C>
  void command(C& comm, order what) {
    for (int n = 1; n <= workers_; ++n)
      if (is_live(n)) comm.send(message::control, layerwise_plan{what}.pack(), n);
  }

  void sample(std::span<const float> latents, std::span<float> images) {
    generator_.sample(latents, images);
  }
  [[nodiscard]] generator_player<T, B>& generator() { return generator_; }
  /// The averaged discriminator of the last round.
  [[nodiscard]] network_view<B> discriminator() const { return judge_.values(); }
  void visit_networks(auto&& f) { f("generator", generator_.state()); }
  void visit_values(auto&& f) { config_.steps.visit_values(f); }
  [[nodiscard]] bool is_live(int n) const { return live_[index(n)]; }
  void set_lost(int n) {
    live_[index(n)] = false;
    config_.steps.forget(n);
  }
  /// Of the last round.
  [[nodiscard]] const overlap_times& overlap() const { return overlap_; }

 private:
  static std::size_t index(int n) { return static_cast<std::size_t>(n - 1); }
  /// The plain method sends back nothing before its whole update is done.
  static constexpr bool holds_back(const config& c) {
    return c.return_mean && c.overlap == overlap_mode::blocking;
  }
  static constexpr std::size_t largest_slice(const config& c) {
    return std::max(largest_message<typename T::generator_type>(c),
                    largest_message<typename T::discriminator_type>(c));
  }
  [[noreturn]] static void throw_lost() {
    throw workers_lost(
        "layerwise_overlap: expected at least one worker and found that all have stopped; start "
        "anew with workers that stay");
  }
  template <Communicator C>
  bool receive_from(C& comm, message kind, std::span<float> out, int n) {
    const bool arrived = comm.receive(kind, out, n);
    if (!arrived) set_lost(n);
    return arrived;
  }
  template <Communicator C>
  std::size_t send_to_all(C& comm, std::span<const float> values) {
    return send_to_all(values.size(), [&](int n) { comm.send(message::model, values, n); });
  }
  /// send_to(n) sends so many values to a worker. @returns bytes to all of them
  template <class Send>
  std::size_t send_to_all(std::size_t count, const Send& send_to) {
    phase_times own;
    stopwatch watch(own);
    std::size_t bytes = 0;
    for (int n = 1; n <= workers_; ++n) {
      if (!is_live(n)) continue;
      send_to(n);
      bytes += count * sizeof(float);
    }
    watch.lap(phase::exchange);
    overlap_.sending += own[phase::exchange];
    return bytes;
  }

  /// The s-th slice of the generator to be sent.
  [[nodiscard]] const layer_slice& sent_as(std::size_t s) const {
    return g_slices_[config_.overlap == overlap_mode::ready ? g_slices_.size() - 1 - s : s];
  }
  template <Communicator C>
  std::size_t send_slice(C& comm, const layer_slice& s) {
    std::size_t bytes = 0;
    for_each_piece(s, message_room(config_), [&](const layer_slice& piece) {
      const network_view<B> values = generator_.state().values();
      if constexpr (HasDeviceMemory<B> && HasDeviceMessages<C>)
        if (shares_memory<B>(comm)) {
          // Behind its update, which the host does not wait for.
          const auto parts = slice_parts<B>(values, piece);
          bytes += send_to_all(piece.scalars(), [&](int n) {
            comm.send_device(message::model, parts, n, backend_->queue());
          });
          return;
        }
      const std::span<float> message = std::span(slice_).first(piece.scalars());
      download_slice(*backend_, values, piece, message);
      bytes += send_to_all(comm, message);
    });
    return bytes;
  }

  /// The mean by sizes of shards over those whose part comes, output layers first as they are sent;
  /// a mean that is returned goes at once.
  template <Communicator C>
  void average(C& comm, round_report& report) {
    for (std::size_t s = d_slices_.size(); s-- > 0;) {
      expect_part(comm, {"discriminator", d_slices_[s].layer});
      for_each_piece(d_slices_[s], message_room(config_),
                     [&](const layer_slice& piece) { average(comm, piece, report); });
    }
    expect_part(comm, {});
  }
  template <Communicator C>
  void average(C& comm, const layer_slice& part, round_report& report) {
    const std::span<float> values = std::span(slice_).first(part.scalars());
    mean_.begin();
    for (int n = 1; n <= workers_; ++n) {
      if (!is_live(n) || !receive_from(comm, message::model, values, n)) continue;
      mean_.add(values, weights_[index(n)]);
      report.bytes_up += values.size_bytes();
    }
    if (mean_.empty()) throw_lost();
    mean_.finish(values);
    upload_slice<B>(*backend_, values, part, judge_.values());
    if (!config_.return_mean) return;
    if (held_back_.empty())
      report.bytes_down += send_to_all(comm, values);
    else
      std::ranges::copy(values, held_back_.begin());
  }

  /// What the workers say about their round.
  template <Communicator C>
  void collect(C& comm, round_report& report) {
    std::array<float, layerwise_report::size> packed{};
    for (int n = 1; n <= workers_; ++n) {
      if (!is_live(n) || !receive_from(comm, message::control, packed, n)) continue;
      const layerwise_report r = layerwise_report::unpack(packed);
      ++report.workers;
      report.discriminator_loss += r.loss;
      report.images += static_cast<std::int64_t>(r.images);
      report.worker += r.times;
      report.signals += r.signals;
      overlap_.waited += r.waited;
      overlap_.hidden += r.hidden;
      config_.steps.observe(n, r.step_seconds);
    }
    if (report.workers == 0) return;
    report.discriminator_loss /= report.workers;
    overlap_.waited /= report.workers;
    overlap_.hidden /= report.workers;
    report.hidden = overlap_.hidden;
    report.exposed = overlap_.waited;
    for (double& s : report.worker.seconds) s /= report.workers;
    report.signals /= report.workers;
  }

  /// The generator's steps against the mean; the last one sends what it updates.
  template <Communicator C>
  void learn(C& comm, round_report& report, stopwatch& watch) {
    const double before = overlap_.sending;
    const int steps = config_.steps.for_server();
    double loss = 0, seconds = 0;
    for (int g = 0; g < steps; ++g) {
      phase_times own;
      stopwatch step_watch(own);
      if (g > 0 || config_.overlap == overlap_mode::blocking) generate(comm, watch);
      loss += judge_fakes(comm, watch);
      if (g + 1 < steps) {
        generator_.learn(0);
        generator_.update();
        charge(comm, common_.batch * costs<T>::learn_generator);
      } else {
        update_and_send(comm, report);
      }
      backend_->synchronize();
      watch.lap(phase::generator);
      step_watch.lap(phase::generator);
      seconds += own[phase::generator];
    }
    const double sent = overlap_.sending - before;
    report.lead[phase::generator] -= sent;
    report.generator_steps = steps;
    report.generator_loss = loss / steps;
    config_.steps.observe(0, std::max(0.0, seconds - sent) / steps);
  }

  [[nodiscard]] std::uint32_t step_index() {
    return static_cast<std::uint32_t>(generator_.state().step);
  }
  template <Communicator C>
  void generate(C& comm, stopwatch& watch) {
    // Batch 1 of its streams: batch 0 is what the first worker learns from.
    generator_.generate_as(1, common_.seed, step_index(), 0);
    charge(comm, common_.batch * costs<T>::generate);
    backend_->synchronize();
    watch.lap(phase::generate);
  }

  /// Asks the mean for its feedback on the fakes. @returns the generator's loss
  template <Communicator C>
  double judge_fakes(C& comm, stopwatch& watch) {
    const double loss = judge_.feedback({generator_.images(0), generator_.labels(0)},
                                        generator_.image_gradient(0), step_index());
    charge(comm, common_.batch * costs<T>::feedback);
    watch.lap(phase::feedback);
    generator_.begin_update();
    return loss;
  }

  /// The last step of a round: backward, update and broadcast, slice by slice.
  template <Communicator C>
  void update_and_send(C& comm, round_report& report) {
    auto& state = generator_.state();
    layer_charge cost(comm, common_.batch * costs<T>::learn_generator);
    state.begin_step();
    std::size_t next = g_slices_.size();
    const auto release = [&](std::size_t layer) {
      for (; next > 0 && g_slices_[next - 1].layer >= layer; --next) {
        state.step_part(*backend_, g_slices_[next - 1]);
        report.bytes_down += send_slice(comm, g_slices_[next - 1]);
      }
    };
    layer_hooks hooks;
    hooks.after_backward = [&](std::size_t i) {
      if (i == 0) return;
      const flop_count& f = T::generator_type::layer_flops[i];
      cost.layer(common_.batch * (f.input_gradient + f.weight_gradient));
      release(i);
    };
    const bool as_ready = config_.overlap == overlap_mode::ready;
    if (as_ready) generator_.watch(&hooks);
    generator_.learn(0);
    generator_.watch(nullptr);
    cost.finish();
    if (as_ready) return release(0);
    if (!held_back_.empty()) report.bytes_down += send_to_all(comm, held_back_);
    for (std::size_t s = 0; s < g_slices_.size(); ++s) {
      state.step_part(*backend_, g_slices_[s]);
      report.bytes_down += send_slice(comm, g_slices_[s]);
    }
  }

  B* backend_;
  common_config<T> common_;
  config config_;
  int workers_;
  std::vector<bool> live_;
  std::vector<double> weights_;  // sizes of shards
  generator_slices g_slices_;
  discriminator_slices d_slices_;
  generator_player<T, B> generator_;
  judge<T, B> judge_;
  slice_mean mean_;
  std::vector<float> slice_;
  std::vector<float> held_back_;
  std::size_t passing_{};
  overlap_times overlap_;
};

}  // namespace gantry::dist
