// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <mutex>
#include <utility>

#include "gantry/backend/reference/reference.hpp"
#include "gantry/concepts/rank_view.hpp"
#include "gantry/dist/averaged_discriminator.hpp"
#include "gantry/dist/federated_average.hpp"
#include "gantry/dist/label_parallel.hpp"
#include "gantry/dist/layerwise_overlap.hpp"
#include "gantry/dist/md_gan.hpp"
#include "gantry/dist/node_memory.hpp"
#include "gantry/dist/output_aggregation.hpp"
#include "gantry/dist/task_groups.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

#include "distributed/every_strategy.hpp"

namespace gantry::every {

using generator = sequential<latent<4>, linear<6>, batch_norm, relu, linear<8>, tanh_>;
using discriminator = sequential<latent<8>, linear<6>, leaky_relu, linear<1>>;
using topology = gan<generator, discriminator, loss::non_saturating, optim::adam>;
using oracle = backend::reference<float>;

const std::uint64_t theta = generator::param_count + generator::buffer_count;
const std::uint64_t phi = discriminator::param_count;

namespace {

constexpr int batch = 4;
const common_config<topology> common{.seed = 3, .batch = batch};

/// A shard: endless samples of one kind, drawn by whoever makes the source.
struct sampled_source {
  std::function<void(std::uint32_t, std::span<float>)> draw;
  void read(std::uint32_t step, std::span<float> out, int) { draw(step, out); }
  [[nodiscard]] std::int64_t size() const { return 2 * batch; }
};

/// What ranks leave at their end; those of one process share it.
class keeper {
 public:
  void keep(rank_t rank, const std::string& name, std::span<const float> values) {
    const std::lock_guard lock(guard_);
    auto& kept = kept_[std::to_string(rank) + "/" + name];
    for (const float v : values) kept.push_back(std::bit_cast<std::uint32_t>(v));
  }
  void keep_networks(rank_t rank, auto& role) {
    role.visit_networks([&](const std::string& name, auto& state) {
      const auto values = state.values();
      keep(rank, name, values.params);
      keep(rank, name, values.buffers);
    });
  }
  void tell_memory(const run_settings& s, rank_t rank, const memory_meter& meter) {
    const std::lock_guard lock(guard_);
    if (s.measured) s.measured(rank, dist::measured_memory(meter));
  }
  outcome take() { return std::move(kept_); }

 private:
  std::mutex guard_;
  outcome kept_;
};

/// Worker n = 1, 2, ... of all; `comm` is its world or that of its task, of which it leaves
/// `whole`.
template <class S>
void work(auto& comm, auto& whole, const typename S::config& config, const run_settings& s,
          keeper& kept) {
  oracle b;
  const rank_t n = whole.rank();
  const sampled_source source{
      [&s, n](std::uint32_t step, std::span<float> to) { s.draw(n, step, to); }};
  using worker_type = typename S::template worker<topology, oracle, sampled_source>;
  worker_type::begin(comm, source);
  worker_type worker(b, common, config, source, static_cast<std::uint32_t>(comm.rank() - 1));
  const auto stop = s.stops.find(n);
  for (int i = 0;; ++i) {
    if (stop != s.stops.end() && i == stop->second) return whole.leave();
    if (worker.round(comm, static_cast<std::uint32_t>(i)) != order::train) break;
  }
  kept.keep_networks(n, worker);
  kept.tell_memory(s, n, b.meter());
}

void keep_lead(auto& server, auto& sampled, keeper& kept) {
  std::vector<float> images(2 * image_values);
  sampled.sample(std::vector<float>(2 * 4, 0.5f), images);
  kept.keep_networks(0, server);
  kept.keep(0, "images", images);
}

template <class S>
outcome train(const typename S::config& config, const run_settings& s) {
  keeper kept;
  observed::world world(s.make(s.workers + 1, s.threads), s.seen);
  world.run([&](auto& comm) {
    if (comm.rank() != 0) return work<S>(comm, comm, config, s, kept);
    oracle b;
    typename S::template server<topology, oracle> server(b, common, config, s.workers);
    server.begin(comm);
    for (std::uint32_t i = 0; i < s.rounds; ++i) (void)server.round(comm, i);
    if constexpr (requires { server.prepare_sampling(comm); }) server.prepare_sampling(comm);
    server.command(comm, order::stop);
    keep_lead(server, server, kept);
    kept.tell_memory(s, 0, b.meter());
  });
  return kept.take();
}

/// Rank 0 has the servers of both tasks.
template <class S>
strategy_plan plan_tasks(const typename S::config& first, const typename S::config& second) {
  strategy_plan p = S::template plan<topology, oracle, sampled_source>(common, first, 2);
  const strategy_plan other = S::template plan<topology, oracle, sampled_source>(common, second, 1);
  arena_bytes lead = p.lead_arenas;
  lead.parameters += other.lead_arenas.parameters;
  lead.gradients += other.lead_arenas.gradients;
  lead.optimizer_state += other.lead_arenas.optimizer_state;
  lead.activations += other.lead_arenas.activations;
  lead.messages += other.lead_arenas.messages;
  p.set_memory(lead, p.worker_arenas);
  return p;
}

/// Two tasks at once; the last worker has the second for itself.
template <class S>
outcome train_tasks(const typename S::config& first, const typename S::config& second,
                    const run_settings& s) {
  keeper kept;
  observed::world world(s.make(s.workers + 1, s.threads), s.seen);
  using task = dist::task<topology, sampled_source, S>;
  const task many{"many", common, first, std::vector<sampled_source>(s.workers - 1)};
  const task one{"one", common, second, std::vector<sampled_source>(1)};
  world.run([&]<class C>(C& comm) {
    if (comm.rank() != 0) {
      const bool last = comm.rank() == s.workers;
      rank_view<C> group(comm, last ? s.workers : 1, last ? 1 : s.workers - 1);
      return work<S>(group, comm, last ? second : first, s, kept);
    }
    oracle b;
    dist::task_group_server<oracle, task, task> server(b, many, one);
    server.begin(comm);
    for (std::uint32_t i = 0; i < s.rounds; ++i) (void)server.round(comm, i, i + 1 < s.rounds);
    server.command(comm, order::stop);
    keep_lead(server, server.template server<0>(), kept);
    kept.tell_memory(s, 0, b.meter());
  });
  return kept.take();
}

}  // namespace

std::vector<strategy_run> all() {
  std::vector<strategy_run> runs;
  const auto add = [&]<class S>(S, std::string name, typename S::config config, auto expected) {
    runs.push_back({std::move(name),
                    S::template plan<topology, oracle, sampled_source>({.batch = batch}, config, 3),
                    [config](const run_settings& s) { return train<S>(config, s); }, expected});
  };
  using count = std::uint64_t;
  constexpr count images = batch * image_values;
  for (const int k : {1, 2})
    add(dist::md_gan{}, "md_gan, k = " + std::to_string(k),
        {.k = k, .swap_every = dist::iterations(2)}, [](count n, count r) {
          // A worker that is alone has nobody to swap with.
          return payload{2 * images * n * r, images * n * r, n == 1 ? 0 : phi * n * r / 2};
        });
  add(dist::federated_average{}, "federated_average", {.local = dist::iterations(2)},
      [](count n, count r) {
        return payload{(theta + phi) * n * r, (theta + phi) * n * r, 0};
      });
  // All are sent the networks once; then the one whose turn it is delivers and is sent them again.
  add(dist::federated_average{}, "federated_average, asynchronous",
      {.arrivals = dist::federated_average::asynchronous{}}, [](count n, count r) {
        return payload{(theta + phi) * (n + r), (theta + phi) * r, 0};
      });
  using averaged = dist::averaged_discriminator;
  for (const auto order_of_work : {averaged::schedule::serial, averaged::schedule::parallel})
    add(averaged{},
        order_of_work == averaged::schedule::serial ? "averaged_discriminator, serial"
                                                    : "averaged_discriminator, parallel",
        {.order_of_work = order_of_work, .local_updates = 2}, [](count n, count r) {
          return payload{(theta + phi) * n * r, phi * n * r, 0};
        });
  using layerwise = dist::basic_layerwise_overlap<dist::fixed_steps>;
  const auto add_layerwise = [&](std::string name, dist::overlap_mode mode, dist::peer_rule peer,
                                 count packets) {
    add(layerwise{}, "layerwise_overlap, " + name,
        {.overlap = mode, .steps = {.discriminator = 2, .generator = 2}, .peer = peer},
        [packets](count n, count r) {
          return payload{(theta + phi) * n * r + theta * n, phi * n * r,
                         n == 1 ? 0 : packets * phi * n * r};
        });
  };
  add_layerwise("blocking", dist::overlap_mode::blocking, dist::peer_rule::none, 0);
  add_layerwise("as ready", dist::overlap_mode::ready, dist::peer_rule::consolidate, 2);
  add_layerwise("input first", dist::overlap_mode::input_first, dist::peer_rule::replay, 1);
  const layerwise::config first{.overlap = dist::overlap_mode::ready},
      second{.overlap = dist::overlap_mode::input_first, .steps = {.discriminator = 2}};
  runs.push_back(
      {.name = "task_groups",
       .plan = plan_tasks<layerwise>(first, second),
       .train = [=](const run_settings& s) { return train_tasks<layerwise>(first, second, s); },
       .expected =
           [](count n, count r) {
             return payload{(theta + phi) * n * r + theta * n, phi * n * r, 0};
           },
       .least_workers = 2,
       .least_workers_to_stop = 3});
  add(dist::label_parallel{}, "label_parallel", {.steps = 2}, [](count n, count) {
    return payload{0, theta * n, 0};
  });
  for (const int fakes : {1, 2})
    add(dist::output_aggregation{}, "output_aggregation, " + std::to_string(fakes) + " batches",
        {.fakes = fakes}, [fakes](count n, count r) {
          return payload{(static_cast<count>(fakes) * images + batch) * n * r,
                         (images + batch) * n * r, 0};
        });
  return runs;
}

}  // namespace gantry::every
