// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Whole trainings through the CUDA kernels, beside the CPU backend.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/cuda/cuda.cuh"
#include "gantry/backend/reference/reference.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/dist/standalone.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/loss/penalties.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"
#include "gantry/train/trainer.hpp"
#if !defined(__CUDACC__)
#include "gantry/backend/cpu/cpu.hpp"
#endif

#include "simt/sanitizers.hpp"
#include "support/compare.hpp"

using namespace gantry;

namespace {

#if defined(__CUDACC__)  // does not know the vectors that the CPU backend is made of
using host_backend = backend::reference<float>;
#else
using host_backend = backend::cpu;
#endif

/// Of a training; fewer where each costs much more.
const int steps = simt::under_asan || simt::under_tsan ? 3
                  : std::getenv("SIMT_HOSTTRAP")       ? 10
                                                       : 200;

/// Bright squares on a dark ground, at places that the step decides.
class squares {
 public:
  explicit squares(hwc shape) : shape_(shape) {}
  void read(std::uint32_t step, std::span<float> out, int n) {
    random_sequence draw({.seed = 3, .step = step});
    std::ranges::fill(out, -0.9f);
    for (int i = 0; i < n; ++i) {
      const auto y = static_cast<int>(draw.below(5)), x = static_cast<int>(draw.below(5));
      for (int k = 0; k < shape_.size(); ++k) {
        const int row = k / (shape_.w * shape_.c), column = k / shape_.c % shape_.w;
        if (row >= y && row < y + 3 && column >= x && column < x + 3)
          out[static_cast<std::size_t>(i * shape_.size() + k)] = 0.9f;
      }
    }
  }
  [[nodiscard]] std::int64_t size() const { return 1000; }

 private:
  hwc shape_;
};

using generator8 = sequential<latent<8>, linear<2 * 2 * 16, bias::no>, reshape<2, 2, 16>,
                              batch_norm, relu, conv_transpose2d<8, 4, 2, 1, bias::no>, batch_norm,
                              relu, conv_transpose2d<1, 4, 2, 1>, tanh_>;
using dcgan8 = gan<generator8,
                   sequential<image<8, 8, 1>, conv2d<8, 4, 2, 1>, leaky_relu,
                              conv2d<16, 4, 2, 1, bias::no>, batch_norm, leaky_relu, linear<1>>,
                   loss::non_saturating, optim::ema<optim::adam>, optim::adam>;
/// The penalty's tangent pass and merged weight gradients.
using wgan_gp8 =
    gan<generator8,
        sequential<image<8, 8, 1>, conv2d<8, 4, 2, 1>, leaky_relu, conv2d<16, 4, 2, 1, bias::no>,
                   leaky_relu, linear<1>>,
        loss::penalised<loss::critic, loss::wgan_gp>, optim::ema<optim::adam>, optim::adam>;
using mlp8 = gan<sequential<latent<8>, linear<24>, leaky_relu, linear<64>, tanh_, reshape<8, 8, 1>>,
                 sequential<image<8, 8, 1>, linear<24>, leaky_relu, dropout, linear<1>>,
                 loss::non_saturating, optim::ema<optim::adam>, optim::adam>;

static_assert(dist::pairs_batches<mlp8, backend::cuda> &&
              dist::pairs_batches<dcgan8, backend::cuda>);
static_assert(dist::pairs_batches<wgan_gp8, backend::cuda>, "its penalty has points of its own");
static_assert(!dist::pairs_batches<dcgan8, host_backend>);
template <class Loss>
using with_loss = gan<generator8, dcgan8::discriminator_type, Loss, optim::adam>;
static_assert(!dist::pairs_batches<with_loss<loss::penalised<loss::non_saturating, loss::r1>>,
                                   backend::cuda>);

struct training {
  std::vector<double> discriminator, generator;  ///< losses
  std::vector<float> images;                     ///< of the averaged generator
  std::size_t launches{};                        ///< of the last step
};

/// @returns the kernels that were started
template <class B, class F>
std::size_t take(B&, bool, const F& step) {
  step();
  return 0;
}
template <class F>
std::size_t take(backend::cuda& b, bool graphs, const F& step) {
  const std::size_t before = b.launches();
  graphs ? b.step(step) : step();
  return b.launches() - before;
}

/// graphs: the steps are recorded, and their losses read after some of them together.
template <class T, class B>
training train(B& b, int rounds, bool graphs = false) {
  using node_type = dist::standalone::node<T, B, squares>;
  common_config<T> common{.seed = 7, .batch = 4};
  node_type node(b, common, {}, squares(T::sample_shape));
  CHECK(b.meter().bytes() == node_type::bytes(common.batch, {}));
  const auto allocations = b.meter().allocations();
  training result;
  comm::in_process_world world(1, std::make_shared<thread_pool>(1));
  world.run([&](auto& comm) {
    std::vector<round_report> late;
    for (int i = 0; i < rounds; ++i) {
      const auto iteration = static_cast<std::uint32_t>(i);
      if (graphs)
        result.launches = take(b, true, [&] { late.push_back(node.start_round(comm, iteration)); });
      else
        result.launches = take(b, false, [&] { late.push_back(node.round(comm, iteration)); });
      if (graphs && i + 1 < rounds && late.size() < node_type::rounds_kept) continue;
      if (graphs) node.complete(iteration + 1 - static_cast<std::uint32_t>(late.size()), late);
      for (const round_report& report : late) {
        result.discriminator.push_back(report.discriminator_loss);
        result.generator.push_back(report.generator_loss);
      }
      late.clear();
    }
  });
  CHECK(b.meter().allocations() == allocations);
  std::vector<float> latents(4 * T::latent_shape.size());
  fill_normal(std::span<float>(latents), {.seed = 7, .use = purpose::fixed_latent});
  result.images.resize(4 * T::sample_shape.size());
  node.sample(latents, result.images);
  return result;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    most = std::isfinite(a[i] + b[i]) ? std::max(most, std::abs(a[i] - b[i])) : 1e9;
  return most;
}

/// The losses of all steps and the images at the end agree with the CPU's, within some roundings of
/// numbers near 1 that training has not blown up; a second run, whose steps are CUDA graphs, gives
/// the same bits. The number of kernels in a step is a constant of the networks.
template <class T>
void follows_cpu(std::size_t kernels_of_step) {
  constexpr double most = 1e-5;
  host_backend host;
  backend::cuda device, again;
  const training expected = train<T>(host, steps), found = train<T>(device, steps);
  CHECK(largest_difference(found.discriminator, expected.discriminator) < most);
  CHECK(largest_difference(found.generator, expected.generator) < most);
  CHECK(test::compare(found.images, expected.images, {0, most}));
  const training graphs = train<T>(again, std::min(steps, 30), true);
  for (std::size_t i = 0; i < graphs.generator.size(); ++i) {
    CHECK(graphs.generator[i] == found.generator[i]);
    CHECK(graphs.discriminator[i] == found.discriminator[i]);
  }
  CHECK(graphs.launches == kernels_of_step);
  CHECK(again.graphs() == 1);  // the host waits for nothing before the losses at the end
  CHECK(found.launches == kernels_of_step);
  CHECK((steps < 200 || found.discriminator.back() < 0.95 * found.discriminator.front()));
}

struct watched {
  std::vector<round_report> reports;
  std::vector<std::size_t> waits;  ///< of the host until each round was started, under the emulator
};

/// A run whose callback looks at every so many rounds.
watched train_watched(std::uint32_t rounds, std::uint32_t every) {
  watched seen;
  comm::in_process_world world(1, std::make_shared<thread_pool>(1));
  train::run<dist::standalone, backend::cuda>(
      world, common_config<mlp8>{.seed = 7, .batch = 4}, {},
      std::vector<squares>{squares(mlp8::sample_shape)},
      {.iterations = rounds,
       .on_round = [&](const train::round_view& v) { seen.reports.push_back(v.report); },
       .looks =
           [&](std::uint32_t iteration, std::span<const round_report> waiting) {
             CHECK(waiting.size() + seen.reports.size() == iteration);
#if !defined(__CUDACC__)
             seen.waits.push_back(simt::runtime_state::instance().waits);
#endif
             return iteration % every == 0;
           }},
      [](int) { return backend::cuda(); });
  return seen;
}

bool same_report(const round_report& a, const round_report& b) {
  const auto same = [](double x, double y) { return x == y || (std::isnan(x) && std::isnan(y)); };
  return same(a.discriminator_loss, b.discriminator_loss) &&
         same(a.generator_loss, b.generator_loss) &&
         std::ranges::equal(a.signals.values, b.signals.values, same);
}

/// The loss of a learning step, its gradients and the running statistics. Three samples: the second
/// batch's outputs begin at no pack.
template <class T>
std::vector<float> learn_once(bool paired) {
  constexpr int n = 3;
  constexpr std::size_t half = n * T::sample_shape.size();
  backend::cuda b;
  dist::discriminator_player<T, backend::cuda> player(b, {.seed = 7, .batch = n}, 0);
  std::vector<float> images(2 * half);
  fill_normal(std::span<float>(images), {.seed = 5});
  const auto memory = b.allocate(images.size());
  b.upload(images, memory.data());
  network_input<backend::cuda> real(memory.data(), n);
  real.paired = paired;
  const double loss = player.learn(real, {memory.data() + half, n}, 3, 1, [] {});
  std::vector<float> found{static_cast<float>(loss)};
  for (const auto values : {player.state().gradients(), player.state().values().buffers}) {
    std::vector<float> host(values.size());
    b.download(values.data(), host);
    found.insert(found.end(), host.begin(), host.end());
  }
  return found;
}

/// What a whole step leaves in which no weight moves: both losses, and the gradients and running
/// statistics of both players.
template <class T, class B>
std::vector<std::vector<float>> whole_step(B& b) {
  common_config<T> common{.seed = 7, .batch = 4};
  const auto stop = [](auto& optimizer) {
    if constexpr (requires { optimizer.base; })
      optimizer.base.rate = 0.0f;
    else
      optimizer.rate = 0.0f;
  };
  stop(common.topology.discriminator_optimizer);
  stop(common.topology.generator_optimizer);
  dist::standalone::node<T, B, squares> node(b, common, {}, squares(T::sample_shape));
  round_report report;
  comm::in_process_world world(1, std::make_shared<thread_pool>(1));
  world.run([&](auto& comm) { report = node.round(comm, 0); });
  std::vector<std::vector<float>> found{
      {static_cast<float>(report.discriminator_loss), static_cast<float>(report.generator_loss)}};
  const auto keep = [&](const auto& values) {
    b.download(values.data(), found.emplace_back(values.size()));
  };
  node.visit_networks([&](const char*, auto& state) {
    keep(state.gradients());
    keep(state.values().buffers);
  });
  return found;
}

/// Each array within few roundings of its largest number.
template <class T>
void has_gradients_of_reference() {
  backend::cuda device;
  backend::reference<double> oracle;
  const auto found = whole_step<T>(device), expected = whole_step<T>(oracle);
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    double largest = 0;
    for (const float value : expected[i]) largest = std::max(largest, std::abs(double{value}));
    CHECK((largest > 0 || expected[i].empty()));
    CHECK(test::compare(found[i], expected[i], {0, 1e-5 * largest}));
  }
}

}  // namespace

TEST_CASE("cuda: a whole step has the losses and gradients of the reference in double") {
  has_gradients_of_reference<mlp8>();
  has_gradients_of_reference<dcgan8>();
  has_gradients_of_reference<wgan_gp8>();
}

TEST_CASE("cuda: one pass over a pair computes what two passes do, dropout's masks included") {
  constexpr test::tolerance few{1e-6, 1e-6};
  CHECK(test::compare(learn_once<dcgan8>(true), learn_once<dcgan8>(false), few));
  CHECK(test::compare(learn_once<mlp8>(true), learn_once<mlp8>(false), few));
}

TEST_CASE("cuda: a run waits for its device only where its callback looks") {
  constexpr std::uint32_t rounds = 37, every = 10;  // past the end of the ring
  const watched late = train_watched(rounds, every), usual = train_watched(rounds, 1);
  CHECK(late.reports.size() == rounds);
  CHECK(std::ranges::equal(late.reports, usual.reports, same_report));
  CHECK(std::isfinite(late.reports.back().signals[signal::score_fake]));
  CHECK_FALSE(same_report(late.reports[0], late.reports[1]));
  for (std::size_t i = 1; i < late.waits.size(); ++i) {
    CHECK(usual.waits[i] - usual.waits[i - 1] == 1);
    CHECK(late.waits[i] - late.waits[i - 1] == (i % every == 0 ? 1 : 0));
  }
}

TEST_CASE("cuda: an mlp trains as on the CPU") { follows_cpu<mlp8>(25); }

TEST_CASE("cuda: a DCGAN trains as on the CPU") { follows_cpu<dcgan8>(30); }

TEST_CASE("cuda: a WGAN-GP trains as on the CPU") { follows_cpu<wgan_gp8>(43); }
