// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Every worker scores its share, and the states come together on one.
#include <algorithm>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/comm/in_process.hpp"
#include "gantry/metrics/feature_sample.hpp"
#include "gantry/metrics/indexed_statistics.hpp"

using namespace gantry;
using namespace gantry::metrics;

namespace {

constexpr std::int64_t samples = 2000;
constexpr int dimension = 4;

std::vector<float> features(std::int64_t first, std::int64_t last) {
  std::vector<float> out;
  for (std::int64_t i = first * dimension; i < last * dimension; ++i)
    out.push_back(static_cast<float>((i * 7919) % 10007) * 1.37f);
  return out;
}

}  // namespace

TEST_CASE("metric states: three ranks have on the root exactly what one would have") {
  indexed_statistics whole(dimension);
  whole.update(features(0, samples), 0);
  auto world = comm::in_process(3, 2);
  world.run([&]<Communicator C>(C& comm) {
    const std::int64_t first = comm.rank() * samples / 3, last = (comm.rank() + 1) * samples / 3;
    indexed_statistics statistics(dimension);
    feature_sample sample(dimension);
    statistics.update(features(first, last), first);
    sample.update(features(first, last), first);
    gather_states(comm, statistics, 1);
    gather_states(comm, sample, 1);
    if (comm.rank() != 1) return;
    CHECK(statistics.whole().mean() == whole.whole().mean());
    CHECK(statistics.whole().covariance() == whole.whole().covariance());
    CHECK(std::ranges::equal(sample.rows().values, features(0, samples)));
  });
}

TEST_CASE("metric states: without a rank that has stopped, the whole is refused") {
  auto world = comm::in_process(3, 2);
  world.run([&]<Communicator C>(C& comm) {
    if (comm.rank() == 2) return;
    feature_sample sample(dimension);
    if (comm.rank() == 0) sample.update(features(0, 600), 0);
    if (comm.rank() == 1) sample.update(features(1200, 2000), 1200);
    gather_states(comm, sample, 0);
    if (comm.rank() != 0) return;
    CHECK(sample.count() == 1400);
    CHECK_THROWS_AS(static_cast<void>(sample.rows()), usage_error);
  });
}
