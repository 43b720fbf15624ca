// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// One training step and one layer, timed. A step is that of PyTorch's DCGAN example: D on a real
// and on a generated batch, Adam for D, then the same generated batch through D and G, Adam for G.
#pragma once

#include <chrono>
#include <memory>

#include "gantry/gantry.hpp"
#include "gantry/models/modern.hpp"

#include "bench.hpp"

namespace bench {

using namespace gantry;

/// The preset's own objective, or that of DCGAN.
template <class Preset>
struct objective_of {
  using type = loss::non_saturating;
};
template <class Preset>
requires requires { typename Preset::objective; }
struct objective_of<Preset> {
  using type = typename Preset::objective;
};

template <class Preset>
using topology = gan<typename Preset::generator, typename Preset::discriminator,
                     typename objective_of<Preset>::type, optim::adam>;

template <class Preset>
common_config<topology<Preset>> common_of(const bench_settings& s) {
  common_config<topology<Preset>> common{.seed = 1, .batch = s.batch};
  if constexpr (requires {
                  Preset::configure(common.topology.generator, common.topology.discriminator);
                })
    Preset::configure(common.topology.generator, common.topology.discriminator);
  return common;
}

/// FLOPs of products per sample that the mathematics of a step needs: no weight gradients of D in
/// G's step, no input gradients of first layers.
template <class Preset>
constexpr double useful_flops(bool critic_only) {
  using discriminator = typename Preset::discriminator;
  constexpr flop_count d = discriminator::flops, g = Preset::generator::flops;
  const double learn =
      d.forward + d.weight_gradient + d.input_gradient - discriminator::first_input_gradient_flops;
  const double step =
      2 * learn + dist::penalty_flops<discriminator, typename objective_of<Preset>::type>();
  if (critic_only) return step;
  return step + g.forward + d.forward + d.input_gradient + g.weight_gradient + g.input_gradient -
         Preset::generator::first_input_gradient_flops;
}

/// Calls f until the settings are met; the first calls are not counted.
template <class F>
timings measure(const bench_settings& s, F&& f) {
  using clock = std::chrono::steady_clock;
  timings found;
  found.seconds.reserve(1 << 20);
  for (int i = 0; i < s.warmup; ++i) f();
  const std::size_t before = heap_allocations();
  const auto start = clock::now();
  const auto enough = [&] {
    const auto done = static_cast<int>(found.seconds.size());
    if (s.steps > 0) return done >= s.steps;
    return done >= 5 && std::chrono::duration<double>(clock::now() - start).count() > s.seconds;
  };
  while (!enough() && found.seconds.size() < found.seconds.capacity()) {
    const auto begin = clock::now();
    f();
    found.seconds.push_back(std::chrono::duration<double>(clock::now() - begin).count());
  }
  found.allocations =
      static_cast<double>(heap_allocations() - before) / static_cast<double>(found.seconds.size());
  return found;
}

template <class B>
B make_backend(const bench_settings& s) {
  B b(s.threads);
  b.minimal_filtering = s.minimal_filtering;
  return b;
}

/// Numbers in [-1, 1] in a backend's memory.
template <Backend B>
typename B::buffer_type numbers(B& b, std::size_t count, std::uint32_t salt) {
  std::vector<float> host(count);
  fill_normal(std::span<float>(host), {.seed = 7, .use = purpose::user, .salt = salt});
  for (float& v : host) v = std::tanh(v);
  auto memory = b.allocate(count);
  b.upload(host, memory.data());
  return memory;
}

template <class Preset, Backend B>
timings time_step(const bench_settings& s) {
  using t = topology<Preset>;
  using layout = typename B::storage::layout;
  B b = make_backend<B>(s);
  const common_config<t> common = common_of<Preset>(s);
  dist::generator_player<t, B> generator(b, common, 1);
  dist::discriminator_player<t, B> discriminator(b, common, 0);
  const auto memory = numbers(b, layout::elements(t::sample_shape, s.batch), 1);
  const std::vector<std::uint8_t> labels(static_cast<std::size_t>(s.batch));
  const network_input<B> real(batch_of<typename B::storage>{memory.data(), s.batch}, labels.data());
  std::uint32_t iteration = 0;
  const auto fake = [&] { return network_input<B>(generator.images(0), generator.labels(0)); };
  if (s.critic_only) generator.generate(common.seed, 0, 0);
  timings found = measure(s, [&] {
    if (!s.critic_only) generator.generate(common.seed, iteration, 0);
    discriminator.learn(real, fake(), iteration, 0);
    if (!s.critic_only) {
      discriminator.feedback(real, fake(), generator.image_gradient(0), iteration);
      generator.begin_update();
      generator.learn(0);
      generator.update();
    }
    ++iteration;
  });
  found.flops = useful_flops<Preset>(s.critic_only) * s.batch;
  found.planned_bytes = dist::generator_player<t, B>::bytes(s.batch, 1) +
                        dist::discriminator_player<t, B>::bytes(s.batch, common.topology.loss) +
                        allocation_bytes<float>(layout::elements(t::sample_shape, s.batch));
  found.measured_bytes = b.meter().peak();
  return found;
}

/// The passes of layer I of a network, each through the layer's public functions.
template <class Net, std::size_t I, Backend B>
void time_layer(const bench_settings& s, B& b, const char* network,
                std::vector<layer_timing>& all) {
  using layer_type = typename Net::plan::template layer_type<I>;
  using layout = typename B::storage::layout;
  constexpr hwc in = Net::plan::shapes[I], out = Net::plan::shapes[I + 1];
  const auto x = numbers(b, layout::elements(in, s.batch), 1);
  const auto y =
      numbers(b, std::max(layout::elements(in, s.batch), layout::elements(out, s.batch)), 2);
  const auto dx = numbers(b, y.size(), 3), dy = numbers(b, y.size(), 4);
  const auto params = numbers(b, Net::plan::params_of(I), 5);
  const auto dparams = b.allocate(Net::plan::params_of(I));
  const auto buffers = b.allocate(Net::plan::buffers_of(I));
  const auto saved = b.allocate(nn::saved_elements<layer_type, layout, in>(s.batch));
  const auto workspace = b.allocate(nn::workspace_elements<layer_type, layout, in>(s.batch));
  const layer_type layer{};
  const std::vector<std::uint8_t> labels(static_cast<std::size_t>(s.batch));
  const auto forward = [&] {
    layer.template forward<in>(b, forward_args<B>{{x.data(), s.batch},
                                                  {y.data(), s.batch},
                                                  params.span(),
                                                  buffers.span(),
                                                  saved.span(),
                                                  mode::train,
                                                  {.seed = 1},
                                                  workspace.span(),
                                                  labels.data()});
  };
  const auto backward = [&](bool data, bool weights) {
    layer.template backward<in>(
        b, backward_args<B>{{x.data(), s.batch},
                            {y.data(), s.batch},
                            {dy.data(), s.batch},
                            params.span(),
                            saved.span(),
                            {data ? dx.data() : nullptr, s.batch},
                            weights ? dparams.span() : std::span<typename B::scalar>{},
                            mode::train,
                            {.seed = 1},
                            workspace.span(),
                            {},
                            labels.data()});
  };
  const flop_count flops = layer_type::flops(in);
  const auto add = [&](const char* pass, double per_sample, auto&& run) {
    layer_timing found{network, std::string(layer_type::name), pass, static_cast<int>(I),
                       measure(s, run)};
    found.found.flops = per_sample * s.batch;
    all.push_back(std::move(found));
  };
  add("forward", flops.forward, forward);
  add("input gradient", flops.input_gradient, [&] { backward(true, false); });
  if (Net::plan::params_of(I) > 0)
    add("weight gradient", flops.weight_gradient, [&] { backward(false, true); });
}

/// Adam on all weights of a network, in the cache where they fit.
template <class Net, Backend B>
void time_optimizer(const bench_settings& s, B& b, const char* network,
                    std::vector<layer_timing>& all) {
  const auto weights = numbers(b, Net::param_count, 1), gradient = numbers(b, Net::param_count, 2);
  const auto moments = b.allocate(2 * Net::param_count);
  const optim::adam adam{};
  all.push_back(
      {network, std::string(adam.name), "update", static_cast<int>(Net::depth),
       measure(s, [&] { adam.step(b, weights.span(), gradient.span(), moments.span(), 1); })});
}

template <class Net, Backend B>
void time_network(const bench_settings& s, B& b, const char* network,
                  std::vector<layer_timing>& all) {
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (time_layer<Net, I>(s, b, network, all), ...);
  }
  (std::make_index_sequence<Net::depth>{});
  time_optimizer<Net>(s, b, network, all);
}

template <class Preset, Backend B>
std::vector<layer_timing> time_layers(const bench_settings& s) {
  B b = make_backend<B>(s);
  std::vector<layer_timing> all;
  time_network<typename Preset::generator>(s, b, "generator", all);
  time_network<typename Preset::discriminator>(s, b, "discriminator", all);
  return all;
}

}  // namespace bench
