// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/rng.hpp"
#include "gantry/concepts/communicator.hpp"
#include "gantry/concepts/link_model.hpp"

namespace gantry::inline v0::metrics {

/// A node and its connection. As constructed it costs nothing and never fails.
struct node_rates {
  double flops_per_second{std::numeric_limits<double>::infinity()};
  double upload{std::numeric_limits<double>::infinity()};    ///< bytes per second
  double download{std::numeric_limits<double>::infinity()};  ///< bytes per second
  double latency{0};          ///< seconds that a message spends on this node's side
  bool shares_uplink{false};  ///< one message at a time to all receivers, not to each
  double slow_down{1};        ///< a straggler takes so many times as long to compute
  double stall_probability{0}, stall_factor{1};  ///< of each call of charge by itself
  double drop_out{0};                            ///< probability per round
};

/// Bytes per second of a wireless link: bandwidth log2(1 + power gain / noise) / 8, with the
/// bandwidth in Hz and the noise in the unit of power (Manu et al., AsyncFedGAN, IEEE TPDS 36(3)).
inline double wireless_rate(double bandwidth, double power, double gain, double noise) {
  return bandwidth * std::log2(1 + power * gain / noise) / 8;
}

/// Rates of every rank; rank 0 is the server. A message from a to b goes at the lower of a's upload
/// and b's download and is late by both latencies. Messages that come to one rank from several do
/// not slow each other down.
class link_model {
 public:
  /// One entry for each rank. @throws usage_error for a rate that is not positive, a negative
  /// latency, a factor that is negative or a probability outside [0, 1]
  explicit link_model(std::vector<node_rates> nodes, std::uint64_t seed = 0)
      : nodes_(std::move(nodes)), seed_(seed) {
    for (const node_rates& n : nodes_) {
      expects(n.flops_per_second > 0 && n.upload > 0 && n.download > 0,
              "the rates of a modelled node must be positive; leave them out where nothing is to "
              "be modelled");
      expects(n.latency >= 0 && n.slow_down >= 0 && n.stall_factor >= 0,
              "the latency and the factors of a modelled node must be 0 or more");
      expects(n.stall_probability >= 0 && n.stall_probability <= 1 && n.drop_out >= 0 &&
                  n.drop_out <= 1,
              "the probabilities of a modelled node must be from 0 to 1");
    }
  }

  [[nodiscard]] double transfer_seconds(rank_t from, rank_t to, double bytes) const {
    return bytes / std::min(of(from).upload, of(to).download);
  }
  [[nodiscard]] double latency(rank_t from, rank_t to) const {
    return of(from).latency + of(to).latency;
  }
  [[nodiscard]] bool shares_uplink(rank_t rank) const { return of(rank).shares_uplink; }
  [[nodiscard]] double compute_seconds(rank_t rank, double flops, std::uint32_t number) const {
    const node_rates& n = of(rank);
    const bool stalls = n.stall_probability > 0 && happens(rank, number, 0, n.stall_probability);
    return flops / n.flops_per_second * n.slow_down * (stalls ? n.stall_factor : 1);
  }

  /// Whether a rank is away in a round: for schedulers that ask who takes part.
  [[nodiscard]] bool drops_out(rank_t rank, std::uint32_t round) const {
    const double p = of(rank).drop_out;
    return p > 0 && happens(rank, round, 1, p);
  }
  /// The first of `rounds` rounds in which a rank drops out: for strategies whose workers then stop
  /// for good.
  [[nodiscard]] std::optional<std::uint32_t> first_drop_out(rank_t rank,
                                                            std::uint32_t rounds) const {
    for (std::uint32_t round = 0; round < rounds; ++round)
      if (drops_out(rank, round)) return round;
    return std::nullopt;
  }

  /// Makes this part of the workers, rounded, stragglers: which ones follows from the seed.
  /// @throws usage_error for a fraction outside [0, 1] or a negative factor
  void add_stragglers(double fraction, double factor) {
    expects(fraction >= 0 && fraction <= 1 && factor >= 0,
            "stragglers are a fraction of the workers from 0 to 1, with a factor of 0 or more");
    if (nodes_.size() < 2) return;
    const auto workers = static_cast<std::uint32_t>(nodes_.size() - 1);
    const auto order =
        random_permutation(workers, {.seed = seed_, .use = purpose::faults, .salt = 2});
    const auto slow = static_cast<std::size_t>(std::lround(fraction * workers));
    for (std::size_t i = 0; i < slow; ++i) nodes_[order[i] + 1].slow_down = factor;
  }

  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  /// @throws usage_error for a rank without an entry
  [[nodiscard]] const node_rates& of(rank_t rank) const {
    expects(rank >= 0 && static_cast<std::size_t>(rank) < nodes_.size(),
            "a link model must have an entry for each rank of the world; give it as many nodes");
    return nodes_[static_cast<std::size_t>(rank)];
  }

 private:
  /// uniform_at is in (0, 1], so that a probability of 1 is certain and one of 0 never happens.
  [[nodiscard]] bool happens(rank_t rank, std::uint32_t step, std::uint32_t salt, double p) const {
    return static_cast<double>(uniform_at({.seed = seed_,
                                           .step = step,
                                           .worker = static_cast<std::uint32_t>(rank),
                                           .use = purpose::faults,
                                           .salt = salt},
                                          0)) <= p;
  }

  std::vector<node_rates> nodes_;
  std::uint64_t seed_;
};

static_assert(LinkModel<link_model>, "link_model must be what modelled communicators ask for");

}  // namespace gantry::metrics
