// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// States that are filled in shares and merge to exactly the whole.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/metrics/feature_sample.hpp"
#include "gantry/metrics/indexed_statistics.hpp"

using namespace gantry;
using namespace gantry::metrics;

namespace {

constexpr std::size_t samples = 3000, dimension = 5;

/// Of very different sizes, so that another order of summing shows.
const std::vector<float>& features() {
  static const std::vector<float> all = [] {
    std::vector<float> out;
    std::uint32_t seed = 7;
    for (std::size_t i = 0; i < samples * dimension; ++i) {
      seed = seed * 1664525U + 1013904223U;
      out.push_back(static_cast<float>(seed >> 8) / 65536.0f * (i % 11 == 0 ? 1e4f : 0.37f));
    }
    return out;
  }();
  return all;
}

/// What a worker has of samples first .. last - 1, seen in batches.
template <class State>
State share(std::size_t first, std::size_t last, std::size_t batch) {
  State state(static_cast<int>(dimension));
  for (; first < last; first += batch)
    state.update(
        std::span(features()).subspan(first * dimension, std::min(batch, last - first) * dimension),
        static_cast<std::int64_t>(first));
  return state;
}

/// The states of so many workers, merged from the last to the first.
template <class State>
State merged(std::size_t workers, std::size_t batch) {
  State all(static_cast<int>(dimension));
  for (std::size_t w = workers; w-- > 0;)
    all.merge(share<State>(w * samples / workers, (w + 1) * samples / workers, batch));
  return all;
}

bool same_bits(const feature_statistics& a, const feature_statistics& b) {
  return a.count() == b.count() && a.mean() == b.mean() && a.covariance() == b.covariance();
}

}  // namespace

TEST_CASE("indexed statistics: equal bits in 1, 2, 5 and 7 shares and for all batches") {
  const feature_statistics whole = merged<indexed_statistics>(1, samples).whole();
  CHECK(whole.count() == samples);
  for (const std::size_t workers : {1, 2, 5, 7})
    for (const std::size_t batch : {64, 100, 512})
      CHECK(same_bits(merged<indexed_statistics>(workers, batch).whole(), whole));

  // Dealt out like cards.
  std::vector<indexed_statistics> hands(3, indexed_statistics(static_cast<int>(dimension)));
  for (std::size_t i = 0; i < samples; ++i)
    hands[i % 3].update(std::span(features()).subspan(i * dimension, dimension),
                        static_cast<std::int64_t>(i));
  hands[1].merge(hands[2]);
  hands[1].merge(hands[0]);
  CHECK(same_bits(hands[1].whole(), whole));
}

TEST_CASE("indexed statistics: up to rounding they are those of feature_statistics") {
  feature_statistics plain(static_cast<int>(dimension));
  plain.update(features(), samples);
  const feature_statistics whole = merged<indexed_statistics>(3, 100).whole();
  CHECK((whole.mean() - plain.mean()).norm() < 1e-12 * plain.mean().norm());
  CHECK((whole.covariance() - plain.covariance()).norm() < 1e-12 * plain.covariance().norm());
}

TEST_CASE("feature sample: shares merge to the whole") {
  for (const std::size_t workers : {1, 2, 5}) {
    const auto all = merged<feature_sample>(workers, 100);
    CHECK(all.count() == samples);
    CHECK(all.rows().count() == samples);
    CHECK(std::ranges::equal(all.rows().values, features()));
  }
  CHECK(feature_sample(3).rows().count() == 0);
}

TEST_CASE_TEMPLATE("mergeable states: packets give equal states", State, indexed_statistics,
                   feature_sample) {
  State all(static_cast<int>(dimension));
  for (const std::size_t w : {2, 0, 1}) {
    const auto part = share<State>(w * 1000, (w + 1) * 1000, 333);
    all.merge(State::unpack(part.pack()));
  }
  const auto bits = [](const State& s) {
    std::vector<std::uint32_t> out;
    for (const float x : s.pack()) out.push_back(std::bit_cast<std::uint32_t>(x));
    return out;
  };
  CHECK(bits(all) == bits(merged<State>(1, samples)));
}

TEST_CASE_TEMPLATE("mergeable states: what is missing, twice there or no packet is refused", State,
                   indexed_statistics, feature_sample) {
  const auto result = [](const State& s) {
    if constexpr (requires { s.whole(); })
      static_cast<void>(s.whole());
    else
      static_cast<void>(s.rows());
  };
  auto part = share<State>(0, 700, 700);
  CHECK_THROWS_AS(part.merge(share<State>(699, 701, 2)), usage_error);
  CHECK_THROWS_AS(part.merge(share<State>(100, 101, 1)), usage_error);
  CHECK_THROWS_AS(part.merge(State(4)), usage_error);
  CHECK_THROWS_AS(part.update(std::vector<float>(3), 5000), usage_error);
  part.merge(share<State>(800, 1600, 800));
  CHECK_THROWS_WITH_AS(result(part),
                       "all samples up to the last were expected and sample 700 is missing; merge "
                       "the states of all workers, of which one may be lost",
                       usage_error);
  CHECK_THROWS_AS(result(share<State>(256, 1024, 256)), usage_error);

  const std::vector<float> packet = share<State>(0, 700, 700).pack();
  for (const std::size_t size : {0UL, 1UL, 2UL, 5UL, 9UL, packet.size() / 2, packet.size() - 1})
    CHECK_THROWS_AS(static_cast<void>(State::unpack(std::span(packet).first(size))), data_error);
  std::vector<float> longer = packet;
  longer.push_back(0);
  CHECK_THROWS_AS(static_cast<void>(State::unpack(longer)), data_error);
  for (std::size_t i = 0; i < 8; i += 2) {  // sizes and numbers that cannot be
    std::vector<float> wrong = packet;
    packet_writer writer;
    writer.put(std::int64_t{-1});
    std::ranges::copy(std::move(writer).take(), wrong.begin() + static_cast<long>(i));
    CHECK_THROWS_AS(static_cast<void>(State::unpack(wrong)), data_error);
  }
}
