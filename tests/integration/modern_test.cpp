// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The presets with objectives of their own, as narrow as they go, under the strategies: losses stay
// finite and move, memory is what was planned, labels travel.
#include <cmath>

#include <doctest/doctest.h>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/dist/md_gan.hpp"
#include "gantry/dist/standalone.hpp"
#include "gantry/models/modern.hpp"
#include "gantry/optim/optimizers.hpp"

using namespace gantry;

namespace {

using cpu = backend::cpu;

/// Noise with labels.
class source {
 public:
  explicit source(std::uint32_t worker) : worker_(worker) {}
  void read(std::uint32_t step, std::span<float> out, int) const {
    fill_normal(out, {.seed = 7, .step = step, .worker = worker_, .use = purpose::user});
  }
  std::span<const std::uint8_t> labels(std::uint32_t step, int batch) {
    labels_.resize(static_cast<std::size_t>(batch));
    for (std::size_t i = 0; i < labels_.size(); ++i)
      labels_[i] = static_cast<std::uint8_t>((step + 3 * i + worker_) % 10);
    return labels_;
  }
  [[nodiscard]] std::int64_t size() const { return 6; }

 private:
  std::uint32_t worker_;
  std::vector<std::uint8_t> labels_;
};

template <class Preset>
using topology = gan<typename Preset::generator, typename Preset::discriminator,
                     typename Preset::objective, optim::adam>;

template <class Preset>
common_config<topology<Preset>> common() {
  common_config<topology<Preset>> c{.seed = 3, .batch = 3};
  if constexpr (requires { Preset::configure(c.topology.generator, c.topology.discriminator); })
    Preset::configure(c.topology.generator, c.topology.discriminator);
  return c;
}

template <class Preset>
std::vector<double> standalone_losses() {
  using t = topology<Preset>;
  cpu b(2);
  const auto c = common<Preset>();
  using node_type = dist::standalone::node<t, cpu, source>;
  node_type node(b, c, {.fakes = 2}, source(0));
  CHECK(b.meter().bytes() == node_type::bytes(c.batch, {.fakes = 2}, c.topology.loss));
  std::vector<double> losses;
  comm::in_process(1, 1).run([&](auto& comm) {
    for (std::uint32_t k = 0; k < 3; ++k) {
      const round_report r = node.round(comm, k);
      losses.insert(losses.end(), {r.discriminator_loss, r.generator_loss});
    }
  });
  return losses;
}

/// One worker and k = 2 is standalone with two fake batches, bit for bit.
template <class Preset>
std::vector<double> md_gan_losses() {
  using t = topology<Preset>;
  const auto c = common<Preset>();
  const dist::md_gan::config settings{.k = 2, .swap_every = dist::never};
  std::vector<double> losses;
  auto world = comm::in_process(2, 2);
  world.run([&](auto& comm) {
    cpu b(1);
    if (comm.rank() == 0) {
      dist::md_gan::server<t, cpu> server(b, c, settings, 1);
      server.begin(comm);
      for (std::uint32_t k = 0; k < 3; ++k) {
        const round_report r = server.round(comm, k);
        CHECK(r.bytes_down ==
              2 * 3 * (static_cast<std::size_t>(t::sample_shape.size()) + (t::classes > 0)) * 4);
        losses.insert(losses.end(), {r.discriminator_loss, r.generator_loss});
      }
      server.command(comm, order::stop);
    } else {
      source s(0);
      dist::md_gan::worker<t, cpu, source>::begin(comm, s);
      dist::md_gan::worker<t, cpu, source> worker(b, c, settings, s, 0);
      CHECK(b.meter().bytes() ==
            dist::md_gan::worker<t, cpu, source>::bytes(c.batch, c.topology.loss));
      for (std::uint32_t k = 0; worker.round(comm, k) == order::train; ++k) {}
    }
  });
  return losses;
}

template <class Preset>
std::vector<double> check_alone() {
  const auto losses = standalone_losses<Preset>();
  REQUIRE(losses.size() == 6);
  for (const double loss : losses) CHECK(std::isfinite(loss));
  CHECK(losses[0] != losses[2]);
  return losses;
}

template <class Preset>
void check_both() {
  const auto alone = check_alone<Preset>(), apart = md_gan_losses<Preset>();
  CHECK(alone.size() == apart.size());
  for (std::size_t i = 0; i < alone.size(); ++i)
    CHECK(static_cast<float>(alone[i]) == static_cast<float>(apart[i]));
}

}  // namespace

TEST_CASE("modern presets: ACGAN") { check_both<models::acgan28>(); }
TEST_CASE("modern presets: conditional WGAN") { check_both<models::wcgan_resnet<4>>(); }
TEST_CASE("modern presets: WGAN-GP") { check_alone<models::wgan_gp_resnet<4>>(); }
TEST_CASE("modern presets: SNGAN") { check_alone<models::sngan_resnet<4, 4>>(); }
TEST_CASE("modern presets: BigGAN") { check_alone<models::biggan_resnet<2>>(); }
TEST_CASE("modern presets: R3GAN") { check_alone<models::r3gan_resnet<8, 2, 16>>(); }
