// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Runs of every strategy with one pair of small networks, for tests of what all have in common.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gantry/backend/reference/reference.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/dist/averaged_discriminator.hpp"
#include "gantry/dist/federated_average.hpp"
#include "gantry/dist/label_parallel.hpp"
#include "gantry/dist/layerwise_overlap.hpp"
#include "gantry/dist/md_gan.hpp"
#include "gantry/dist/node_memory.hpp"
#include "gantry/dist/output_aggregation.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

#include "support/observed_world.hpp"

namespace gantry::every {

using generator = sequential<latent<4>, linear<6>, batch_norm, relu, linear<8>, tanh_>;
using discriminator = sequential<latent<8>, linear<6>, leaky_relu, linear<1>>;
using topology = gan<generator, discriminator, loss::non_saturating, optim::adam>;
using oracle = backend::reference<float>;

constexpr int batch = 4, workers = 3, rounds = 4;
constexpr std::uint64_t theta = generator::param_count + generator::buffer_count;
constexpr std::uint64_t phi = discriminator::param_count;
constexpr std::uint64_t image_values = 8;

/// A shard: endless samples of one kind, drawn by whoever makes the source.
struct sampled_source {
  std::function<void(std::uint32_t, std::span<float>)> draw;
  void read(std::uint32_t step, std::span<float> out, int) { draw(step, out); }
  [[nodiscard]] std::int64_t size() const { return 2 * batch; }
};

struct run_settings {
  int threads{2};
  std::map<int, int> stops{};  ///< worker -> round
  observed::observer seen{};
  std::function<void(int, std::uint32_t, std::span<float>)> draw{};  ///< of worker n = 1, 2, ...
  std::function<void(rank_t, const arena_bytes&)> measured{};        ///< called by all ranks
};

/// All networks of all ranks that came to the end, by rank and name.
using outcome = std::map<std::string, std::vector<float>>;

template <class S>
outcome train(const typename S::config& config, const run_settings& s) {
  outcome out;
  std::mutex guard;
  const common_config<topology> common{.seed = 3, .batch = batch};
  observed::world world(
      comm::in_process_world(workers + 1, std::make_shared<thread_pool>(s.threads)), s.seen);
  world.run([&](auto& comm) {
    oracle b;
    const auto keep = [&](auto& role) {
      const std::lock_guard lock(guard);
      if (s.measured) s.measured(comm.rank(), dist::measured_memory(b.meter()));
      role.visit_networks([&](const std::string& name, auto& state) {
        const auto values = state.values();
        auto& kept = out[std::to_string(comm.rank()) + "/" + name];
        kept.assign(values.params.begin(), values.params.end());
        kept.insert(kept.end(), values.buffers.begin(), values.buffers.end());
      });
    };
    if (comm.rank() == 0) {
      typename S::template server<topology, oracle> server(b, common, config, workers);
      server.begin(comm);
      for (std::uint32_t i = 0; i < rounds; ++i) (void)server.round(comm, i);
      if constexpr (requires { server.prepare_sampling(comm); }) server.prepare_sampling(comm);
      server.command(comm, order::stop);
      std::vector<float> images(2 * image_values);
      server.sample(std::vector<float>(2 * 4, 0.5f), images);
      keep(server);
      const std::lock_guard lock(guard);
      out["images"] = images;
      return;
    }
    const rank_t n = comm.rank();
    const sampled_source source{
        [&s, n](std::uint32_t step, std::span<float> to) { s.draw(n, step, to); }};
    using worker_type = typename S::template worker<topology, oracle, sampled_source>;
    worker_type::begin(comm, source);
    worker_type worker(b, common, config, source, static_cast<std::uint32_t>(n - 1));
    const auto stop = s.stops.find(n);
    for (int i = 0;; ++i) {
      if (stop != s.stops.end() && i == stop->second) return comm.leave();
      if (worker.round(comm, static_cast<std::uint32_t>(i)) != order::train) break;
    }
    keep(worker);
  });
  return out;
}

/// Payload of a whole run, all workers together.
struct payload {
  std::uint64_t down{}, up{}, between{};
  friend bool operator==(const payload&, const payload&) = default;
};

struct strategy_run {
  std::string name;
  strategy_plan plan;
  std::function<outcome(const run_settings&)> train;
  payload expected{};  ///< in floats, control messages apart
};

/// Every strategy, with what makes its messages differ.
inline std::vector<strategy_run> all() {
  std::vector<strategy_run> runs;
  const auto add = [&]<class S>(S, std::string name, typename S::config config, payload expected) {
    runs.push_back(
        {std::move(name),
         S::template plan<topology, oracle, sampled_source>({.batch = batch}, config, workers),
         [config](const run_settings& s) { return train<S>(config, s); }, expected});
  };
  constexpr std::uint64_t n = workers, r = rounds, images = batch * image_values;
  for (const int k : {1, 2})
    add(dist::md_gan{}, "md_gan, k = " + std::to_string(k),
        {.k = k, .swap_every = dist::iterations(2)},
        {.down = 2 * images * n * r, .up = images * n * r, .between = phi * n * r / 2});
  add(dist::federated_average{}, "federated_average", {.local = dist::iterations(2)},
      {(theta + phi) * n * r, (theta + phi) * n * r, 0});
  // All are sent the networks once; then the one whose turn it is delivers and is sent them again.
  add(dist::federated_average{}, "federated_average, asynchronous",
      {.arrivals = dist::federated_average::asynchronous{}},
      {(theta + phi) * (n + r), (theta + phi) * r, 0});
  using averaged = dist::averaged_discriminator;
  for (const auto order_of_work : {averaged::schedule::serial, averaged::schedule::parallel})
    add(averaged{},
        order_of_work == averaged::schedule::serial ? "averaged_discriminator, serial"
                                                    : "averaged_discriminator, parallel",
        {.order_of_work = order_of_work, .local_updates = 2},
        {(theta + phi) * n * r, phi * n * r, 0});
  using layerwise = dist::basic_layerwise_overlap<dist::fixed_steps>;
  const auto add_layerwise = [&](std::string name, dist::overlap_mode mode, dist::peer_rule peer) {
    const std::uint64_t packet = peer == dist::peer_rule::none          ? 0
                                 : peer == dist::peer_rule::consolidate ? 2 * phi
                                                                        : phi;
    add(layerwise{}, "layerwise_overlap, " + name,
        {.overlap = mode, .steps = {.discriminator = 2, .generator = 2}, .peer = peer},
        {(theta + phi) * n * r + theta * n, phi * n * r, packet * n * r});
  };
  add_layerwise("blocking", dist::overlap_mode::blocking, dist::peer_rule::none);
  add_layerwise("as ready", dist::overlap_mode::ready, dist::peer_rule::consolidate);
  add_layerwise("input first", dist::overlap_mode::input_first, dist::peer_rule::replay);
  add(dist::label_parallel{}, "label_parallel", {.steps = 2}, {0, theta * n, 0});
  for (const int fakes : {1, 2})
    add(dist::output_aggregation{}, "output_aggregation, " + std::to_string(fakes) + " batches",
        {.fakes = fakes},
        {(static_cast<std::uint64_t>(fakes) * images + batch) * n * r, (images + batch) * n * r,
         0});
  return runs;
}

}  // namespace gantry::every
