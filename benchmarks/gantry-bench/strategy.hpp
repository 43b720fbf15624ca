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

/// The arithmetic of such rounds by one thread that shares the pool with nobody: real batches are
/// read, and the feedbacks of all discriminators are added up.
template <class Preset>
class flat_loop {
 public:
  explicit flat_loop(const bench_settings& s)
      : backend_(s.threads),
        common_(common_of<Preset>(s)),
        generator_(backend_, common_, 1),
        sources_(make_sources<t::sample_shape>(s)),
        read_(nhwc::elements(t::sample_shape, s.batch)),
        real_(backend_.allocate(elements())),
        gradient_(backend_.allocate(elements())) {
    for (int w = 0; w < s.workers; ++w)
      discriminators_.push_back(std::make_unique<dist::discriminator_player<t, B>>(
          backend_, common_, static_cast<std::uint32_t>(w)));
  }

  void step() {
    generator_.generate(common_.seed, iteration_, 0);
    for (std::size_t w = 0; w < discriminators_.size(); ++w) learn(w);
    generator_.begin_update();
    generator_.learn(0);
    generator_.update();
    ++iteration_;
  }

 private:
  using t = topology<Preset>;
  using B = backend::cpu;
  using layout = B::storage::layout;
  [[nodiscard]] std::size_t elements() const {
    return layout::elements(t::sample_shape, common_.batch);
  }

  void learn(std::size_t w) {
    const batch_of<B::storage> real{real_.data(), common_.batch};
    sources_[w].read(iteration_, read_, common_.batch);
    launch(backend_, ops::import_samples<t::sample_shape>{}, {read_.data(), real});
    const network_input<B> reals(real, sources_[w].labels(iteration_, common_.batch).data());
    const network_input<B> fakes(generator_.images(0), generator_.labels(0));
    const batch_of<B::storage> sum = generator_.image_gradient(0);
    discriminators_[w]->learn(reals, fakes, iteration_, 0);
    discriminators_[w]->feedback(
        reals, fakes, w == 0 ? sum : batch_of<B::storage>{gradient_.data(), common_.batch},
        iteration_);
    const float scale =
        w + 1 < discriminators_.size() ? 1.0f : 1.0f / static_cast<float>(discriminators_.size());
    if (w == 0) return;
    backend_.split(elements(), 8192, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i)
        sum.data[i] = (sum.data[i] + gradient_.data()[i]) * scale;
    });
  }

  B backend_;
  common_config<t> common_;
  dist::generator_player<t, B> generator_;
  std::vector<std::unique_ptr<dist::discriminator_player<t, B>>> discriminators_;
  std::vector<fixed_images> sources_;
  std::vector<float> read_;
  B::buffer_type real_, gradient_;
  std::uint32_t iteration_{};
};

template <class Preset>
timings time_flat(const bench_settings& s) {
  flat_loop<Preset> loop(s);
  return measure(s, [&] { loop.step(); });
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
