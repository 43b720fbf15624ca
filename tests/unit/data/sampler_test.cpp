// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include "gantry/data/sampler.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <numeric>

#include "gantry/data/partition.hpp"

using gantry::usage_error;
using namespace gantry::data;

namespace {

/// n samples of 1 x 2 x 1 whose first pixel is their position and whose label is its last digit.
std::shared_ptr<const image_set> numbered(int n) {
  image_set set{1, 2, 1, {}, {}, "numbered"};
  for (int i = 0; i < n; ++i) {
    set.pixels.push_back(static_cast<std::uint8_t>(i));
    set.pixels.push_back(255);
    set.labels.push_back(static_cast<std::uint8_t>(i % 10));
  }
  return std::make_shared<const image_set>(std::move(set));
}

shuffled_source whole(int n, std::uint64_t seed = 3, std::uint32_t worker = 0) {
  index_list all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0u);
  return {shard(numbered(n), all), seed, worker};
}

/// Positions that a batch reads, recovered from the pixels.
std::vector<int> positions(shuffled_source& source, std::uint32_t step, int batch) {
  std::vector<float> out(2 * static_cast<std::size_t>(batch), -7.0f);
  source.read(step, out, batch);
  std::vector<int> result;
  for (std::size_t i = 0; i < out.size(); i += 2) {
    REQUIRE(out[i + 1] == 1.0f);
    result.push_back(static_cast<int>(std::lround((out[i] + 1) * 127.5f)));
  }
  return result;
}

/// The first `steps` batches in one row.
std::vector<int> sequence(shuffled_source source, std::uint32_t steps, int batch) {
  std::vector<int> all;
  for (std::uint32_t step = 0; step < steps; ++step)
    for (const int i : positions(source, step, batch)) all.push_back(i);
  return all;
}

}  // namespace

TEST_CASE("sampler: every epoch visits every sample exactly once, whatever the batch") {
  constexpr int m = 12, epochs = 5;
  const std::vector<int> reference = sequence(whole(m), epochs, m);
  for (const int batch : {1, 2, 5, 12, 15, 30, 60}) {
    CAPTURE(batch);
    const int steps = m * epochs / batch;
    const std::vector<int> seen = sequence(whole(m), static_cast<std::uint32_t>(steps), batch);
    REQUIRE(seen.size() == static_cast<std::size_t>(steps * batch));
    CHECK(std::equal(seen.begin(), seen.end(), reference.begin()));
  }
  for (int e = 0; e < epochs; ++e) {
    std::vector<int> epoch(reference.begin() + e * m, reference.begin() + (e + 1) * m);
    std::sort(epoch.begin(), epoch.end());
    for (int i = 0; i < m; ++i) CHECK(epoch[static_cast<std::size_t>(i)] == i);
  }
}

TEST_CASE("sampler: epochs, seeds and workers have orders of their own") {
  const std::vector<int> two = sequence(whole(40), 2, 40);
  CHECK_FALSE(std::equal(two.begin(), two.begin() + 40, two.begin() + 40));
  CHECK(sequence(whole(40, 3, 0), 2, 40) == two);
  CHECK(sequence(whole(40, 4, 0), 2, 40) != two);
  CHECK(sequence(whole(40, 3, 1), 2, 40) != two);
}

TEST_CASE("sampler: a restarted source goes on as if it had not stopped") {
  shuffled_source running = whole(17);
  for (std::uint32_t step = 0; step < 9; ++step) (void)positions(running, step, 5);
  shuffled_source restarted = whole(17);
  for (std::uint32_t step = 9; step < 20; ++step)
    CHECK(positions(running, step, 5) == positions(restarted, step, 5));
  shuffled_source backwards = whole(17);
  const auto late = positions(backwards, 19, 5);
  CHECK(positions(backwards, 2, 5) == positions(restarted, 2, 5));
  CHECK(positions(backwards, 19, 5) == late);
}

TEST_CASE("sampler: labels belong to the images of the batch") {
  shuffled_source source = whole(23);
  for (std::uint32_t step = 0; step < 10; ++step) {
    const auto images = positions(source, step, 7);
    const auto labels = source.labels(step, 7);
    REQUIRE(labels.size() == 7);
    for (std::size_t i = 0; i < 7; ++i) CHECK(labels[i] == images[i] % 10);
  }
  // Labels alone, and with another batch size at the same step.
  shuffled_source fresh = whole(23);
  const auto again = fresh.labels(4, 7);
  CHECK(std::equal(again.begin(), again.end(), source.labels(4, 7).begin()));
  CHECK(source.labels(4, 3).size() == 3);
}

TEST_CASE("sampler: a worker reads its own samples only, and the last step is within reach") {
  const auto shards = partition(numbered(30), iid{}, 3, 8);
  for (std::uint32_t w = 0; w < 3; ++w) {
    shuffled_source source(shards[w], 8, w);
    CHECK(source.size() == 10);
    const auto& own = shards[w].indices();
    for (const std::uint32_t step : {0u, 1u, 0xffffffffu})
      for (const int i : positions(source, step, 10))
        CHECK(std::count(own.begin(), own.end(), static_cast<std::uint32_t>(i)) == 1);
  }
}

TEST_CASE("sampler: a batch that cannot be read is refused") {
  shuffled_source source = whole(4);
  std::vector<float> out(4);
  CHECK_THROWS_WITH_AS(source.read(0, out, 0), doctest::Contains("at least 1 sample but got 0"),
                       usage_error);
  CHECK_THROWS_WITH_AS(source.read(0, out, 3), doctest::Contains("6 floats but got room for 4"),
                       usage_error);
  CHECK_THROWS_AS((void)source.labels(0, -1), usage_error);
  source.read(0, out, 2);
}
