// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A round of MD-GAN on in-process workers against the same arithmetic in one flat loop: what the
// exchange, the waiting and the sharing of the cores cost.
#pragma once

#include "step.hpp"

namespace bench {

/// The same images at every step.
struct fixed_images {
  std::vector<float> values;
  std::vector<std::uint8_t> classes;
  void read(std::uint32_t, std::span<float> out, int) const {
    std::copy_n(values.begin(), out.size(), out.begin());
  }
  [[nodiscard]] std::span<const std::uint8_t> labels(std::uint32_t, int batch) const {
    return std::span(classes).first(static_cast<std::size_t>(batch));
  }
  [[nodiscard]] std::int64_t size() const { return 1'000'000; }
};

template <hwc Shape>
std::vector<fixed_images> make_sources(const bench_settings& s) {
  std::vector<float> values(nhwc::elements(Shape, s.batch));
  fill_normal(std::span<float>(values), {.seed = 7});
  for (float& v : values) v = std::tanh(v);
  return std::vector<fixed_images>(
      static_cast<std::size_t>(s.workers),
      fixed_images{values, std::vector<std::uint8_t>(static_cast<std::size_t>(s.batch))});
}

/// Rounds of md_gan with one thread per node, all on a pool of s.threads.
template <class Preset>
timings time_rounds(const bench_settings& s) {
  using t = topology<Preset>;
  using clock = std::chrono::steady_clock;
  const common_config<t> common = common_of<Preset>(s);
  timings found;
  auto world = comm::in_process(1 + s.workers, s.threads);
  const std::uint32_t rounds = static_cast<std::uint32_t>(s.steps + s.warmup);
  clock::time_point last;
  train::run<dist::md_gan, backend::cpu>(
      world, common, {.k = 1, .swap_every = dist::iterations(1 << 30)},
      make_sources<t::sample_shape>(s),
      {.iterations = rounds, .on_round = [&](const train::round_view& view) {
         const auto now = clock::now();
         if (view.iteration > static_cast<std::uint32_t>(s.warmup))
           found.seconds.push_back(std::chrono::duration<double>(now - last).count());
         last = now;
       }});
  return found;
}

/// The arithmetic of such rounds by one thread that shares the pool with nobody.
template <class Preset>
timings time_flat(const bench_settings& s) {
  using t = topology<Preset>;
  using B = backend::cpu;
  B b(s.threads);
  const common_config<t> common = common_of<Preset>(s);
  dist::generator_player<t, B> generator(b, common, 1);
  std::vector<std::unique_ptr<dist::discriminator_player<t, B>>> discriminators;
  for (int w = 0; w < s.workers; ++w)
    discriminators.push_back(std::make_unique<dist::discriminator_player<t, B>>(
        b, common, static_cast<std::uint32_t>(w)));
  const auto memory = numbers(b, B::storage::layout::elements(t::sample_shape, s.batch), 1);
  const std::vector<std::uint8_t> labels(static_cast<std::size_t>(s.batch));
  const network_input<B> real(batch_of<B::storage>{memory.data(), s.batch}, labels.data());
  std::uint32_t iteration = 0;
  return measure(s, [&] {
    generator.generate(common.seed, iteration, 0);
    const network_input<B> fake(generator.images(0), generator.labels(0));
    for (auto& d : discriminators) {
      d->learn(real, fake, iteration, 0);
      d->feedback(real, fake, generator.image_gradient(0), iteration);
    }
    generator.begin_update();
    generator.learn(0);
    generator.update();
    ++iteration;
  });
}

template <class Preset>
preset_bench entry() {
  return {Preset::name.data(),
          [](const bench_settings& s) {
            return s.kernels == "own" ? time_step<Preset, backend::cpu>(s)
                                      : time_step<Preset, backend::cpu_eigen>(s);
          },
          [](const bench_settings& s) {
            return s.kernels == "own" ? time_layers<Preset, backend::cpu>(s)
                                      : time_layers<Preset, backend::cpu_eigen>(s);
          },
          time_rounds<Preset>, time_flat<Preset>};
}

}  // namespace bench
