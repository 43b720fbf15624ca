// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Federated averaging of both players. FL-GAN (the baseline of Hardy et al., arXiv 1811.03850): E
// epochs on every worker, plain average. FedGAN (Rasouli, Sun, Rajagopal, arXiv 2006.07228): K
// updates, average by sizes of shards; its two step sizes are the rates of the two optimizers. With
// label weights and balanced sampling of workers: FeGAN (Middleware 2020). With a staleness weight:
// AsyncFedGAN (IEEE TPDS 36(3)). Real samples never leave a worker. docs/07_strategies.md has the
// equations and what the papers leave open.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "gantry/dist/aggregate.hpp"
#include "gantry/dist/costs.hpp"
#include "gantry/dist/device_exchange.hpp"
#include "gantry/dist/federated_settings.hpp"
#include "gantry/dist/federated_worker.hpp"
#include "gantry/dist/generator_player.hpp"
#include "gantry/dist/network_packet.hpp"
#include "gantry/dist/node_memory.hpp"
#include "gantry/dist/roster.hpp"
#include "gantry/dist/stopwatch.hpp"
#include "gantry/dist/swap.hpp"
#include "gantry/dist/worker_weights.hpp"

namespace gantry::inline v0::dist {

/// Holds the averaged networks. It trains nothing, and its type knows no real samples.
template <Topology T, Backend B>
class federated_average::server {
 public:
  /// @throws usage_error for settings out of range or that contradict each other
  server(B& b, const common_config<T>& common, const config& settings, int workers)
      : backend_(&b),
        common_(common),
        config_(settings),
        roster_(name, workers),
        generator_((check(settings, workers), b), common, 1),
        packet_(packet_type::size(settings)),
        uploads_(static_cast<std::size_t>(participants(settings, workers)), packet_),
        taken_(settings.sample == sampling::balanced ? label_values : 0) {
    if (!averages_discriminator(settings)) return;
    discriminator_.emplace(b, common.topology.discriminator,
                           common.topology.discriminator_optimizer);
    discriminator_->initialise(b, common.seed, 1);
  }

  /// @throws usage_error for settings out of range or that contradict each other
  static void check(const config& c, int workers) {
    dist::check(c.how);
    expects(c.local.measure != swap_interval::unit::never && c.local.amount > 0,
            "federated_average: the number of local updates or epochs must be above 0");
    expects(c.fraction > 0 && c.fraction <= 1,
            "federated_average: the fraction of workers must be above 0 and at most 1");
    expects(c.weak_workers >= 0 && c.weak_workers <= workers,
            "federated_average: the number of weak workers must be from 0 to that of workers");
    expects(c.how.needs() <= participants(c, workers),
            "federated_average: fewer workers take part in a round than the aggregation needs for "
            "so many wrong ones; let more take part, or lower the number of wrong ones");
    if (!c.arrivals) return;
    const auto& [weight, rates] = *c.arrivals;
    expects(!c.with.moments,
            "federated_average: an asynchronous server merges uploads of different ages, whose "
            "optimizer steps do not fit together; let moments stay");
    expects(!counts_labels(c) && c.sample == sampling::all && !c.how.is_robust(),
            "federated_average: an asynchronous server merges one upload at a time, so that it "
            "neither samples workers, nor weighs by labels, nor has a robust aggregation; leave "
            "them out");
    expects(weight.alpha > 0 && weight.alpha <= 1 && weight.decay >= 0 && weight.free >= 0,
            "federated_average: a staleness weight needs an alpha above 0 and at most 1, and "
            "decay and free merges that are not negative");
    expects(rates.empty() || (static_cast<int>(rates.size()) == workers &&
                              std::ranges::all_of(rates, [](double r) { return r > 0; })),
            "federated_average: modelled rates must be above 0, one for each worker, or none");
  }
  /// Bytes that the constructor allocates from the backend, and of host message buffers.
  static constexpr std::size_t bytes(int batch, const config& settings) {
    return generator_player<T, B>::bytes(batch, 1) +
           (averages_discriminator(settings) ? discriminator_state::bytes() : 0);
  }
  static std::size_t message_bytes(const config& settings, int workers) {
    const auto buffers = static_cast<std::size_t>(1 + participants(settings, workers));
    return buffers * packet_type::size(settings) * sizeof(float);
  }

  /// Learns the sizes of all shards, and their label counts where the settings need them. Call once
  /// before the first round.
  template <Communicator C>
  void begin(C& comm) {
    roster_.begin(comm);
    const auto count = static_cast<std::size_t>(roster_.workers());
    if (counts_labels(config_) && histograms_.empty()) {
      histograms_.resize(count * label_values);
      for (const int n : roster_.live()) {
        comm.send(message::control, ask_for_labels().pack(), n);
        roster_.receive(comm, message::control, histogram(n), n);
      }
    }
    if (config_.arrivals && due_.empty()) {
      started_.resize(count);
      due_.resize(count);
      for (int n = 1; n <= roster_.workers(); ++n) at(due_, n) = duration(n, 0);
    }
  }

  /// One communication round. @throws workers_lost if no worker is left, or too few for the
  /// aggregation; numeric_error as aggregate does
  template <Communicator C>
  round_report round(C& comm, std::uint32_t iteration) {
    round_report report;
    if (config_.arrivals)
      merge_arrival(comm, iteration, report);
    else
      average_workers(comm, iteration, report);
    finish_report(report);
    return report;
  }

  /// Tells every live worker to save or to stop.
  template <Communicator C>
  void command(C& comm, order what) {
    if (what == order::save) prepare_sampling(comm);
    for (int n = 1; n <= roster_.workers(); ++n)
      if (is_live(n)) comm.send(message::control, plan_message{what}.pack(), n);
  }

  /// What of the generator does not come with the rounds is asked of the first live worker: all of
  /// it where generators are not averaged, and running statistics that do not travel.
  template <Communicator C>
  void prepare_sampling(C& comm) {
    if (!packet_type::must_publish(config_)) return;
    std::vector<float> published(packet_type::published);
    for (const int n : roster_.live()) {
      comm.send(message::control, ask_for_generator().pack(), n);
      if (!roster_.receive(comm, message::model, published, n)) continue;
      const std::span<const float> all = published;
      const auto params = all.first(generator_state::param_count),
                 buffers = all.subspan(generator_state::param_count);
      const auto average = generator_.state().averaged_values();
      backend_->upload(buffers, average.buffers.data());
      if (averages_generator(config_)) return;
      backend_->upload(params, average.params.data());
      backend_->upload(params, generator_.state().values().params.data());
      backend_->upload(buffers, generator_.state().values().buffers.data());
      return;
    }
    roster_.throw_lost();
  }
  void sample(std::span<const float> latents, std::span<float> images) {
    generator_.sample(latents, images);
  }
  [[nodiscard]] generator_player<T, B>& generator() { return generator_; }
  void visit_networks(auto&& f) {
    f("generator", generator_.state());
    if (discriminator_) f("discriminator", *discriminator_);
  }
  void visit_values(auto&& f) {
    f("label_counts", histograms_);
    f("samples_taken", taken_);
    f("arrivals", due_);
    f("started", started_);
  }
  [[nodiscard]] bool is_live(int n) const { return roster_.is_live(n); }
  void set_lost(int n) { roster_.set_lost(n); }

 private:
  using packet_type = packet<T, B>;
  using generator_state = typename packet_type::generator_state;
  using discriminator_state = typename packet_type::discriminator_state;

  static float& at(std::vector<float>& values, int n) {
    return values[static_cast<std::size_t>(n - 1)];
  }
  std::span<float> histogram(int n) {
    return std::span(histograms_)
        .subspan(static_cast<std::size_t>(n - 1) * label_values, label_values);
  }

  /// The networks' memory, as the message that goes to workers has it.
  std::vector<std::span<typename B::scalar>> parts() {
    std::vector<std::span<typename B::scalar>> all;
    const auto add = [&](auto part) { all.push_back(part); };
    if (averages_generator(config_)) visit_parts(generator_.state(), config_.with, add);
    if (discriminator_) visit_parts(*discriminator_, config_.with, add);
    return all;
  }
  /// The networks into that message on the host, and back.
  void pack() {
    std::span<float> rest = packet_;
    if (averages_generator(config_))
      rest = pack_network(*backend_, generator_.state(), config_.with, rest);
    if (discriminator_) pack_network(*backend_, *discriminator_, config_.with, rest);
  }
  void unpack(int updates) {
    std::span<float> rest = packet_;
    if (averages_generator(config_)) {
      rest = unpack_network(*backend_, generator_.state(), config_.with, rest);
      follow(generator_.state(), updates);
    }
    if (!discriminator_) return;
    unpack_network(*backend_, *discriminator_, config_.with, rest);
    follow(*discriminator_, updates);
  }
  /// The average that samples are drawn from takes the step that so many updates of one node would
  /// have made, had they all led to the new weights; with one update it is that node's.
  template <class State>
  void follow(State& state, int updates) {
    float weights = 1, statistics = 1;
    for (int i = 0; i < updates; ++i) {
      ++state.step;
      if constexpr (State::averages) {
        const float decay = state.optimizer.decay_at(state.step);
        weights *= state.step == 1 ? 0.0f : decay;
        statistics *= decay;
      }
    }
    if constexpr (State::averages) {
      const auto now = state.values(), average = state.averaged_values();
      launch(*backend_, ops::ema_step{},
             {now.params.data(), average.params.data(), now.params.size(), weights});
      launch(*backend_, ops::ema_step{},
             {now.buffers.data(), average.buffers.data(), now.buffers.size(), statistics});
    }
  }
  [[nodiscard]] double steps() {
    return static_cast<double>(discriminator_ ? discriminator_->step : generator_.state().step);
  }

  std::vector<int> choose(const std::vector<int>& live, std::uint32_t iteration) {
    const int count = participants(config_, static_cast<int>(live.size()));
    const stream_id id{.seed = common_.seed, .step = iteration, .use = purpose::selection};
    if (config_.sample == sampling::random) return random_workers(live, count, id);
    if (config_.sample == sampling::balanced)
      return balanced_workers(live, count, histograms_, taken_, id);
    return live;
  }

  template <Communicator C>
  void send_networks(C& comm, int n, round_report& report) {
    send_parts<B>(*backend_, comm, message::model, parts(), packet_, n);
    report.bytes_down += packet_.size() * sizeof(float);
  }
  /// The result of worker n. @returns its updates, 0 if it has stopped
  template <Communicator C>
  int receive_networks(C& comm, int n, std::vector<float>& upload, round_report& report) {
    std::array<float, work_report::size> packed{};
    if (!roster_.receive(comm, message::model, upload, n)) return 0;
    if (!roster_.receive(comm, message::control, packed, n)) return 0;
    const work_report done = work_report::unpack(packed);
    add_report(report, done, common_.batch);
    report.bytes_up += upload.size() * sizeof(float);
    return done.updates;
  }

  /// FedGAN, Algorithm 1, step 3: theta = sum_j p_j theta_j over the workers that took part.
  template <Communicator C>
  void average_workers(C& comm, std::uint32_t iteration, round_report& report) {
    stopwatch watch(report.lead);
    const std::vector<int> live = roster_.live(), chosen = choose(live, iteration);
    stage<B>(*backend_, comm, parts(), packet_);
    for (const int n : live) {
      const bool takes_part = std::ranges::binary_search(chosen, n);
      const plan_message plan{
          .start = takes_part, .deliver = takes_part, .restart = false, .step = steps()};
      comm.send(message::control, plan.pack(), n);
      if (takes_part) send_networks(comm, n, report);
    }
    watch.lap(phase::exchange);
    std::vector<contribution> arrived;
    int updates = 0;
    for (const int n : chosen) {
      std::vector<float>& upload = uploads_[arrived.size()];
      const int done = receive_networks(comm, n, upload, report);
      if (done > 0) arrived.push_back({upload, n});
      updates = std::max(updates, done);
    }
    watch.lap(phase::wait);
    report.generator_steps = updates;
    if (arrived.empty()) {  // the next round goes on with those that were not chosen, if any
      (void)roster_.live();
      return;
    }
    weigh(arrived);
    aggregate(config_.how, arrived, packet_);
    unpack(updates);
    backend_->synchronize();
    watch.lap(phase::generator);
  }

  /// Weights among those that arrived, so that they sum to 1 when others have stopped.
  void weigh(std::vector<contribution>& arrived) {
    std::vector<double> sizes, scores;
    double all = 0;
    for (int n = 1; n <= roster_.workers(); ++n) all += roster_.size(n);
    std::vector<float> everywhere(counts_labels(config_) ? label_values : 0);
    for (std::size_t i = 0; i < histograms_.size(); ++i)
      everywhere[i % label_values] += histograms_[i];
    for (const contribution& c : arrived) {
      sizes.push_back(roster_.size(c.worker));
      if (needs_labels(config_.weights))
        scores.push_back(label_divergence(histogram(c.worker), everywhere) * sizes.back() / all);
    }
    const std::vector<double> weights = average_weights(config_.weights, sizes, scores);
    for (std::size_t i = 0; i < arrived.size(); ++i) arrived[i].weight = weights[i];
  }

  /// AsyncFedGAN: theta = (1 - a) theta + a theta_n for the upload that comes next, whose worker
  /// goes on from the result while the others are still at work.
  template <Communicator C>
  void merge_arrival(C& comm, std::uint32_t iteration, round_report& report) {
    stopwatch watch(report.lead);
    const bool first = iteration == 0;
    pack();
    int n = 0, updates = 0;
    do {
      const std::vector<int> live = roster_.live();
      n = *std::ranges::min_element(live, {}, [&](int w) { return at(due_, w); });
      const plan_message plan{.start = first, .deliver = true, .restart = true, .step = steps()};
      comm.send(message::control, plan.pack(), n);
      if (first) {
        send_networks(comm, n, report);
        go_on(comm, n, first, report);  // so that nobody waits for the first upload
      }
      updates = receive_networks(comm, n, uploads_[0], report);
    } while (updates == 0 && !first);
    watch.lap(phase::wait);
    if (!first) go_on(comm, n, first, report);
    report.generator_steps = updates;
    if (updates == 0) {  // the next round goes on with the others, if any
      (void)roster_.live();
      return;
    }
    const double a = config_.arrivals->weight(iteration - static_cast<double>(at(started_, n)));
    const std::array<contribution, 2> both{{{packet_, 0, 1 - a}, {uploads_[0], n, a}}};
    aggregate({}, both, packet_);
    unpack(updates);
    watch.lap(phase::generator);
    stage<B>(*backend_, comm, parts(), packet_);
    send_networks(comm, n, report);
    at(started_, n) = static_cast<float>(iteration + 1);
    const float now = at(due_, n);
    for (float& due : due_) due -= now;
    at(due_, n) = duration(n, iteration + 1);
    watch.lap(phase::exchange);
  }
  /// All but worker n: they go on with what they do, or start.
  template <Communicator C>
  void go_on(C& comm, int n, bool start, round_report& report) {
    for (const int other : roster_.live()) {
      if (other == n) continue;
      const plan_message plan{.start = start, .deliver = false, .restart = false, .step = steps()};
      comm.send(message::control, plan.pack(), other);
      if (start) send_networks(comm, other, report);
    }
  }
  /// Modelled time of a worker's upload that starts in a round.
  [[nodiscard]] float duration(int n, std::uint32_t round) const {
    const int work = federated_average::updates(
        config_, n, static_cast<std::int64_t>(roster_.size(n)), common_.batch);
    const std::vector<double>& rates = config_.arrivals->rates;
    if (!rates.empty()) return static_cast<float>(work / rates[static_cast<std::size_t>(n - 1)]);
    const stream_id id{.seed = common_.seed,
                       .step = round,
                       .worker = static_cast<std::uint32_t>(n),
                       .use = purpose::selection,
                       .salt = 2};
    return static_cast<float>(work) * std::exp2(2 * uniform_at(id, 0) - 1);
  }

  B* backend_;
  common_config<T> common_;
  config config_;
  roster roster_;
  generator_player<T, B> generator_;
  std::optional<discriminator_state> discriminator_;
  std::vector<float> packet_;
  std::vector<std::vector<float>> uploads_;
  std::vector<float> histograms_, taken_;  // label_values of each worker; of all rounds
  std::vector<float> due_, started_;       // asynchronous: until an upload; merges it starts from
};

/// Down and up, each worker's networks once. The number of local updates is known for settings in
/// updates only; for epochs, which depend on shards, the work is that of one update. @throws as
/// server::check
template <Topology T, Backend B, BatchSource Source>
strategy_plan federated_average::plan(const common_config<T>& common, const config& settings,
                                      int workers) {
  using c = costs<T>;
  const bool counted = settings.local.measure == swap_interval::unit::iterations;
  const auto count = static_cast<std::uint64_t>(participants(settings, workers));
  server<T, B>::check(settings, workers);
  strategy_plan p;
  p.worker_flops = static_cast<double>(common.batch) *
                   (counted ? settings.local.iterations(1, 1) : 1) *
                   (c::generate + c::learn_discriminator + c::feedback + c::learn_generator);
  p.bytes_down = p.bytes_up = packet<T, B>::size(settings) * sizeof(float) * count;
  using helper = worker<T, B, Source>;
  const arena_bytes held =
      averages_discriminator(settings) ? discriminator_arenas<T, B> : arena_bytes{};
  p.set_memory(
      node_memory({generator_arenas<T, B>, held}, server<T, B>::bytes(common.batch, settings),
                  server<T, B>::message_bytes(settings, workers)),
      node_memory({generator_arenas<T, B>, discriminator_arenas<T, B>},
                  helper::bytes(common.batch, common.topology.loss),
                  helper::message_bytes(common.batch, settings)));
  return p;
}

}  // namespace gantry::dist
