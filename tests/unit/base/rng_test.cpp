// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/base/rng.hpp"

using gantry::purpose;
using gantry::random_permutation;
using gantry::random_sequence;
using gantry::stream_id;
namespace philox = gantry::philox;

namespace {

constexpr stream_id base_stream{
    .seed = 11, .step = 3, .worker = 2, .use = purpose::latent, .salt = 1};

std::vector<float> normals(std::size_t n, const stream_id& id) {
  std::vector<float> values(n);
  gantry::fill_normal(std::span<float>(values), id);
  return values;
}

}  // namespace

// kat_vectors of the Random123 distribution, philox4x32 with 10 rounds.
TEST_CASE("philox: known answers") {
  static_assert(philox::generate({0, 0, 0, 0}, {0, 0}) ==
                    philox::block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
                "Philox must be usable in constant expressions and give the known answer");
  constexpr std::uint32_t ones = 0xffffffff;
  CHECK(philox::generate({ones, ones, ones, ones}, {ones, ones}) ==
        philox::block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox::generate({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                         {0xa4093822, 0x299f31d0}) ==
        philox::block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("philox: a block is the counter (index, step, worker, purpose and salt) under the seed") {
  const stream_id id{.seed = 0x299f31d0a4093822,
                     .step = 0x85a308d3,
                     .worker = 0x13198a2e,
                     .use = static_cast<purpose>(0x44),
                     .salt = 0x037073};
  CHECK(philox::at(id, 0x243f6a88) ==
        philox::block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("philox: many blocks at once are those one by one") {
  // Fewer than go through the rounds together, exactly as many, more, and an index that wraps.
  for (const std::size_t blocks : {0, 1, 15, 16, 17, 40})
    for (const std::uint32_t index : {0u, 5u, 0xfffffff8u}) {
      std::vector<std::uint32_t> words(4 * blocks);
      philox::fill(base_stream, index, words);
      for (std::size_t i = 0; i < words.size(); ++i)
        CHECK(words[i] ==
              philox::at(base_stream, index + static_cast<std::uint32_t>(i / 4))[i % 4]);
    }
}

TEST_CASE("streams differ by each field, and by nothing else") {
  std::vector<stream_id> ids(9, base_stream);
  ids[1].seed = 12;
  ids[2].seed = 11 + (std::uint64_t{1} << 32);
  ids[3].step = 4;
  ids[4].worker = 3;
  ids[5].use = purpose::dropout;
  ids[6].salt = 2;
  ids[7].salt = (1u << 24) - 1;
  ids[8].step = 2, ids[8].worker = 3;  // step and worker exchanged
  std::set<philox::block> blocks;
  for (const stream_id& id : ids) {
    CHECK(philox::at(id, 5) == philox::at(stream_id(id), 5));
    for (std::uint32_t index = 0; index < 100; ++index) blocks.insert(philox::at(id, index));
  }
  CHECK(blocks.size() == 100 * ids.size());
}

TEST_CASE("to_unit lies in (0, 1]") {
  CHECK(philox::to_unit(0) == 0x1.0p-24f);
  CHECK(philox::to_unit(0xffffffff) == 1.0f);
  CHECK(philox::to_unit(0x7fffffff) == 0.5f);
}

TEST_CASE("fill_normal has the moments of N(0, 1)") {
  constexpr std::size_t n = 400000;
  const std::vector<float> values = normals(n, base_stream);
  std::array<double, 5> moments{};
  double lagged = 0;
  for (std::size_t i = 0; i < n; ++i) {
    double power = 1;
    for (double& m : moments) {
      m += power / n;
      power *= static_cast<double>(values[i]);
    }
    lagged += static_cast<double>(values[i]) * static_cast<double>(values[(i + 1) % n]) / n;
  }
  // Five standard errors of each mean: sqrt(1, 2, 15, 96, 1) / sqrt(n).
  const double scale = 5 / std::sqrt(static_cast<double>(n));
  CHECK(std::abs(moments[1]) < scale);
  CHECK(std::abs(moments[2] - 1) < scale * std::sqrt(2.0));
  CHECK(std::abs(moments[3]) < scale * std::sqrt(15.0));
  CHECK(std::abs(moments[4] - 3) < scale * std::sqrt(96.0));
  CHECK(std::abs(lagged) < scale);
  const auto within = std::ranges::count_if(values, [](float v) { return std::abs(v) < 1; });
  CHECK(static_cast<double>(within) / n == doctest::Approx(0.682689).epsilon(0.005));
  CHECK(std::ranges::all_of(values, [](float v) { return std::isfinite(v); }));
}

TEST_CASE("fill_normal: element i does not depend on the length") {
  const std::vector<float> all = normals(64, base_stream);
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{3},
                              std::size_t{5}, std::size_t{63}}) {
    const std::vector<float> part = normals(n, base_stream);
    CHECK(std::equal(part.begin(), part.end(), all.begin()));
  }
}

TEST_CASE("random_sequence reads the blocks of its stream in order") {
  random_sequence draw(base_stream);
  for (std::uint32_t index = 0; index < 10; ++index)
    for (const std::uint32_t word : philox::at(base_stream, index)) CHECK(draw.next() == word);
  random_sequence units(base_stream);
  CHECK(units.uniform() == philox::to_unit(philox::at(base_stream, 0)[0]));
}

TEST_CASE("below stays within its bound and favours nobody") {
  random_sequence draw(base_stream);
  for (const std::uint32_t bound : {1u, 2u, 3u, 7u, 100u, 1u << 31, (1u << 31) + 1, 0xffffffffu}) {
    std::uint32_t largest = 0;
    for (int i = 0; i < 1000; ++i) largest = std::max(largest, draw.below(bound));
    CAPTURE(bound);
    CHECK(largest < bound);
    CHECK(largest >= bound - 1 - (bound - 1) / 50);
  }
  // Without rejection the lower half of 0 .. 3 * 2^30 - 1 would come up with probability 5/8.
  constexpr std::uint32_t wide = 3u << 30;
  constexpr int n = 40000;
  std::array<int, 3> thirds{};
  for (int i = 0; i < n; ++i) ++thirds[draw.below(wide) >> 30];
  for (const int count : thirds) CHECK(std::abs(count - n / 3.0) < 5 * std::sqrt(n * 2.0 / 9.0));
  std::array<int, 6> faces{};
  for (int i = 0; i < n; ++i) ++faces[draw.below(6)];
  for (const int count : faces) CHECK(std::abs(count - n / 6.0) < 5 * std::sqrt(n * 5.0 / 36.0));
}

TEST_CASE("random_permutation is a permutation, and a function of the stream") {
  for (const std::uint32_t n : {0u, 1u, 2u, 3u, 10u, 1000u}) {
    std::vector<std::uint32_t> order = random_permutation(n, base_stream);
    CHECK(order == random_permutation(n, base_stream));
    std::ranges::sort(order);
    REQUIRE(order.size() == n);
    for (std::uint32_t i = 0; i < n; ++i) CHECK(order[i] == i);
  }
  stream_id other = base_stream;
  ++other.step;
  CHECK(random_permutation(1000, base_stream) != random_permutation(1000, other));
}

TEST_CASE("random_permutation: all 24 orders of four are equally likely") {
  std::array<int, 256> seen{};
  constexpr int n = 24000;
  stream_id id = base_stream;
  for (int i = 0; i < n; ++i) {
    ++id.step;
    const std::vector<std::uint32_t> p = random_permutation(4, id);
    ++seen[p[0] | p[1] << 2 | p[2] << 4 | p[3] << 6];
  }
  CHECK(std::ranges::count_if(seen, [](int count) { return count > 0; }) == 24);
  for (const int count : seen)
    if (count > 0) CHECK(std::abs(count - n / 24.0) < 5 * std::sqrt(n / 24.0));
}
