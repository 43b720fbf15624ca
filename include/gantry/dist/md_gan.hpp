// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// MD-GAN (Hardy, Le Merrer, Sericola, "MD-GAN: multi-discriminator generative adversarial networks
// for distributed datasets", IPDPS 2019, arXiv 1811.03850): one generator on a server, one
// discriminator on each worker beside its private data. Real samples never leave a worker.
// docs/decisions.md records what the paper leaves open.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "gantry/dist/costs.hpp"
#include "gantry/dist/device_exchange.hpp"
#include "gantry/dist/discriminator_player.hpp"
#include "gantry/dist/feedback_merge.hpp"
#include "gantry/dist/generated_batches.hpp"
#include "gantry/dist/generator_player.hpp"
#include "gantry/dist/node_memory.hpp"
#include "gantry/dist/stopwatch.hpp"
#include "gantry/dist/swap.hpp"
#include "gantry/dist/worker_report.hpp"

namespace gantry::inline v0::dist {

struct md_gan {
  static constexpr std::string_view name = "md_gan";
  static constexpr std::string_view title = "MD-GAN (Hardy et al.)";
  static constexpr bool has_server = true;

  struct config {
    int k{1};            ///< batches generated per iteration, shared among the workers
    int local_steps{1};  ///< L: discriminator steps per iteration on the same two batches
    swap_interval swap_every{epochs(1)};  ///< E
    swap_rule swap{swap_rule::derangement};
    bool moments_travel{false};       ///< the optimizer's moments go with a swapped discriminator
    bool statistics_travel{true};     ///< so do batch normalisation's running statistics
    dist::aggregation aggregation{};  ///< of the feedbacks of workers that share a batch
  };

  /// Batches of worker n = 1 .. N (section IV-B1, counted from 0): X^(g) for its feedback, X^(d)
  /// for its learning steps.
  struct assignment {
    int for_feedback, for_learning;
  };
  static constexpr assignment assign(int n, int k) { return {n % k, (n + 1) % k}; }

  /// Scalars of one swapped discriminator: its parameters, and what else travels.
  template <Topology T>
  static constexpr std::size_t packet_size(const config& settings) {
    using discriminator = typename T::discriminator_type;
    return discriminator::param_count +
           (settings.statistics_travel ? discriminator::buffer_count : 0) +
           (settings.moments_travel
                ? T::discriminator_optimizer_type::state_per_param() * discriminator::param_count
                : 0);
  }

  template <Topology T, Backend B>
  class server;
  template <Topology T, Backend B, BatchSource Source>
  class worker;

  template <Topology T, Backend B, BatchSource Source>
  static strategy_plan plan(const common_config<T>& common, const config& settings, int workers);

 private:
  /// Server to worker, once per round: what to do, and the swap at its end (both ranks, or -1:
  /// none).
  struct plan_message {
    static constexpr std::size_t size = 3;
    order what{order::train};
    rank_t send_to{-1}, receive_from{-1};
    [[nodiscard]] std::array<float, size> pack() const {
      return {static_cast<float>(what), static_cast<float>(send_to),
              static_cast<float>(receive_from)};
    }
    static plan_message unpack(const std::array<float, size>& m) {
      return {static_cast<order>(m[0]), static_cast<rank_t>(m[1]), static_cast<rank_t>(m[2])};
    }
  };
};

/// Owns the generator. Its type knows no real samples.
template <Topology T, Backend B>
class md_gan::server {
 public:
  static constexpr std::size_t image_size = static_cast<std::size_t>(T::sample_shape.size());

  /// @throws usage_error for k < 1, local_steps < 1, and fewer workers per batch than a robust
  /// aggregation needs
  server(B& b, const common_config<T>& common, const config& settings, int workers)
      : backend_(&b),
        common_(common),
        config_(settings),
        workers_(workers),
        live_(static_cast<std::size_t>(workers), true),
        generator_((check(settings), b), common, settings.k),
        merge_(settings.aggregation, settings.k, workers, batch_elements()) {
    for (int j = 0; j < settings.k; ++j)
      images_.push_back(std::make_shared<std::vector<float>>(packed_batch<T>(common.batch)));
  }

  /// Bytes that the constructor allocates from the backend; host message buffers are
  /// `message_bytes`.
  static constexpr std::size_t bytes(int batch, const config& settings) {
    return generator_player<T, B>::bytes(batch, settings.k);
  }
  static constexpr std::size_t message_bytes(int batch, const config& settings, int workers) {
    return static_cast<std::size_t>(settings.k) * packed_batch<T>(batch) * sizeof(float) +
           feedback_merge::bytes(settings.aggregation, settings.k, workers,
                                 static_cast<std::size_t>(batch) * image_size);
  }

  /// Learns the sizes of all shards, from which the swap interval follows; workers that had stopped
  /// before a resume count too, so that the interval stays what it was. Call once before the first
  /// round.
  template <Communicator C>
  void begin(C& comm) {
    std::int64_t smallest = 0;
    for (int n = 1; n <= workers_; ++n) {
      std::array<float, 1> size{};
      if (!receive_from(comm, message::control, size, n)) continue;
      const auto m = static_cast<std::int64_t>(size[0]);
      smallest = smallest == 0 ? m : std::min(smallest, m);
    }
    swap_iterations_ = config_.swap_every.iterations(smallest, common_.batch);
  }

  /// One iteration of Algorithm 1, server side. @throws workers_lost if no worker is left
  template <Communicator C>
  round_report round(C& comm, std::uint32_t iteration) {
    round_report report;
    stopwatch watch(report.lead);
    report.bytes_swap = send_plans(comm, iteration) * packet_size<T>(config_) * sizeof(float);
    for (int j = 0; j < config_.k; ++j) {
      const auto batch = static_cast<std::size_t>(j);
      generate_packed(*backend_, generator_, common_.seed, iteration, batch,
                      writable(images_[batch]));
    }
    backend_->synchronize();
    charge(comm, config_.k * common_.batch * costs<T>::generate);
    watch.lap(phase::generate);
    for (int n = 1; n <= workers_; ++n) {
      if (!is_live(n)) continue;
      const assignment a = assign(n, config_.k);
      send_own(comm, message::batch, images_[a.for_learning], n);
      send_own(comm, message::batch, images_[a.for_feedback], n);
      report.bytes_down += 2 * packed_batch<T>(common_.batch) * sizeof(float);
    }
    watch.lap(phase::exchange);
    receive_feedback(comm, report);
    if (report.workers == 0) throw_lost();
    watch.lap(phase::wait);
    charge(comm, learn(report.workers) * common_.batch * costs<T>::learn_generator);
    watch.lap(phase::generator);
    return report;
  }

  /// Tells every live worker to save or to stop.
  template <Communicator C>
  void command(C& comm, order what) {
    for (int n = 1; n <= workers_; ++n)
      if (is_live(n)) comm.send(message::control, plan_message{what}.pack(), n);
  }

  void sample(std::span<const float> latents, std::span<float> images) {
    generator_.sample(latents, images);
  }
  [[nodiscard]] generator_player<T, B>& generator() { return generator_; }
  void visit_networks(auto&& f) { f("generator", generator_.state()); }
  [[nodiscard]] bool is_live(int n) const { return live_[static_cast<std::size_t>(n - 1)]; }
  void set_lost(int n) { live_[static_cast<std::size_t>(n - 1)] = false; }
  [[nodiscard]] std::uint32_t swap_iterations() const { return swap_iterations_; }

 private:
  static void check(const config& settings) {
    expects(settings.k >= 1,
            "md_gan: k, the number of generated batches per iteration, must be at least 1");
    expects(settings.local_steps >= 1, "md_gan: the number of local steps must be at least 1");
  }
  [[noreturn]] static void throw_lost() {
    throw workers_lost(
        "md_gan: expected at least one worker and found that all have stopped; start anew with "
        "workers that stay");
  }
  [[nodiscard]] std::size_t batch_elements() const {
    return static_cast<std::size_t>(common_.batch) * image_size;
  }

  template <Communicator C>
  bool receive_from(C& comm, message kind, std::span<float> out, int n) {
    const bool arrived = comm.receive(kind, out, n);
    if (!arrived) set_lost(n);
    return arrived;
  }

  /// The plan goes first, so that a worker knows its partner before the exchange; agreed on by
  /// being decided here.
  /// @returns the number of discriminators that will move
  template <Communicator C>
  std::size_t send_plans(C& comm, std::uint32_t iteration) {
    std::vector<rank_t> live;
    for (int n = 1; n <= workers_; ++n)
      if (is_live(n)) live.push_back(n);
    if (live.empty()) throw_lost();
    std::vector<plan_message> plans(live.size());
    std::size_t moving = 0;
    if (swap_iterations_ > 0 && (iteration + 1) % swap_iterations_ == 0) {
      const auto targets =
          swap_targets(config_.swap, static_cast<std::uint32_t>(live.size()),
                       {.seed = common_.seed, .step = iteration, .use = purpose::swap});
      for (std::size_t i = 0; i < live.size(); ++i) {
        if (targets[i] == i) continue;
        ++moving;
        plans[i].send_to = live[targets[i]];
        plans[targets[i]].receive_from = live[i];
      }
    }
    for (std::size_t i = 0; i < live.size(); ++i)
      comm.send(message::control, plans[i].pack(), live[i]);
    return moving;
  }

  /// Receives F_n in the order of ranks and brings those of workers that share a batch together.
  template <Communicator C>
  void receive_feedback(C& comm, round_report& report) {
    merge_.begin_round();
    mean_of_workers mean;
    for (int n = 1; n <= workers_; ++n) {
      if (!is_live(n)) continue;
      const auto j = static_cast<std::size_t>(assign(n, config_.k).for_feedback);
      const auto take = [&](const message_view& m) { take_feedback(comm, n, m.values, mean); };
      if (!receive_with(comm, message::feedback, merge_.slot(j), n, take)) set_lost(n);
      if (!is_live(n)) continue;
      report.images += common_.batch;
      report.bytes_up += batch_elements() * sizeof(float);
    }
    mean.write(report);
  }

  /// Counts the feedback of worker n, if the report behind it comes, too.
  template <Communicator C>
  void take_feedback(C& comm, int n, std::span<const float> feedback, mean_of_workers& mean) {
    worker_report::message_type packed{};
    if (!receive_from(comm, message::control, packed, n)) return;
    const worker_report said = worker_report::unpack(packed);
    const bool robust = config_.aggregation.is_robust();
    // Losses that are not finite end a run with a sentence of their own.
    if (!robust && said.is_finite()) require_finite(feedback, n);
    merge_.add(static_cast<std::size_t>(assign(n, config_.k).for_feedback), n, feedback);
    mean.add(said, !robust || said.is_finite());
  }

  /// Section IV-B2: one backward per distinct batch on the summed feedback, divided by the number
  /// of workers. The feedback already holds the 1 / b of the mean, so it is not divided by b again.
  /// @returns the number of backward passes
  int learn(int workers) {
    int passes = 0;
    generator_.begin_update();
    for (std::size_t j = 0; j < images_.size(); ++j) {
      if (merge_.count(j) == 0) continue;
      const std::span<float> feedback = merge_.sum(j);
      if (workers > 1)
        for (float& g : feedback) g /= static_cast<float>(workers);
      launch(*backend_, ops::import_samples<T::sample_shape>{},
             {feedback.data(), generator_.image_gradient(j)});
      generator_.learn(j);
      ++passes;
    }
    generator_.update();
    backend_->synchronize();
    return passes;
  }

  B* backend_;
  common_config<T> common_;
  config config_;
  int workers_;
  std::vector<bool> live_;
  std::uint32_t swap_iterations_{};
  generator_player<T, B> generator_;
  std::vector<std::shared_ptr<std::vector<float>>> images_;  // canonical, one per batch
  feedback_merge merge_;
};

/// Owns a discriminator and the source of its private samples.
template <Topology T, Backend B, BatchSource Source>
class md_gan::worker {
 public:
  /// index = rank - 1 names the discriminator's initial weights and random streams.
  worker(B& b, const common_config<T>& common, const config& settings, Source source,
         std::uint32_t index)
      : backend_(&b),
        common_(common),
        config_(settings),
        discriminator_(b, common, index),
        batches_(b, common.batch, std::move(source)),
        packet_(packet_size<T>(settings)) {}

  static constexpr std::size_t bytes(int batch, const typename T::loss_type& loss = {}) {
    return discriminator_player<T, B>::bytes(batch, loss) +
           received_batches<T, B, Source>::bytes(batch);
  }
  static constexpr std::size_t message_bytes(int batch, const config& settings) {
    return received_batches<T, B, Source>::host_bytes(batch) +
           packet_size<T>(settings) * sizeof(float);
  }
  /// Tells the server the size of the shard. Call once before the first round.
  template <Communicator C>
  static void begin(C& comm, const Source& source) {
    comm.send(message::control, std::array{static_cast<float>(source.size())}, 0);
  }

  /// One iteration of Algorithm 1, worker side. @returns what the server asked for; `stop` if the
  /// server is gone
  template <Communicator C>
  order round(C& comm, std::uint32_t iteration) {
    phase_times times;
    stopwatch watch(times);
    std::array<float, plan_message::size> packed{};
    if (!comm.receive(message::control, packed, 0)) return order::stop;
    const plan_message plan = plan_message::unpack(packed);
    if (plan.what != order::train) return plan.what;
    watch.lap(phase::wait);
    const network_input<B> real = batches_.read(iteration);
    watch.lap(phase::data);
    begin_learn(real, iteration);
    watch.lap(phase::discriminator);
    if (!receive_batch(comm, watch, false)) return order::stop;
    double loss = 0;
    for (int l = 0; l < config_.local_steps; ++l)
      loss = discriminator_.learn(real, batches_.fake(), iteration, static_cast<std::uint32_t>(l));
    has_learned_ = true;
    charge(comm, config_.local_steps * common_.batch * costs<T>::learn_discriminator);
    watch.lap(phase::discriminator);
    // With one batch for all both messages hold it.
    if (!receive_batch(comm, watch, config_.k == 1)) return order::stop;
    const double generator_loss =
        discriminator_.feedback(real, batches_.fake(), batches_.gradient(), iteration);
    charge(comm, common_.batch * costs<T>::feedback);
    watch.lap(phase::feedback);
    batches_.send_gradient(comm);
    // The last swap came after that round's feedback was sent.
    times += last_swap_;
    const worker_report done{loss, generator_loss, times, discriminator_.signals()};
    comm.send(message::control, done.pack(), 0);
    last_swap_ = {};
    if (plan.send_to >= 0) {
      stopwatch swap_watch(last_swap_);
      swap(comm, plan);
      swap_watch.lap(phase::swap);
    }
    return order::train;
  }

  [[nodiscard]] discriminator_player<T, B>& discriminator() { return discriminator_; }
  void visit_networks(auto&& f) { f("discriminator", discriminator_.state()); }
  void visit_values(auto&& f) { discriminator_.visit_values(f); }

 private:
  using state_type = typename discriminator_player<T, B>::state_type;

  /// What of the first learning step needs no fakes is done while the server generates them.
  void begin_learn(const network_input<B>& real, std::uint32_t iteration) {
    if (has_learned_) discriminator_.begin_learn(real, iteration, 0);
  }

  template <Communicator C>
  bool receive_batch(C& comm, stopwatch& watch, bool same) {
    return batches_.receive(comm, same, [&] { watch.lap(phase::wait); });
  }

  /// Passes this discriminator on and takes another's place. If the partner that should send has
  /// stopped, the own one stays.
  template <Communicator C>
  void swap(C& comm, const plan_message& plan) {
    state_type& state = discriminator_.state();
    const std::array<std::span<typename B::scalar>, 3> parts{
        state.values().params,
        config_.statistics_travel ? state.values().buffers : std::span<typename B::scalar>{},
        config_.moments_travel ? state.optimizer_state() : std::span<typename B::scalar>{}};
    exchange_discriminators<B, C>(*backend_, comm, parts, packet_, plan.send_to, plan.receive_from);
  }

  B* backend_;
  common_config<T> common_;
  config config_;
  discriminator_player<T, B> discriminator_;
  received_batches<T, B, Source> batches_;
  message_memory<B> packet_;
  phase_times last_swap_;
  bool has_learned_{false};  // in this run
};

/// Bytes as in sections IV-B3 and IV-C2 of the paper, but counted, and with what else travels.
template <Topology T, Backend B, BatchSource Source>
strategy_plan md_gan::plan(const common_config<T>& common, const config& settings, int workers) {
  using cost = costs<T>;
  const auto count = static_cast<std::uint64_t>(workers);
  const int b = common.batch;
  feedback_merge::require(settings.aggregation, settings.k, workers);
  strategy_plan p;
  p.lead_flops =
      b * (settings.k * cost::generate + std::min(settings.k, workers) * cost::learn_generator);
  p.worker_flops = b * (settings.local_steps * cost::learn_discriminator + cost::feedback);
  p.bytes_down = 2 * packed_batch<T>(b) * sizeof(float) * count;
  p.bytes_up = static_cast<std::uint64_t>(b) * T::sample_shape.size() * sizeof(float) * count;
  p.bytes_swap = workers > 1 ? packet_size<T>(settings) * sizeof(float) * count : 0;
  using lead = server<T, B>;
  using helper = worker<T, B, Source>;
  p.set_memory(node_memory({generator_arenas<T, B>}, lead::bytes(b, settings),
                           lead::message_bytes(b, settings, workers)),
               node_memory({discriminator_arenas<T, B>}, helper::bytes(b, common.topology.loss),
                           helper::message_bytes(b, settings)));
  return p;
}

}  // namespace gantry::dist
