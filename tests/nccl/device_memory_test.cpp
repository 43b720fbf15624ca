// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A strategy on a backend whose memory is a device's: what it passes on goes from device to device
// where the communicator takes it, and gives the networks of a run through the host's memory.
#include <concepts>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/reference/reference.hpp"
#include "gantry/base/rng.hpp"
#include "gantry/comm/any.hpp"
#include "gantry/dist/averaged_discriminator.hpp"
#include "gantry/dist/device_exchange.hpp"
#include "gantry/dist/federated_average.hpp"
#include "gantry/dist/layerwise_overlap.hpp"
#include "gantry/dist/md_gan.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

#include "distributed/conformance_device.hpp"
#include "nccl/worlds.hpp"

using namespace gantry;

namespace {

using generator = sequential<latent<4>, linear<8>, tanh_>;
using discriminator = sequential<latent<8>, linear<6>, batch_norm, leaky_relu, linear<1>>;
using topology = gan<generator, discriminator, loss::non_saturating, optim::adam>;
constexpr int rounds = 5;

using device = conformance::counting_device;
static_assert(std::same_as<dist::message_memory<device>, device::message_memory> &&
              std::same_as<dist::message_memory<backend::reference<float>>, std::vector<float>>);
static_assert(HasDeviceMemory<device> && !HasDeviceMemory<backend::reference<float>>);

struct private_source {
  std::uint32_t worker;
  void read(std::uint32_t step, std::span<float> out, int) {
    fill_normal(out, {.seed = 9, .step = step, .worker = worker});
  }
  [[nodiscard]] std::int64_t size() const { return 8; }
};

struct outcome {
  std::map<rank_t, std::vector<float>> discriminators;
  std::map<rank_t, std::size_t> downloaded;
  std::map<rank_t, traffic> counted;
};

outcome train(comm::any_world world, const dist::md_gan::config& config) {
  outcome kept;
  std::mutex mutex;
  world.run([&](auto& comm) {
    const common_config<topology> common{.seed = 3, .batch = 4};
    device b;
    const rank_t rank = comm.rank();
    if (rank == 0) {
      dist::md_gan::server<topology, device> server(b, common, config, 3);
      server.begin(comm);
      for (std::uint32_t i = 0; i < rounds; ++i) static_cast<void>(server.round(comm, i));
      return server.command(comm, order::stop);
    }
    const private_source source{static_cast<std::uint32_t>(rank)};
    using worker_type = dist::md_gan::worker<topology, device, private_source>;
    worker_type::begin(comm, source);
    worker_type worker(b, common, config, source, static_cast<std::uint32_t>(rank - 1));
    for (std::uint32_t i = 0; worker.round(comm, i) == order::train; ++i) {}
    const std::lock_guard lock(mutex);
    kept.downloaded[rank] = b.downloaded;
    kept.counted[rank] = comm.statistics();
    const auto values = worker.discriminator().state().values();
    auto& all = kept.discriminators[rank];
    all.assign(values.params.begin(), values.params.end());
    all.insert(all.end(), values.buffers.begin(), values.buffers.end());
  });
  return kept;
}

struct averaging_outcome {
  std::vector<float> generator;
  std::map<rank_t, std::size_t> downloaded;
  std::map<rank_t, traffic> counted;

  [[nodiscard]] std::size_t downloaded_in_all() const {
    std::size_t sum = 0;
    for (const auto& [rank, count] : downloaded) sum += count;
    return sum;
  }
};

template <class Strategy>
averaging_outcome train_averaging(comm::any_world world,
                                  const typename Strategy::config& config = {}) {
  averaging_outcome kept;
  std::mutex mutex;
  world.run([&](auto& comm) {
    const common_config<topology> common{.seed = 3, .batch = 4};
    device b;
    const auto keep = [&] {
      const std::lock_guard lock(mutex);
      kept.downloaded[comm.rank()] = b.downloaded;
      kept.counted[comm.rank()] = comm.statistics();
    };
    if (comm.rank() == 0) {
      typename Strategy::template server<topology, device> server(b, common, config, 2);
      server.begin(comm);
      for (std::uint32_t i = 0; i < rounds; ++i) static_cast<void>(server.round(comm, i));
      server.command(comm, order::stop);
      const auto values = server.generator().state().values();
      kept.generator.assign(values.params.begin(), values.params.end());
      return keep();
    }
    const private_source source{static_cast<std::uint32_t>(comm.rank())};
    using worker_type = typename Strategy::template worker<topology, device, private_source>;
    worker_type::begin(comm, source);
    worker_type worker(b, common, config, source, static_cast<std::uint32_t>(comm.rank() - 1));
    for (std::uint32_t i = 0; worker.round(comm, i) == order::train; ++i) {}
    keep();
  });
  return kept;
}

/// Networks go down and up where they lie; `up` numbers of each worker were downloaded before.
template <class Strategy>
void averages_from_device_to_device(std::size_t down, std::size_t up) {
  const averaging_outcome staged = train_averaging<Strategy>(comm::in_process(3, 2));
  const averaging_outcome direct = train_averaging<Strategy>(test::nccl_world(3));
  CHECK(!staged.generator.empty());
  CHECK(direct.generator == staged.generator);
  for (rank_t r = 0; r < 3; ++r) {
    CHECK(direct.counted.at(r) == staged.counted.at(r));
    CHECK(direct.downloaded.at(r) + rounds * (r == 0 ? down : up) == staged.downloaded.at(r));
  }
}

}  // namespace

TEST_CASE(
    "nccl: networks that are averaged move from device to device with the bits of a run over "
    "threads") {
  constexpr std::size_t theta = generator::param_count + generator::buffer_count,
                        phi = discriminator::param_count + discriminator::buffer_count;
  averages_from_device_to_device<dist::federated_average>(theta + phi, theta + phi);
  averages_from_device_to_device<dist::averaged_discriminator>(theta + phi, phi);
}

TEST_CASE("nccl: slices of networks move from device to device with the bits of other ways") {
  using enum dist::overlap_mode;
  using strategy = dist::layerwise_overlap;
  const averaging_outcome staged =
      train_averaging<strategy>(comm::in_process(3, 2), {.overlap = blocking, .piece = 64});
  CHECK(staged.downloaded_in_all() > 0);
  for (const dist::overlap_mode mode : {blocking, ready, input_first}) {
    const averaging_outcome direct =
        train_averaging<strategy>(test::nccl_world(3), {.overlap = mode, .piece = 64});
    CHECK(direct.generator == staged.generator);
    // What a worker sets aside ahead of a round, and its losses; no slice.
    CHECK(direct.downloaded_in_all() < staged.downloaded_in_all() / 2);
    for (rank_t r = 0; r < 3; ++r)
      CHECK(direct.counted.at(r).sent[message::model].bytes ==
            staged.counted.at(r).sent[message::model].bytes);
  }
}

TEST_CASE("nccl: a discriminator moves from device to device with the bits of a run over threads") {
  constexpr std::size_t network = discriminator::param_count + discriminator::buffer_count;
  const dist::md_gan::config config{
      .k = 2, .swap_every = dist::iterations(1), .moments_travel = true};
  const outcome staged = train(comm::in_process(4, 2), config);
  const outcome direct = train(test::nccl_world(4), config);
  for (rank_t r = 1; r < 4; ++r) {
    CHECK(staged.discriminators.at(r).size() == network);
    CHECK(direct.discriminators.at(r) == staged.discriminators.at(r));
    CHECK(direct.counted.at(r) == staged.counted.at(r));
    CHECK(direct.downloaded.at(r) + (rounds - 1) * network <= staged.downloaded.at(r));
  }
  CHECK(staged.discriminators.at(1) != staged.discriminators.at(2));
}
