// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The settings of federated averaging, and what its roles say to each other; federated_average.hpp
// is the strategy.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "gantry/dist/aggregate.hpp"
#include "gantry/dist/discriminator_player.hpp"
#include "gantry/dist/generator_player.hpp"
#include "gantry/dist/network_packet.hpp"
#include "gantry/dist/swap.hpp"
#include "gantry/dist/worker_weights.hpp"

namespace gantry::inline v0::dist {

struct federated_average {
  static constexpr std::string_view name = "federated_average";
  static constexpr std::string_view title = "Federated averaging (FL-GAN, FedGAN)";
  static constexpr bool has_server = true;

  enum class networks { both, generator, discriminator };
  enum class update_order {
    alternating,  ///< the generator learns from the discriminator that has just learned
    simultaneous  ///< both from what was there before the update: FedGAN
  };
  enum class sampling { all, random, balanced };

  /// A server that merges each upload when it arrives. So that runs repeat, the order of arrivals
  /// follows from a model: an upload of K updates takes K / rate, with the worker's rate or one
  /// that is drawn for each upload, log-uniform between 1/2 and 2.
  struct asynchronous {
    staleness_weight weight{};
    std::vector<double> rates{};  ///< updates per unit of time and worker; empty: drawn
  };

  struct config {
    swap_interval local{iterations(1)};  ///< K updates per round, or E epochs of the own shard
    update_order updates{update_order::alternating};
    networks average{networks::both};  ///< the other network stays where it is
    travels with{};                    ///< what goes with the parameters
    weight_rule weights{weight_rule::size};
    sampling sample{sampling::all};
    double fraction{1};   ///< of the live workers that takes part, unless `all` do
    int weak_workers{0};  ///< the first so many do half the updates
    aggregation how{};
    std::optional<asynchronous> arrivals{};
  };

  /// An asynchronous server's checkpoint holds the time of each worker's next upload.
  static constexpr bool fixes_workers(const config& c) { return c.arrivals.has_value(); }

  static constexpr bool averages_generator(const config& c) {
    return c.average != networks::discriminator;
  }
  static constexpr bool averages_discriminator(const config& c) {
    return c.average != networks::generator;
  }
  /// Whether workers tell the server how often each label occurs in their shard.
  static constexpr bool counts_labels(const config& c) {
    return needs_labels(c.weights) || c.sample == sampling::balanced;
  }
  /// Updates of worker n = 1, 2, ... in a round.
  static int updates(const config& c, int n, std::int64_t shard, int batch) {
    const auto all = static_cast<int>(c.local.iterations(shard, batch));
    return n <= c.weak_workers ? std::max(1, all / 2) : all;
  }
  /// Workers of a round, among so many live ones.
  static int participants(const config& c, int live) {
    if (c.arrivals) return 1;
    return c.sample == sampling::all ? live : part_of(c.fraction, live);
  }

  /// The networks that are averaged, as one message.
  template <Topology T, Backend B>
  struct packet {
    using generator_state = typename generator_player<T, B>::state_type;
    using discriminator_state = typename discriminator_player<T, B>::state_type;

    static constexpr std::size_t size(const config& c) {
      return (averages_generator(c) ? packed_network<generator_state>(c.with) : 0) +
             (averages_discriminator(c) ? packed_network<discriminator_state>(c.with) : 0);
    }
    /// A generator as samples are drawn from it: weights and statistics, averaged over steps.
    static constexpr std::size_t published =
        generator_state::param_count + generator_state::buffer_count;
    /// Whether some of that does not come with the rounds.
    static constexpr bool must_publish(const config& c) {
      return !averages_generator(c) || (!c.with.statistics && generator_state::buffer_count > 0);
    }
  };

  template <Topology T, Backend B>
  class server;
  template <Topology T, Backend B, BatchSource Source>
  class worker;

  template <Topology T, Backend B, BatchSource Source>
  static strategy_plan plan(const common_config<T>& common, const config& settings, int workers);

 private:
  /// Server to every live worker, each round. A worker does what is asked for, in this order.
  struct plan_message {
    static constexpr std::size_t size = 5;
    order what{order::train};
    bool start{};    ///< receive the networks and do the local updates
    bool deliver{};  ///< send the result
    bool restart{};  ///< and start again from newer networks
    double step{};   ///< updates that travelling moments have seen; exact up to 2^24
    [[nodiscard]] std::array<float, size> pack() const {
      return {static_cast<float>(what), static_cast<float>(start), static_cast<float>(deliver),
              static_cast<float>(restart), static_cast<float>(step)};
    }
    static plan_message unpack(const std::array<float, size>& m) {
      return {static_cast<order>(m[0]), m[1] != 0, m[2] != 0, m[3] != 0, static_cast<double>(m[4])};
    }
  };
  static plan_message ask_for_labels() { return {.what = order::publish, .start = true}; }
  static plan_message ask_for_generator() { return {.what = order::publish}; }
};

}  // namespace gantry::dist
