// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// EntGAN, as it was proposed for KubeEdge Sedna (version 1, 28 July 2022) and never built: workers
// make fakes with a generator of their own, train a discriminator beside their private data and may
// pass it on among themselves; the server averages the discriminators, takes several generator
// steps against the mean, and broadcasts the generator layer by layer, overlapped with its own
// update and with the workers' next forward. docs/07_layerwise_overlap.md says what the proposal
// leaves open and what was chosen.
#pragma once

#include <cstdint>
#include <string_view>

#include "gantry/dist/layerwise_config.hpp"
#include "gantry/dist/layerwise_server.hpp"
#include "gantry/dist/layerwise_worker.hpp"
#include "gantry/dist/node_memory.hpp"

namespace gantry::inline v0::dist {

/// With a scheduler of your own; layerwise_overlap has the two that come with the library.
template <StepScheduler Scheduler>
struct basic_layerwise_overlap {
  static constexpr std::string_view name = "layerwise_overlap";
  static constexpr std::string_view title = "Layer-wise overlap (EntGAN)";
  static constexpr bool has_server = true;

  using config = layerwise_config<Scheduler>;
  template <Topology T, Backend B>
  using server = layerwise_server<T, B, Scheduler>;
  template <Topology T, Backend B, BatchSource Source>
  using worker = layerwise_worker<T, B, Source, Scheduler>;

  /// For the steps that the scheduler begins with.
  template <Topology T, Backend B, BatchSource Source>
  static strategy_plan plan(const common_config<T>& common, const config& settings, int workers) {
    using c = costs<T>;
    using g = layer_slices<typename T::generator_type>;
    using d = layer_slices<typename T::discriminator_type>;
    judge<T, B>::check(common);
    const auto count = static_cast<std::uint64_t>(workers);
    const worker_steps steps = settings.steps.for_worker(1);
    const bool passes = settings.peer != peer_rule::none && workers > 1;
    const int peer_steps = passes ? settings.peer_steps : 0;
    const int batches = (steps.discriminator + steps.fakes_every - 1) / steps.fakes_every;
    strategy_plan p;
    p.lead_flops = common.batch * settings.steps.for_server() *
                   (c::generate + c::feedback + c::learn_generator);
    p.worker_flops = common.batch * ((batches + peer_steps) * c::generate +
                                     (steps.discriminator + peer_steps) * c::learn_discriminator);
    p.bytes_down = (g::total + (settings.return_mean ? d::total : 0)) * sizeof(float) * count;
    p.bytes_up = d::total * sizeof(float) * count;
    p.bytes_swap = passes ? peer_packet<T>(settings) * sizeof(float) * count : 0;
    using helper = worker<T, B, Source>;
    p.set_memory(
        node_memory({generator_arenas<T, B>, judge<T, B>::arenas()},
                    server<T, B>::bytes(common.batch), server<T, B>::message_bytes(settings)),
        node_memory({generator_arenas<T, B>, discriminator_arenas<T, B>},
                    helper::bytes(common.batch, settings, common.topology.loss),
                    helper::message_bytes(common.batch, settings)));
    return p;
  }
};

using layerwise_overlap = basic_layerwise_overlap<any_steps<fixed_steps, balanced_steps>>;

}  // namespace gantry::dist
