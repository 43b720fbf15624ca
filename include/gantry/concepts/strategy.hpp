// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The strategy contract: what the nodes of a distributed GAN do in one round.
//
// A strategy is a struct with a `config`, and one or two role templates. Rank 0 of the world runs
// the lead role: `server` if the strategy has one, else `node`. A server has no real samples: its
// type takes no source. Ranks 1, 2, ... run `worker`, constructed with the source of their shard.
//
//   lead    begin(comm)                                once, before the first round
//           round(comm, iteration) -> round_report     one round, in step with the workers
//           command(comm, order)                       tells every live worker to save or to stop
//           sample(latents, images)                    images of the averaged generator
//           prepare_sampling(comm)                     optional: comes before `sample`, to fetch
//                                                      what it needs from the workers
//           is_live(n), set_lost(n)                    servers: about worker n = 1, 2, ...
//   worker  begin(comm, source)                        static; once, before the role is made
//           round(comm, iteration) -> order            what the server asked for; `train` when a
//                                                      round was done
//   both    visit_networks(f)                          f(name, dist::network_state&) for each
//                                                      network that a checkpoint holds
//           visit_values(f)                            optional: f(name, std::vector<float>&) for
//                                                      all other values that a resume needs
//
// S::plan<T, B, Source>(common, settings, workers) -> strategy_plan says what a run will cost.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/dataset.hpp"
#include "gantry/concepts/topology.hpp"

namespace gantry::inline v0 {

/// What a server asks its workers to do next; `publish` stays between the roles of a strategy, for
/// what prepare_sampling needs.
enum class order : int { stop, train, save, publish };

/// Where the time of a round goes.
enum class phase : int { generate, data, discriminator, feedback, generator, exchange, wait, swap };
inline constexpr std::array<std::string_view, 8> phase_names{
    "generate", "data", "discriminator", "feedback", "generator", "exchange", "wait", "swap"};

/// Seconds per phase.
struct phase_times {
  std::array<double, phase_names.size()> seconds{};
  double& operator[](phase p) { return seconds[static_cast<std::size_t>(p)]; }
  double operator[](phase p) const { return seconds[static_cast<std::size_t>(p)]; }
  phase_times& operator+=(const phase_times& other) {
    for (std::size_t i = 0; i < seconds.size(); ++i) seconds[i] += other.seconds[i];
    return *this;
  }
  [[nodiscard]] double total() const {
    double sum = 0;
    for (double s : seconds) sum += s;
    return sum;
  }
};

/// What a discriminator saw in a learning step. Names are those of stats.jsonl.
enum class signal : int { score_real, score_fake, sign_real, sign_fake, penalty, augment };
inline constexpr std::array<std::string_view, 6> signal_names{
    "scores_real", "scores_fake", "signs_real", "signs_fake", "reg_d", "augment"};

/// E D(x) and E sign D(x) of real and generated batches, the penalties in the loss, the probability
/// of augmentations; NaN for what there is not.
struct learning_signals {
  std::array<double, signal_names.size()> values{};
  double& operator[](signal s) { return values[static_cast<std::size_t>(s)]; }
  double operator[](signal s) const { return values[static_cast<std::size_t>(s)]; }
  learning_signals& operator+=(const learning_signals& other) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += other.values[i];
    return *this;
  }
  learning_signals& operator/=(double divisor) {
    for (double& v : values) v /= divisor;
    return *this;
  }
};

/// What one round did, as its lead saw it.
struct round_report {
  double discriminator_loss{};      ///< mean over workers, last local step
  double generator_loss{};          ///< mean over workers
  int workers{};                    ///< that took part to the end
  std::int64_t images{};            ///< real samples seen by all workers in this round
  std::int64_t generator_steps{1};  ///< updates on the way of one generator through this round
  std::uint64_t bytes_down{}, bytes_up{},
      bytes_swap{};            ///< payload between server and workers, and between workers
  phase_times lead{};          ///< rank 0
  phase_times worker{};        ///< mean over workers; zero without workers
  learning_signals signals{};  ///< mean over workers, last local step
  double generator_penalty{std::numeric_limits<double>::quiet_NaN()};  ///< in generator_loss; NaN:
                                                                       ///< none
  /// Seconds of a broadcast that travels layer by layer, mean over workers: computing while parts
  /// of it were still to come, and waiting for them.
  double hidden{}, exposed{};

  /// The share of the way that compute hid, from 0 to 1; 0 if nothing travelled so.
  [[nodiscard]] double hidden_fraction() const {
    return hidden > 0 ? hidden / (hidden + exposed) : 0;
  }
};

/// Bytes of a node by what they hold.
struct arena_bytes {
  std::size_t parameters{};  ///< running statistics and their averages too
  std::size_t gradients{};
  std::size_t optimizer_state{};
  std::size_t activations{};  ///< tapes, and what else lies on the backend
  std::size_t messages{};     ///< and samples, on the host
  [[nodiscard]] constexpr std::size_t total() const {
    return parameters + gradients + optimizer_state + activations + messages;
  }
  /// Calls f(name, bytes) for each.
  void visit(auto&& f) const {
    f("parameters", parameters);
    f("gradients", gradients);
    f("optimizer_state", optimizer_state);
    f("activations", activations);
    f("messages", messages);
  }
};

/// What a run will need and move, from constants of its types and its settings.
struct strategy_plan {
  double lead_flops{}, worker_flops{};         ///< of one round, products only; worker: each
  std::uint64_t bytes_down{}, bytes_up{};      ///< payload of one round, all workers together
  std::uint64_t bytes_swap{};                  ///< payload of one swap, all workers together
  std::size_t lead_bytes{}, worker_bytes{};    ///< arenas and message buffers of a node
  arena_bytes lead_arenas{}, worker_arenas{};  ///< the same in parts

  void set_memory(const arena_bytes& lead, const arena_bytes& worker) {
    lead_arenas = lead, worker_arenas = worker;
    lead_bytes = lead.total(), worker_bytes = worker.total();
  }
};

/// Settings that every strategy shares.
template <Topology T>
struct common_config {
  T topology{};
  std::uint64_t seed{0};
  int batch{64};  ///< samples per batch and worker
};

template <class S>
concept Strategy = requires {
  typename S::config;
  { S::name } -> std::convertible_to<std::string_view>;
  { S::title } -> std::convertible_to<std::string_view>;
  { S::has_server } -> std::convertible_to<bool>;
};

}  // namespace gantry
