// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include "gantry/data/shard.hpp"

#include <doctest/doctest.h>

#include <type_traits>

using gantry::usage_error;
using namespace gantry::data;

namespace {

std::shared_ptr<const image_set> toy(std::vector<std::uint8_t> labels = {7, 8, 9}) {
  return std::make_shared<const image_set>(
      image_set{1, 2, 1, {10, 11, 20, 21, 30, 31}, std::move(labels), "toy"});
}

}  // namespace

TEST_CASE("shard: looks up images and labels through its positions") {
  const shard part(toy(), {2, 0});
  CHECK(part.size() == 2);
  CHECK(part.height() == 1);
  CHECK(part.width() == 2);
  CHECK(part.channels() == 1);
  CHECK(part.sample_size() == 2);
  CHECK(int{part.image(0)[1]} == 31);
  CHECK(int{part.image(1)[0]} == 10);
  CHECK(int{part.label(0)} == 9);
  CHECK(int{part.label(1)} == 7);
}

TEST_CASE("shard: copies share the set and the positions") {
  const auto set = toy();
  const shard part(set, {1});
  const shard copy = part;
  CHECK(set.use_count() == 3);
  CHECK(&copy.set() == &part.set());
  CHECK(&copy.indices() == &part.indices());
  CHECK(std::is_nothrow_move_constructible_v<shard>);
}

TEST_CASE("shard: impossible contents are refused") {
  CHECK_THROWS_AS(shard(nullptr, {0}), usage_error);
  CHECK_THROWS_WITH_AS(shard(toy(), {}), doctest::Contains("at least one sample"), usage_error);
  CHECK_THROWS_WITH_AS(shard(toy(), {0, 3}), doctest::Contains("beyond the end"), usage_error);
  const shard unlabelled(toy({}), {0});
  CHECK_THROWS_WITH_AS((void)unlabelled.label(0), doctest::Contains("labels were asked for"),
                       usage_error);
}
