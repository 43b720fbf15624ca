// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What server and worker of layerwise_overlap agree on: settings, slices, messages.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <span>

#include "gantry/base/error.hpp"
#include "gantry/concepts/strategy.hpp"
#include "gantry/dist/layer_slices.hpp"
#include "gantry/dist/step_scheduler.hpp"
#include "gantry/dist/swap.hpp"
#include "gantry/dist/worker_report.hpp"

namespace gantry::inline v0::dist {

/// How a network travels. The result is the same, bit for bit.
enum class overlap_mode {
  blocking,    ///< in one message behind the whole update; who receives waits for all of it
  ready,       ///< each slice as soon as its gradient is final and its update done: output first
  input_first  ///< each slice as soon as it is updated, in the order of the receiver's forward
};

/// What a worker does with a discriminator that another one has passed to it.
enum class peer_rule {
  none,         ///< discriminators are not passed on
  consolidate,  ///< learns on under the penalty of elastic weight consolidation
  replay        ///< learns on with remembered fakes among the generated samples
};

template <StepScheduler Scheduler>
struct layerwise_config {
  overlap_mode overlap{overlap_mode::ready};
  std::size_t bucket{0};        ///< bytes up to which layers share a message; 0: each has its own
  std::size_t piece{64 << 10};  ///< bytes of a message at most, unless blocking
  bool return_mean{true};  ///< workers go on from the averaged discriminator, else from their own
  Scheduler steps{};
  peer_rule peer{peer_rule::none};
  swap_rule peer_order{swap_rule::derangement};
  int peer_steps{1};          ///< steps on the discriminator of another worker
  float peer_weight{100.0f};  ///< lambda of the consolidation
  float fisher_decay{0.9f};   ///< weight of the past in the Fisher diagonal
  float replay_share{0.25f};  ///< of a batch of fakes, taken from the memory
  int replay_capacity{256};   ///< samples in the memory
};

/// @throws usage_error
template <class Config>
void check(const Config& c) {
  expects(c.peer_steps >= 1,
          "layerwise_overlap: the number of steps after a peer pass must be at least 1");
  expects(c.peer_weight >= 0.0f, "layerwise_overlap: the peer weight must be 0 or more");
  expects(c.fisher_decay >= 0.0f && c.fisher_decay < 1.0f,
          "layerwise_overlap: the decay of the Fisher diagonal must be at least 0 and below 1");
  expects(c.replay_share >= 0.0f && c.replay_share <= 1.0f,
          "layerwise_overlap: the share of remembered fakes must be from 0 to 1");
  expects(c.replay_capacity >= 1 && c.replay_capacity <= (1 << 22),
          "layerwise_overlap: the memory must have room for 1 to 4194304 fakes");
}

/// The slices of a network under these settings; one for everything when blocking.
template <class Net, class Config>
constexpr layer_slices<Net> slices_of(const Config& c) {
  return layer_slices<Net>(c.overlap == overlap_mode::blocking ? layer_slices<Net>::everything
                                                               : c.bucket);
}

/// Scalars of a message at most: what larger slices are cut into, so that no node needs room for
/// more and the mean of one piece is on its way back before the next has come.
template <class Config>
constexpr std::size_t message_room(const Config& c) {
  return c.overlap == overlap_mode::blocking ? std::numeric_limits<std::size_t>::max()
                                             : std::max<std::size_t>(1, c.piece / sizeof(float));
}
/// Scalars of the largest message that carries a part of a network.
template <class Net, class Config>
constexpr std::size_t largest_message(const Config& c) {
  return std::min(slices_of<Net>(c).largest(), message_room(c));
}

/// Scalars of one peer pass.
template <Topology T, class Config>
constexpr std::size_t peer_packet(const Config& c) {
  using discriminator = typename T::discriminator_type;
  if (c.peer == peer_rule::none) return 0;
  return layer_slices<discriminator>::total +
         (c.peer == peer_rule::consolidate ? discriminator::param_count : 0);
}

/// Server to worker, once per round.
struct layerwise_plan {
  static constexpr std::size_t size = 5;
  order what{order::train};
  worker_steps steps{};
  rank_t send_to{-1}, receive_from{-1};  ///< of the peer pass; -1: none

  [[nodiscard]] std::array<float, size> pack() const {
    return {static_cast<float>(what), static_cast<float>(steps.discriminator),
            static_cast<float>(steps.fakes_every), static_cast<float>(send_to),
            static_cast<float>(receive_from)};
  }
  static layerwise_plan unpack(const std::array<float, size>& m) {
    return {static_cast<order>(m[0]),
            {static_cast<int>(m[1]), static_cast<int>(m[2])},
            static_cast<rank_t>(m[3]),
            static_cast<rank_t>(m[4])};
  }
};

/// How much of the way of the networks was hidden behind compute; seconds of one round. A worker
/// reports with its upload, so its numbers are those of the broadcast before.
struct overlap_times {
  double waited{};   ///< mean over workers: in a forward, for slices that had not come
  double hidden{};   ///< mean over workers: computing while slices were still to come
  double sending{};  ///< the server, handing over slices
};

/// Worker to server, behind each upload: loss, samples, seconds of a discriminator step, overlap,
/// seconds per phase.
struct layerwise_report {
  static constexpr std::size_t size = 5 + observed_size;
  double loss{}, images{}, step_seconds{}, waited{}, hidden{};
  phase_times times{};
  learning_signals signals{};

  [[nodiscard]] std::array<float, size> pack() const {
    std::array<float, size> m{static_cast<float>(loss), static_cast<float>(images),
                              static_cast<float>(step_seconds), static_cast<float>(waited),
                              static_cast<float>(hidden)};
    pack_observed(times, signals, std::span(m).last<observed_size>());
    return m;
  }
  static layerwise_report unpack(const std::array<float, size>& m) {
    layerwise_report r{.loss = static_cast<double>(m[0]),
                       .images = static_cast<double>(m[1]),
                       .step_seconds = static_cast<double>(m[2]),
                       .waited = static_cast<double>(m[3]),
                       .hidden = static_cast<double>(m[4])};
    unpack_observed(std::span(m).last<observed_size>(), r.times, r.signals);
    return r;
  }
};

}  // namespace gantry::dist
