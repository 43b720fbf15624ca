// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Augmentation of discriminators in training: off it changes nothing, its probability follows the
// sign of D(real), and a run goes on where it stopped.
#include <doctest/doctest.h>

#include "gantry/backend/reference/reference.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/dist/md_gan.hpp"
#include "gantry/dist/standalone.hpp"
#include "gantry/nn/augmented.hpp"

#include "support/toy_gan.hpp"

using namespace gantry;

namespace {

using backend_type = backend::reference<float>;
using augmented_gan = gan<toy::conv_generator, augmented_network<toy::conv_discriminator>,
                          loss::non_saturating, optim::adam, optim::ema<optim::adam>>;
template <class T>
using node_of = dist::standalone::node<T, backend_type, toy::noise_source>;

common_config<augmented_gan> settings(float probability, bool adaptive = false) {
  common_config<augmented_gan> c{.seed = 4, .batch = 3};
  augment_images& changes = c.topology.discriminator.layer<0>();
  changes.probability = probability;
  if (adaptive)
    changes.adaptive =
        adaptive_probability{.target = 0.1f, .images = 24, .value = 0.25f, .every = 2};
  return c;
}

/// A standalone run whose rounds can be cut in two.
template <class T>
struct rehearsal {
  backend_type b;
  node_of<T> node;
  explicit rehearsal(const common_config<T>& c) : node(b, c, {}, toy::noise_source(30, 0)) {}
  void rounds(std::uint32_t first, std::uint32_t last) {
    auto world = comm::in_process(1, 1);
    world.run([&](auto& comm) {
      for (std::uint32_t k = first; k < last; ++k) node.round(comm, k);
    });
  }
  /// All numbers that training changes.
  template <class F>
  void visit(F&& f) {
    const auto one = [&](auto& state) {
      f(state.values().params);
      f(state.values().buffers);
      f(state.optimizer_state());
      f(state.average_buffers());
    };
    one(node.generator().state());
    one(node.discriminator().state());
  }
  std::vector<float> numbers() {
    std::vector<float> all;
    visit([&](std::span<float> part) { all.insert(all.end(), part.begin(), part.end()); });
    return all;
  }
};

}  // namespace

TEST_CASE("augmentation: at probability 0 a run is bit for bit the run without") {
  common_config<toy::adam_gan> plain{.seed = 4, .batch = 3};
  rehearsal<toy::adam_gan> without(plain);
  rehearsal<augmented_gan> off(settings(0)), on(settings(1));
  without.rounds(0, 4);
  off.rounds(0, 4);
  on.rounds(0, 4);
  CHECK(off.numbers() == without.numbers());
  CHECK(on.numbers() != without.numbers());
  CHECK(!off.node.discriminator().augmentation());
  off.node.discriminator().visit_values([](auto&&...) { FAIL("nothing to remember"); });
}

TEST_CASE("augmentation: the probability rises while D memorises, and falls when it is wrong") {
  backend_type b;
  common_config<augmented_gan> c = settings(0, true);
  c.topology.discriminator.layer<0>().adaptive = adaptive_probability{.images = 120, .every = 2};
  dist::discriminator_player<augmented_gan, backend_type> player(b, c, 0);
  std::vector<float> first(3 * 72), second(3 * 72);
  fill_normal(std::span<float>(first), {.seed = 1, .use = purpose::user});
  fill_normal(std::span<float>(second), {.seed = 2, .use = purpose::user});
  const network_input<backend_type> x(first.data(), 3), z(second.data(), 3);
  std::uint32_t step = 0;
  const auto learn = [&](int steps, const auto& real, const auto& fake) {
    for (int k = 0; k < steps; ++k) player.learn(real, fake, step++, 0);
    return player.augmentation()->value;
  };
  player.state().optimizer.rate = 0.02f;
  CHECK(learn(1, x, z) == 0.0f);  // looked at every second step
  const float high = learn(119, x, z);
  CHECK(high > 0.5f);
  // The same images with the other meaning: D is wrong about them all until it has learned.
  player.state().optimizer.rate = 1e-5f;
  CHECK(learn(10, z, x) < high - 0.2f);
}

TEST_CASE("augmentation: a resumed run goes on with its probability, bit for bit") {
  rehearsal<augmented_gan> whole(settings(0, true)), first(settings(0, true)),
      second(settings(0, true));
  whole.rounds(0, 7);
  first.rounds(0, 3);  // between two adjustments
  std::vector<std::span<float>> parts;
  second.visit([&](std::span<float> part) { parts.push_back(part); });
  std::size_t i = 0;
  first.visit([&](std::span<float> part) { std::ranges::copy(part, parts[i++].begin()); });
  second.node.generator().state().step = first.node.generator().state().step;
  second.node.discriminator().state().step = first.node.discriminator().state().step;
  std::vector<float> kept;
  first.node.discriminator().visit_values([&](const std::string& name, std::vector<float>& values) {
    CHECK(name == "augment_probability");
    kept = values;
  });
  REQUIRE(kept.size() == 4);
  CHECK(kept[0] != 0.25f);
  second.node.discriminator().visit_values(
      [&](auto, std::vector<float>& values) { values = kept; });
  second.rounds(3, 7);
  CHECK(second.numbers() == whole.numbers());
  CHECK(second.node.discriminator().augmentation()->value ==
        whole.node.discriminator().augmentation()->value);
  CHECK_THROWS_AS(
      second.node.discriminator().visit_values([](auto, std::vector<float>& v) { v.clear(); }),
      data_error);
}

TEST_CASE("augmentation: each worker of MD-GAN keeps its own probability") {
  constexpr int workers = 2;
  // One worker is always above its target, the other always below: swapped discriminators do not
  // mix them up.
  const auto steered = [](int rank) {
    auto c = settings(0, true);
    c.topology.discriminator.layer<0>().adaptive->target = rank == 1 ? -2.0f : 2.0f;
    return c;
  };
  const dist::md_gan::config swapping{.k = 2, .swap_every = dist::iterations(1)};
  std::vector<float> found(workers);
  auto world = comm::in_process(workers + 1, 1);
  world.run([&](auto& comm) {
    backend_type b;
    const auto c = steered(comm.rank());
    if (comm.rank() == 0) {
      dist::md_gan::server<augmented_gan, backend_type> server(b, c, swapping, workers);
      server.begin(comm);
      for (std::uint32_t k = 0; k < 6; ++k) server.round(comm, k);
      server.command(comm, order::stop);
    } else {
      const auto index = static_cast<std::uint32_t>(comm.rank() - 1);
      const toy::noise_source source(30, index);
      dist::md_gan::worker<augmented_gan, backend_type, toy::noise_source> worker(b, c, swapping,
                                                                                  source, index);
      worker.begin(comm, source);
      for (std::uint32_t k = 0; worker.round(comm, k) == order::train; ++k) {}
      found[index] = worker.discriminator().augmentation()->value;
    }
  });
  CHECK(found[0] == 1.0f);
  CHECK(found[1] == 0.0f);
}

TEST_CASE("augmentation: a relativistic objective gives no sign to steer by") {
  using relativistic = gan<toy::conv_generator, augmented_network<toy::conv_discriminator>,
                           loss::relativistic, optim::sgd>;
  backend_type b;
  common_config<relativistic> c{.batch = 3};
  c.topology.discriminator.layer<0>().adaptive = adaptive_probability{};
  CHECK_THROWS_AS((dist::discriminator_player<relativistic, backend_type>(b, c, 0)), usage_error);
}
