// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <limits>
#include <memory>

#include <doctest/doctest.h>

#include "gantry/data/label_index.hpp"

using gantry::usage_error;
using namespace gantry::data;

namespace {

/// Labels 3 and 255 without an image in memory: an index must not look at one.
const std::vector<std::uint8_t> labels{3, 255, 3, 3, 255, 0};

}  // namespace

TEST_CASE("label index: the positions of a label, ascending") {
  const label_index index(labels);
  const auto list = [&](std::uint8_t label) {
    return index_list(index.of(label).begin(), index.of(label).end());
  };
  CHECK(list(3) == index_list{0, 2, 3});
  CHECK(list(255) == index_list{1, 4});
  CHECK(list(0) == index_list{5});
  CHECK(list(7).empty());
  CHECK(index.present() == std::vector<std::uint8_t>{0, 3, 255});
  CHECK(index.size() == 6);
  CHECK_THROWS_AS(label_index(std::span<const std::uint8_t>{}), usage_error);
}

TEST_CASE("label index: shards of one label share the set") {
  image_set made{1, 1, 1, {10, 11, 12, 13, 14, 15}, labels, "toy"};
  const auto set = std::make_shared<const image_set>(made);
  const label_index index(labels_of(*set));
  const shard own = shard_of_label(set, index, 255);
  CHECK(&own.set() == set.get());
  CHECK(own.size() == 2);
  CHECK(own.image(1)[0] == 14);
  CHECK_THROWS_WITH_AS((void)shard_of_label(set, index, 1),
                       doctest::Contains("samples of label 1 were asked for"), usage_error);
  made.labels.pop_back();
  CHECK_THROWS_WITH_AS((void)labels_of(made), doctest::Contains("toy has 5 for 6"), usage_error);
}

TEST_CASE("label histograms and their divergence") {
  const auto set =
      std::make_shared<const image_set>(image_set{1, 1, 1, {0, 0, 0, 0}, {0, 1, 1, 2}, "four"});
  const std::array<shard, 2> shards{shard(set, {0, 1}), shard(set, {2, 3})};
  const auto each = label_histograms(shards, 3);
  CHECK(each == std::vector<std::vector<std::uint64_t>>{{1, 1, 0}, {0, 1, 1}});
  CHECK_THROWS_WITH_AS((void)label_histograms(shards, 2), doctest::Contains("but one is 2"),
                       usage_error);
  const auto all = label_histogram(set->labels, 3);
  CHECK(all == std::vector<std::uint64_t>{1, 2, 1});
  // 1/2 log(1/2 / (1/4)) + 1/2 log(1/2 / (1/2))
  CHECK(label_divergence(each[0], all) == doctest::Approx(0.5 * std::log(2.0)));
  CHECK(label_divergence(all, all) == 0);
  const std::vector<std::uint64_t> thrice{3, 6, 3};
  CHECK(label_divergence(thrice, all) == 0);
  CHECK(label_divergence(all, each[0]) == std::numeric_limits<double>::infinity());
  CHECK_THROWS_AS((void)label_divergence(all, std::vector<std::uint64_t>{0, 0, 0}), usage_error);
  CHECK_THROWS_AS((void)label_divergence(all, std::vector<std::uint64_t>{1, 1}), usage_error);
}
