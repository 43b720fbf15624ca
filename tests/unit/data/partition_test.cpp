// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include "gantry/data/partition.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <numeric>

using gantry::usage_error;
using namespace gantry::data;

namespace {

/// All positions, sorted.
index_list together(const std::vector<index_list>& parts) {
  index_list all;
  for (const index_list& part : parts) all.insert(all.end(), part.begin(), part.end());
  std::sort(all.begin(), all.end());
  return all;
}

index_list counting(std::uint32_t n) {
  index_list all(n);
  std::iota(all.begin(), all.end(), 0u);
  return all;
}

image_set toy(std::uint32_t n) {
  image_set set{1, 1, 1, {}, {}, "toy"};
  for (std::uint32_t i = 0; i < n; ++i) {
    set.pixels.push_back(static_cast<std::uint8_t>(i));
    set.labels.push_back(static_cast<std::uint8_t>(i % 3));
  }
  return set;
}

/// A partitioner from outside the library: worker w gets the labels w, w + workers, ...
struct by_label {
  std::vector<index_list> split(std::span<const std::uint8_t> labels, int workers,
                                std::uint64_t) const {
    std::vector<index_list> parts(static_cast<std::size_t>(workers));
    for (std::uint32_t i = 0; i < labels.size(); ++i)
      parts[labels[i] % static_cast<std::size_t>(workers)].push_back(i);
    return parts;
  }
};

struct returns_too_few {
  std::vector<index_list> split(std::uint32_t, int, std::uint64_t) const { return {{0}}; }
};

struct not_a_partitioner {};

}  // namespace

static_assert(SizePartitioner<iid> && !LabelPartitioner<iid>, "iid needs the size only");
static_assert(LabelPartitioner<by_label> && !SizePartitioner<by_label>, "by_label needs labels");
static_assert(!Partitioner<not_a_partitioner>, "a policy without split is no partitioner");

TEST_CASE("partition: every sample has exactly one owner and sizes differ by at most one") {
  for (const std::uint32_t size : {1u, 2u, 7u, 10u, 64u, 1001u, 60'000u})
    for (const int workers : {1, 2, 3, 7, 10, 50}) {
      if (size < static_cast<std::uint32_t>(workers)) continue;
      CAPTURE(size);
      CAPTURE(workers);
      const auto parts = partition(size, iid{}, workers, 5);
      REQUIRE(parts.size() == static_cast<std::size_t>(workers));
      CHECK(together(parts) == counting(size));
      for (const index_list& part : parts) {
        CHECK(part.size() >= size / parts.size());
        CHECK(part.size() <= (size + parts.size() - 1) / parts.size());
      }
    }
}

TEST_CASE("partition: a function of the seed, and random") {
  const auto parts = partition(1000, iid{}, 4, 1);
  CHECK(parts == partition(1000, iid{}, 4, 1));
  CHECK(parts != partition(1000, iid{}, 4, 2));
  for (const index_list& part : parts) {
    // The mean of 250 of 0 .. 999 has a standard deviation of 15.8.
    const double mean = std::accumulate(part.begin(), part.end(), 0.0) / 250;
    CHECK(mean == doctest::Approx(499.5).epsilon(0.16));
  }
}

TEST_CASE("partition: impossible requests are refused") {
  CHECK_THROWS_WITH_AS((void)partition(3, iid{}, 4, 1),
                       "4 workers need at least as many samples but got 3; use fewer workers or "
                       "more data",
                       usage_error);
  CHECK_THROWS_WITH_AS((void)partition(3, iid{}, 0, 1), doctest::Contains("but got 0"),
                       usage_error);
  CHECK_THROWS_AS((void)partition(3, iid{}, -1, 1), usage_error);
  CHECK_THROWS_AS((void)partition(0, iid{}, 1, 1), usage_error);
  CHECK_THROWS_AS((void)partition(std::size_t{1} << 32, iid{}, 1, 1), usage_error);
  CHECK_THROWS_WITH_AS((void)partition(3, returns_too_few{}, 2, 1),
                       doctest::Contains("each of 2 workers but returned 1"), usage_error);
}

TEST_CASE("partition: shards share the set") {
  const auto set = std::make_shared<const image_set>(toy(11));
  const std::vector<shard> shards = partition(set, iid{}, 3, 9);
  const auto parts = partition(11, iid{}, 3, 9);
  REQUIRE(shards.size() == 3);
  for (std::size_t w = 0; w < 3; ++w) {
    CHECK(shards[w].indices() == parts[w]);
    CHECK(&shards[w].set() == set.get());
  }
  CHECK(partition(toy(11), iid{}, 3, 9)[2].indices() == parts[2]);
  CHECK_THROWS_AS((void)partition(std::shared_ptr<const image_set>{}, iid{}, 1, 1), usage_error);
}

TEST_CASE("partition: a policy over labels plugs in from outside") {
  const std::vector<shard> shards = partition(toy(12), by_label{}, 3, 0);
  for (std::size_t w = 0; w < 3; ++w) {
    REQUIRE(shards[w].size() == 4);
    for (std::size_t i = 0; i < 4; ++i) CHECK(shards[w].label(i) == w);
  }
  const std::array<std::uint8_t, 4> labels{0, 1, 0, 1};
  CHECK(partition(std::span<const std::uint8_t>(labels), by_label{}, 2, 0) ==
        std::vector<index_list>{{0, 2}, {1, 3}});
  CHECK(partition(std::span<const std::uint8_t>(labels), iid{}, 2, 3) == partition(4, iid{}, 2, 3));
  CHECK_THROWS_WITH_AS((void)partition(toy(12), by_label{}, 4, 0),
                       doctest::Contains("worker 3 got none"), usage_error);
  image_set unlabelled = toy(12);
  unlabelled.labels.clear();
  CHECK_THROWS_WITH_AS((void)partition(unlabelled, by_label{}, 3, 0),
                       doctest::Contains("needs one label per image"), usage_error);
  CHECK(partition(unlabelled, iid{}, 3, 0).size() == 3);
}
