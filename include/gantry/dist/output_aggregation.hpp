// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// One generator against the aggregated outputs of private discriminators on shared fakes: UA-GAN
// (Zhang et al., arXiv 2102.04655), F2U and F2A (Yonetani et al., arXiv 1905.09684), and the plain
// mean. What travels are generated images, one number per image, and image gradients: the server
// knows dL/dD_k for each worker k, the worker knows dD_k/dx, and their product is summed on the
// server.
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
#include "gantry/dist/discriminator_player.hpp"
#include "gantry/dist/generated_batches.hpp"
#include "gantry/dist/generator_player.hpp"
#include "gantry/dist/node_memory.hpp"
#include "gantry/dist/output_rules.hpp"
#include "gantry/dist/stopwatch.hpp"
#include "gantry/dist/worker_report.hpp"

namespace gantry::inline v0::dist {

struct output_aggregation {
  static constexpr std::string_view name = "output_aggregation";
  static constexpr std::string_view title = "Aggregated discriminator outputs (UA-GAN, F2U, F2A)";
  static constexpr bool has_server = true;

  struct config {
    output_rule rule{output_rule::odds};
    int fakes{1};        ///< 1: both players see the same generated batch, 2: each its own
    int local_steps{1};  ///< discriminator steps per round on the same two batches
    /// Of the rule softmax: its first lambda* (lambda = max(lambda*, 0)), the rate of lambda*'s
    /// gradient steps, and beta of beta lambda^2 in the generator's loss.
    float lambda{1.0f}, lambda_rate{0.01f}, beta{0.1f};
  };

  /// What a worker says about its shard before the first round: its size, and for conditional
  /// networks the number of samples of each class, zeros if its source cannot count them.
  template <Topology T>
  static constexpr std::size_t shard_message = 1 + static_cast<std::size_t>(T::classes);

  template <Topology T, Backend B>
  class server;
  template <Topology T, Backend B, BatchSource Source>
  class worker;

  template <Topology T, Backend B, BatchSource Source>
  static strategy_plan plan(const common_config<T>& common, const config& settings, int workers);

 private:
  template <Topology T>
  static void check(const common_config<T>& common, const config& settings) {
    expects(settings.fakes == 1 || settings.fakes == 2,
            "output_aggregation: the number of fake batches must be 1 or 2");
    expects(settings.local_steps >= 1,
            "output_aggregation: the number of local steps must be at least 1");
    expects(!common.topology.loss.generator_needs_real(),
            "output_aggregation: expected an objective whose generator sees fakes alone, because "
            "the server has no real samples, and found a relativistic one; use another objective");
  }

  /// Server to worker: what to do, and the worker's share of an auxiliary classifier's term.
  using plan_message = std::array<float, 2>;
};

/// Owns the generator. Its type knows no real samples.
template <Topology T, Backend B>
class output_aggregation::server {
 public:
  static constexpr std::size_t image_size = static_cast<std::size_t>(T::sample_shape.size());

  /// @throws usage_error for settings that cannot work, or an objective whose generator needs real
  /// samples
  server(B& b, const common_config<T>& common, const config& settings, int workers)
      : backend_(&b),
        common_(common),
        config_(settings),
        live_(static_cast<std::size_t>(workers), true),
        shards_(live_.size(), std::vector<float>(shard_message<T>)),
        outputs_(live_.size(), std::vector<float>(batch())),
        generator_((check(common, settings), b), common, settings.fakes),
        value_(b.allocate(batch())),
        slope_(b.allocate(batch())),
        loss_sum_(b.allocate(1)),
        images_(packed_batch<T>(common.batch)),
        merged_(batch() * image_size),
        received_(merged_.size()),
        lambda_{settings.lambda} {}

  /// Bytes that the constructor allocates from the backend; host message buffers are
  /// `message_bytes`.
  static constexpr std::size_t bytes(int batch, const config& settings) {
    using scalar = typename B::scalar;
    return generator_player<T, B>::bytes(batch, settings.fakes) +
           2 * allocation_bytes<scalar>(static_cast<std::size_t>(batch)) +
           allocation_bytes<scalar>(1);
  }
  static constexpr std::size_t message_bytes(int batch, int workers) {
    return (packed_batch<T>(batch) + 2 * static_cast<std::size_t>(batch) * image_size +
            static_cast<std::size_t>(workers) * static_cast<std::size_t>(batch)) *
           sizeof(float);
  }

  /// Learns the sizes of all shards. Call once before the first round.
  template <Communicator C>
  void begin(C& comm) {
    for (int n = 1; n <= workers(); ++n)
      (void)receive_from(comm, message::control, shards_[index(n)], n);
  }

  /// @throws workers_lost if no worker is left
  template <Communicator C>
  round_report round(C& comm, std::uint32_t iteration) {
    round_report report;
    stopwatch watch(report.lead);
    const auto live = static_cast<float>(std::ranges::count(live_, true));
    for (int n = 1; n <= workers(); ++n)
      if (is_live(n))
        comm.send(message::control, plan_message{static_cast<float>(order::train), 1 / live}, n);
    for (int j = 0; j < config_.fakes; ++j) {
      send_fakes(comm, iteration, static_cast<std::size_t>(j), report);
      watch.lap(phase::generate);
    }
    std::vector<int> judges;
    for (int n = 1; n <= workers(); ++n)
      if (is_live(n) && receive_from(comm, message::feedback, outputs_[index(n)], n))
        judges.push_back(n);
    if (judges.empty()) throw_lost();
    watch.lap(phase::wait);
    report.generator_loss = send_slopes(comm, judges, report);
    watch.lap(phase::feedback);
    merge_gradients(comm, judges, report);
    if (report.workers == 0) throw_lost();
    watch.lap(phase::wait);
    learn();
    watch.lap(phase::generator);
    charge(comm, common_.batch * costs<T>::learn_generator);
    return report;
  }

  template <Communicator C>
  void command(C& comm, order what) {
    for (int n = 1; n <= workers(); ++n)
      if (is_live(n)) comm.send(message::control, plan_message{static_cast<float>(what)}, n);
  }

  void sample(std::span<const float> latents, std::span<float> images) {
    generator_.sample(latents, images);
  }
  [[nodiscard]] generator_player<T, B>& generator() { return generator_; }
  /// The factor of the rule softmax.
  [[nodiscard]] double lambda() const {
    return std::max(0.0, static_cast<double>(lambda_.front()));
  }
  void visit_networks(auto&& f) { f("generator", generator_.state()); }
  void visit_values(auto&& f) { f("lambda", lambda_); }
  [[nodiscard]] bool is_live(int n) const { return live_[index(n)]; }
  void set_lost(int n) { live_[index(n)] = false; }

 private:
  [[noreturn]] static void throw_lost() {
    throw workers_lost(
        "output_aggregation: expected at least one worker and found that all have stopped; start "
        "anew with workers that stay");
  }
  static std::size_t index(int n) { return static_cast<std::size_t>(n - 1); }
  [[nodiscard]] int workers() const { return static_cast<int>(live_.size()); }
  [[nodiscard]] std::size_t batch() const { return static_cast<std::size_t>(common_.batch); }
  /// The batch on which outputs are aggregated.
  [[nodiscard]] std::size_t judged() const { return static_cast<std::size_t>(config_.fakes - 1); }

  template <Communicator C>
  bool receive_from(C& comm, message kind, std::span<float> out, int n) {
    const bool arrived = comm.receive(kind, out, n);
    if (!arrived) set_lost(n);
    return arrived;
  }

  template <Communicator C>
  void send_fakes(C& comm, std::uint32_t iteration, std::size_t j, round_report& report) {
    generate_packed(*backend_, generator_, common_.seed, iteration, j, images_);
    backend_->synchronize();
    charge(comm, common_.batch * costs<T>::generate);
    for (int n = 1; n <= workers(); ++n) {
      if (!is_live(n)) continue;
      comm.send(message::batch, images_, n);
      report.bytes_down += images_.size() * sizeof(float);
    }
  }

  /// Aggregates the judges' outputs image by image, and sends each the derivative of the
  /// generator's loss by its own. @returns that loss
  template <Communicator C>
  double send_slopes(C& comm, const std::vector<int>& judges, round_report& report) {
    const std::size_t count = judges.size();
    std::vector<float> all(batch()), lambda_slopes(batch()), own(count);
    std::vector<std::span<const float>> shards;
    for (const int n : judges) shards.emplace_back(shards_[index(n)]);
    std::vector<double> weights(count, 1.0), slopes(count);
    std::vector<std::vector<float>> of_judge(count, std::vector<float>(batch()));
    const std::uint8_t* labels = generator_.labels(judged());
    for (std::size_t i = 0; i < batch(); ++i) {
      for (std::size_t k = 0; k < count; ++k) own[k] = outputs_[index(judges[k])][i];
      odds_weights(shards, T::classes > 0 ? 1 + labels[i] : 0, weights);
      const aggregated a = aggregate(config_.rule, own, weights, lambda(), slopes);
      all[i] = static_cast<float>(a.value);
      lambda_slopes[i] = static_cast<float>(a.lambda);
      for (std::size_t k = 0; k < count; ++k) of_judge[k][i] = static_cast<float>(slopes[k]);
    }
    std::vector<float> by_output(batch());
    double loss = generator_loss(all, by_output);
    if (config_.rule == output_rule::softmax)
      loss += report.generator_penalty = learn_lambda(by_output, lambda_slopes);
    for (std::size_t k = 0; k < count; ++k) {
      for (std::size_t i = 0; i < batch(); ++i) of_judge[k][i] *= by_output[i];
      comm.send(message::feedback, of_judge[k], judges[k]);
      report.bytes_down += batch() * sizeof(float);
    }
    return loss;
  }

  /// The objective on the aggregated outputs, and its derivative by each.
  double generator_loss(std::span<const float> outputs, std::span<float> by_output) {
    B& b = *backend_;
    launch(b, ops::fill{}, {loss_sum_.data(), 1, 0.0f});
    b.upload(outputs, value_.data());
    common_.topology.loss.generator(
        b, logits<B>{}, logits<B>{value_.data(), slope_.data(), batch()}, loss_sum_.data());
    b.download(slope_.data(), by_output);
    float loss = 0;
    b.download(loss_sum_.data(), {&loss, 1});
    return static_cast<double>(loss);
  }

  /// One gradient step of lambda*. @returns the part of the loss that is lambda's alone
  double learn_lambda(std::span<const float> by_output, std::span<const float> lambda_slopes) {
    const double before = lambda(), beta = static_cast<double>(config_.beta);
    if (before > 0) {
      double gradient = 2 * beta * before;
      for (std::size_t i = 0; i < by_output.size(); ++i)
        gradient += static_cast<double>(by_output[i]) * static_cast<double>(lambda_slopes[i]);
      lambda_.front() -= config_.lambda_rate * static_cast<float>(gradient);
    }
    return beta * before * before;
  }

  /// Sums the image gradients in the order of ranks.
  template <Communicator C>
  void merge_gradients(C& comm, const std::vector<int>& judges, round_report& report) {
    worker_report::message_type statistics{};
    for (const int n : judges) {
      std::vector<float>& target = report.workers == 0 ? merged_ : received_;
      if (!receive_from(comm, message::feedback, target, n)) continue;
      if (!receive_from(comm, message::control, statistics, n)) continue;
      if (report.workers++ > 0)
        for (std::size_t i = 0; i < merged_.size(); ++i) merged_[i] += received_[i];
      report.images += common_.batch;
      report.bytes_up += (batch() + merged_.size()) * sizeof(float);
      const worker_report one = worker_report::unpack(statistics);
      report.discriminator_loss += one.discriminator_loss;
      report.generator_loss += one.generator_loss;
      report.worker += one.times;
      report.signals += one.signals;
    }
    if (report.workers == 0) return;
    report.discriminator_loss /= report.workers;
    for (double& s : report.worker.seconds) s /= report.workers;
    report.signals /= report.workers;
  }

  void learn() {
    launch(*backend_, ops::import_samples<T::sample_shape>{},
           {merged_.data(), generator_.image_gradient(judged())});
    generator_.begin_update();
    generator_.learn(judged());
    generator_.update();
    backend_->synchronize();
  }

  B* backend_;
  common_config<T> common_;
  config config_;
  std::vector<bool> live_;
  std::vector<std::vector<float>> shards_, outputs_;  ///< of each worker
  generator_player<T, B> generator_;
  typename B::buffer_type value_, slope_, loss_sum_;
  std::vector<float> images_, merged_, received_;  ///< canonical
  std::vector<float> lambda_;                      ///< lambda*, one number
};

/// Owns a discriminator and the source of its private samples.
template <Topology T, Backend B, BatchSource Source>
class output_aggregation::worker {
 public:
  /// index = rank - 1 names the discriminator's initial weights and random streams.
  worker(B& b, const common_config<T>& common, const config& settings, Source source,
         std::uint32_t index)
      : common_(common),
        config_(settings),
        discriminator_(b, common, index),
        batches_(b, common.batch, std::move(source)),
        outputs_(static_cast<std::size_t>(common.batch)) {}

  static constexpr std::size_t bytes(int batch, const typename T::loss_type& loss = {}) {
    return discriminator_player<T, B>::bytes(batch, loss) +
           received_batches<T, B, Source>::bytes(batch);
  }
  static constexpr std::size_t message_bytes(int batch) {
    return received_batches<T, B, Source>::host_bytes(batch) +
           static_cast<std::size_t>(batch) * sizeof(float);
  }
  /// Tells the server about the shard. Call once before the first round.
  template <Communicator C>
  static void begin(C& comm, const Source& source) {
    std::array<float, shard_message<T>> shard{static_cast<float>(source.size())};
    if constexpr (T::classes > 0 && CountedSource<Source>) {
      const auto counts = source.label_counts();
      std::transform(counts.begin(), counts.begin() + T::classes, shard.begin() + 1,
                     [](std::int64_t n) { return static_cast<float>(n); });
    }
    comm.send(message::control, shard, 0);
  }

  /// @returns what the server asked for; `stop` if the server is gone
  template <Communicator C>
  order round(C& comm, std::uint32_t iteration) {
    phase_times times;
    stopwatch watch(times);
    plan_message plan{};
    if (!comm.receive(message::control, plan, 0)) return order::stop;
    if (static_cast<order>(plan[0]) != order::train) return static_cast<order>(plan[0]);
    watch.lap(phase::wait);
    const network_input<B> real = batches_.read(iteration);
    watch.lap(phase::data);
    if (!receive_fake(comm)) return order::stop;
    watch.lap(phase::wait);
    double loss = 0;
    for (int l = 0; l < config_.local_steps; ++l)
      loss = discriminator_.learn(real, batches_.fake(), iteration, static_cast<std::uint32_t>(l));
    watch.lap(phase::discriminator);
    if (config_.fakes > 1 && !receive_fake(comm)) return order::stop;
    watch.lap(phase::wait);
    discriminator_.judge(batches_.fake(), iteration, outputs_);
    using c = costs<T>;
    charge(comm, common_.batch * (config_.local_steps * c::learn_discriminator + c::d.forward));
    comm.send(message::feedback, outputs_, 0);
    watch.lap(phase::feedback);
    if (!comm.receive(message::feedback, outputs_, 0)) return order::stop;
    watch.lap(phase::wait);
    const double class_loss =
        discriminator_.image_gradient(batches_.fake(), outputs_, plan[1], batches_.gradient());
    const std::span<const float> gradient = batches_.export_gradient();
    charge(comm, common_.batch * c::d.input_gradient);
    watch.lap(phase::feedback);
    comm.send(message::feedback, gradient, 0);
    const worker_report done{loss, class_loss, times, discriminator_.signals()};
    comm.send(message::control, done.pack(), 0);
    return order::train;
  }

  [[nodiscard]] discriminator_player<T, B>& discriminator() { return discriminator_; }
  void visit_networks(auto&& f) { f("discriminator", discriminator_.state()); }
  void visit_values(auto&& f) { discriminator_.visit_values(f); }

 private:
  template <Communicator C>
  bool receive_fake(C& comm) {
    if (!batches_.receive(comm, false, [] {})) return false;
    return true;
  }

  common_config<T> common_;
  config config_;
  discriminator_player<T, B> discriminator_;
  received_batches<T, B, Source> batches_;
  std::vector<float> outputs_;
};

/// As MD-GAN's, with one number per image in each direction. @throws usage_error as the server
template <Topology T, Backend B, BatchSource Source>
strategy_plan output_aggregation::plan(const common_config<T>& common, const config& settings,
                                       int workers) {
  check(common, settings);
  using c = costs<T>;
  const auto count = static_cast<std::uint64_t>(workers);
  const int b = common.batch;
  const std::uint64_t numbers = static_cast<std::uint64_t>(b) * sizeof(float);
  strategy_plan p;
  p.lead_flops = b * (settings.fakes * c::generate + c::learn_generator);
  p.worker_flops = b * (settings.local_steps * c::learn_discriminator + c::feedback);
  p.bytes_down =
      (static_cast<std::uint64_t>(settings.fakes) * packed_batch<T>(b) * sizeof(float) + numbers) *
      count;
  p.bytes_up = numbers * (1 + T::sample_shape.size()) * count;
  using lead = server<T, B>;
  using helper = worker<T, B, Source>;
  p.set_memory(node_memory({generator_arenas<T, B>}, lead::bytes(b, settings),
                           lead::message_bytes(b, workers)),
               node_memory({discriminator_arenas<T, B>}, helper::bytes(b, common.topology.loss),
                           helper::message_bytes(b)));
  return p;
}

}  // namespace gantry::dist
