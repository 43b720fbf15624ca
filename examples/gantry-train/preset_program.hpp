// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Strategies for one preset of networks; included by one translation unit per preset.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>

#include "gantry/comm/any.hpp"
#include "gantry/data/sampler.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/models/modern.hpp"
#include "gantry/optim/optimizers.hpp"

#include "preset.hpp"

/// The objective of a preset: its own, or the one that --loss names.
template <class Networks>
struct objective_of {
  using type = gantry::loss::one_of<gantry::loss::saturating, gantry::loss::non_saturating,
                                    gantry::loss::least_squares, gantry::loss::hinge,
                                    gantry::loss::wasserstein>;
  static constexpr bool own = false;
};
template <class Networks>
requires requires { typename Networks::objective; }
struct objective_of<Networks> {
  using type = typename Networks::objective;
  static constexpr bool own = true;
};

/// Device says where the networks run: it has `backend`, make(options, rank) and maker(options).
/// Strategies is a strategy_pack, of fewer than all where a program needs no more.
template <class Networks, class Device, class Strategies = strategies>
struct preset_program {
  using objective = typename objective_of<Networks>::type;
  using optimizer =
      gantry::optim::one_of<gantry::optim::adam, gantry::optim::rmsprop, gantry::optim::sgd>;
  using topology = gantry::gan<typename Networks::generator, typename Networks::discriminator,
                               objective, optimizer, gantry::optim::ema<optimizer>>;
  using backend = typename Device::backend;
  using source = gantry::data::shuffled_source;

  static objective chosen_loss(const program_options& o) {
    using namespace gantry::loss;
    if constexpr (objective_of<Networks>::own) {
      objective own{};
      if constexpr (requires { Networks::make_objective(); }) own = Networks::make_objective();
      if constexpr (requires { own.penalties; })
        if (o.penalty)
          std::apply([&](auto&... p) { (set_weight(p, *o.penalty), ...); }, own.penalties);
      return own;
    } else {
      if (o.loss == "saturating") return {saturating{}};
      if (o.loss == "least_squares") return {least_squares{}};
      if (o.loss == "hinge") return {hinge{}};
      if (o.loss == "wasserstein") return {wasserstein{{}, o.clip}};
      return {non_saturating{}};
    }
  }
  template <class Penalty>
  static void set_weight(Penalty& p, float value) {
    if constexpr (requires { p.gamma; })
      p.gamma = value;
    else
      p.weight = value;
  }
  static optimizer chosen_optimizer(const program_options& o, float rate) {
    using namespace gantry::optim;
    if (o.optimizer == "rmsprop") return {rmsprop{.rate = rate}};
    if (o.optimizer == "sgd") return {sgd{.rate = rate}};
    return {adam{.rate = rate, .beta1 = o.beta1, .beta2 = o.beta2}};
  }
  static gantry::common_config<topology> common(const program_options& o) {
    gantry::common_config<topology> c{.seed = o.seed, .batch = o.batch};
    if constexpr (requires { Networks::configure(c.topology.generator, c.topology.discriminator); })
      Networks::configure(c.topology.generator, c.topology.discriminator);
    if constexpr (requires { c.topology.discriminator.template layer<0>() = o.augmentation; })
      c.topology.discriminator.template layer<0>() = o.augmentation;
    c.topology.loss = chosen_loss(o);
    c.topology.discriminator_optimizer = chosen_optimizer(o, o.rate_d);
    c.topology.generator_optimizer = {chosen_optimizer(o, o.rate_g), o.ema};
    return c;
  }
  static run_plan plan(const program_options& o) {
    return {.latent = topology::latent_shape,
            .image = topology::sample_shape,
            .generator_params = Networks::generator::param_count,
            .discriminator_params = Networks::discriminator::param_count,
            .costs = Strategies::visit(o.strategy.name, [&]<class S>(S) {
              return S::template plan<topology, backend, source>(common(o), o.strategy.config<S>(),
                                                                 o.strategy.workers);
            })};
  }

  static gantry::train::run_result train(const program_options& o, gantry::comm::any_world& world,
                                         std::vector<gantry::data::shard> shards,
                                         const gantry::train::run_options& options) {
    std::vector<source> sources;
    for (std::uint32_t w = 0; w < shards.size(); ++w)
      sources.emplace_back(std::move(shards[w]), o.seed, w);
    return Strategies::visit(o.strategy.name, [&]<class S>(S) {
      return gantry::train::run<S, backend>(world, common(o), o.strategy.config<S>(),
                                            std::move(sources), options, Device::maker(o));
    });
  }

  static void generate(const program_options& o, const std::filesystem::path& file,
                       std::span<const float> latents, std::span<const std::uint8_t> labels,
                       std::span<float> images) {
    using net = typename Networks::generator;
    using layout = typename backend::storage::layout;
    constexpr gantry::hwc latent = topology::latent_shape, image = topology::sample_shape;
    constexpr int chunk = 64;
    std::vector<float> weights(net::param_count), statistics(net::buffer_count);
    if (file == o.init_generator)
      gantry::train::read_torch_state(file, net::tensors(), weights, statistics);
    else
      gantry::train::read_network<net>(file, weights, statistics);
    backend b = Device::make(o, 0);
    auto params = b.allocate(weights.size()), buffers = b.allocate(statistics.size());
    b.upload(weights, params.data());
    b.upload(statistics, buffers.data());
    auto input = b.allocate(layout::elements(latent, chunk));
    typename net::template tape<backend> tape(b, chunk);
    const int count = static_cast<int>(latents.size()) / latent.size();
    for (int first = 0; first < count; first += chunk) {
      const gantry::batch_of<typename backend::storage> z{input.data(),
                                                          std::min(chunk, count - first)};
      launch(b, gantry::ops::import_samples<latent>{}, {latents.data() + first * latent.size(), z});
      net{}.forward(b, {params.span(), buffers.span()},
                    {z, labels.empty() ? nullptr : labels.data() + first}, tape,
                    gantry::mode::evaluate, {});
      launch(b, gantry::ops::export_samples<image>{},
             {tape.output(), images.data() + first * image.size(), 1.0f});
    }
    b.synchronize();
  }

  static preset entry() {
    model_info about;
    about.name = Networks::name;
    if constexpr (objective_of<Networks>::own) {
      about.objective = objective::name;
      about.settings = Networks::settings;
      about.has_settings = true;
      about.has_penalties = gantry::dist::HasPenalties<objective>;
    }
    return {about,
            topology::sample_shape,
            gantry::classes_of<typename Networks::generator>,
            &plan,
            &train,
            &generate};
  }
};
