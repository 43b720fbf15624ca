// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/base/rng.hpp"
#include "gantry/dist/error_feedback.hpp"
#include "gantry/dist/filter_chain.hpp"
#include "gantry/dist/quantise.hpp"
#include "gantry/dist/sanitise.hpp"
#include "gantry/dist/top_k.hpp"

using namespace gantry;
using values_type = std::vector<float>;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr message_route up{message::feedback, 3, 0};

values_type noise(std::size_t n, std::uint32_t step = 0) {
  values_type x(n);
  fill_normal(std::span<float>(x), {.seed = 21, .step = step});
  return x;
}

bool same_bits(const values_type& a, const values_type& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

template <class F>
values_type through(F& filter, const values_type& x, const message_route& route = up) {
  values_type wire(filter.wire_size(x.size()), not_a_number), out(x.size(), -77.0f);
  filter.encode(route, x, wire);
  filter.decode(route, wire, out);
  return out;
}

double norm_of(std::span<const float> x) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v) * static_cast<double>(v);
  return std::sqrt(sum);
}

values_type sanitised(dist::clip_and_noise& filter, values_type x, const message_route& r = up) {
  filter.apply(r, x);
  return x;
}

using state = std::map<std::string, values_type>;
template <class F>
state state_of(F& filter) {
  state all;
  filter.visit_values([&](const std::string& name, values_type& v) { all[name] = v; });
  return all;
}

/// The wire that a chain of everything sends as message number `step`.
using everything =
    dist::filter_chain<dist::clip_and_noise, dist::error_feedback<dist::int8_blocks>>;
everything make_everything() {
  return {dist::clip_and_noise({.sample_size = 10, .clip = 5, .seed = 4}),
          dist::error_feedback(dist::int8_blocks(16))};
}

}  // namespace

TEST_CASE("clip_and_noise: without noise, samples below the bound stay, longer ones get its norm") {
  dist::clip_and_noise filter({.sample_size = 4, .clip = 6, .sigma = 0});
  values_type x{1, 1, 1, -0.0f, 3, -4, 0, 0, 0, 0, 0, 0};  // the bound of 3 samples is 2
  const values_type y = sanitised(filter, x);
  CHECK(same_bits({y.begin(), y.begin() + 4}, {x.begin(), x.begin() + 4}));
  CHECK(norm_of(std::span(y).subspan(4, 4)) == doctest::Approx(2));
  CHECK(y[4] / y[5] == doctest::Approx(-0.75));
  CHECK(same_bits({y.begin() + 8, y.end()}, {x.begin() + 8, x.end()}));
  dist::clip_and_noise inactive({.sample_size = 4, .clip = 1e6, .sigma = 0});
  const values_type any = noise(400);
  CHECK(same_bits(sanitised(inactive, any), any));
}

TEST_CASE("clip_and_noise: the noise has the deviation of the rule and repeats") {
  const dist::sanitise_settings settings{.sample_size = 100, .clip = 1, .sigma = 1.07, .seed = 9};
  dist::clip_and_noise filter(settings);
  const values_type zero(100 * 400), first = sanitised(filter, zero),
                                     second = sanitised(filter, zero);
  // c = 1 / 400; 40,000 draws know a deviation to 0.4 %.
  CHECK(norm_of(first) / 200 == doctest::Approx(2 * 1.07 / 400).epsilon(0.015));
  CHECK_FALSE(same_bits(first, second));
  dist::clip_and_noise again(settings), other_seed({.sample_size = 100, .seed = 10});
  CHECK(same_bits(sanitised(again, zero), first));
  CHECK_FALSE(same_bits(sanitised(other_seed, zero), first));
  for (const message_route& route :
       {message_route{message::model, 3, 0}, {up.kind, 2, 0}, {up.kind, 3, 1}}) {
    dist::clip_and_noise elsewhere(settings);
    CHECK_FALSE(same_bits(sanitised(elsewhere, zero, route), first));
  }
}

TEST_CASE("clip_and_noise: a sample that is not finite leaves nothing unclipped") {
  dist::clip_and_noise filter({.sample_size = 2, .clip = 2, .sigma = 0});
  const values_type y = sanitised(filter, {not_a_number, 50, infinity, 50});
  CHECK(std::ranges::all_of(y, [](float v) { return std::isnan(v); }));
  CHECK(sanitised(filter, {0.5f, 0, -infinity, 0})[0] == 0.5f);
  values_type three(3);
  CHECK_THROWS_AS(filter.apply(up, three), usage_error);
  CHECK_THROWS_AS(dist::clip_and_noise({.sample_size = 0}), usage_error);
  CHECK_THROWS_AS(dist::clip_and_noise({.sample_size = 1, .clip = 0}), usage_error);
  CHECK_THROWS_AS(dist::clip_and_noise({.sample_size = 1, .sigma = -1}), usage_error);
}

TEST_CASE("int8_blocks: a byte per value, errors of half a step, and nothing invented") {
  dist::int8_blocks filter(64);
  CHECK(filter.wire_size(0) == 0);
  CHECK(filter.wire_size(1) == 2);
  CHECK(filter.wire_size(1000) == 16 + 250);
  for (const std::size_t n : {1u, 3u, 64u, 65u, 1000u}) {
    values_type x = noise(n);
    const values_type y = through(filter, x);
    for (std::size_t first = 0; first < n; first += 64) {
      float largest = 0;
      const std::size_t end = std::min(n, first + 64);
      for (std::size_t i = first; i < end; ++i) largest = std::max(largest, std::abs(x[i]));
      for (std::size_t i = first; i < end; ++i)
        CHECK(std::abs(x[i] - y[i]) <= largest / 127 * 0.5001f);
    }
  }
  const values_type codes{127, -127, 1, -64, 0, 2.5f, 3.5f};
  CHECK(through(filter, codes) == values_type{127, -127, 1, -64, 0, 2, 4});
  CHECK(through(filter, values_type(70)) == values_type(70));
  const values_type y = through(filter, {1, not_a_number, infinity, -infinity, -2});
  CHECK(y[0] == doctest::Approx(1).epsilon(0.01));
  for (const std::size_t i : {1u, 2u, 3u}) CHECK(std::isnan(y[i]));
  CHECK(y[4] == doctest::Approx(-2));
  const float tiny = std::numeric_limits<float>::denorm_min();
  for (const float v : through(filter, {tiny, -tiny, 100 * tiny})) CHECK(std::abs(v) <= 150 * tiny);
  const float most = std::numeric_limits<float>::max();
  CHECK(through(filter, {most, 0})[0] == doctest::Approx(most));
  CHECK_THROWS_AS(dist::int8_blocks(0), usage_error);
}

TEST_CASE("bf16: two bytes per value, nearest even, and what is not finite stays so") {
  dist::bf16 filter;
  CHECK(filter.wire_size(7) == 4);
  const values_type exact{1, -2, 0.5f, 0, 1.0078125f, infinity, -infinity};
  CHECK(same_bits(through(filter, exact), exact));
  CHECK(through(filter, {1.00390625f, 1.01171875f}) == values_type{1, 1.015625f});  // ties
  for (const values_type x = noise(501); const float v : x)
    CHECK(through(filter, {v})[0] == doctest::Approx(v).epsilon(1.0 / 256));
  CHECK(std::isnan(through(filter, {not_a_number})[0]));
  // A NaN with its payload in the lower half, and the largest finite number.
  CHECK(std::isnan(through(filter, {std::bit_cast<float>(0x7F800001u)})[0]));
  const float most = std::numeric_limits<float>::max();
  for (const float v : through(filter, {most, -most})) CHECK(std::isfinite(v));
}

TEST_CASE("top_k: the largest arrive exactly, the others as 0") {
  dist::top_k filter(0.3);
  CHECK(filter.wire_size(10) == 6);
  CHECK(filter.wire_size(1) == 2);
  CHECK(filter.wire_size(0) == 0);
  CHECK(through(filter, {1, -9, 2, 3, 0, 0, 9, -2.5f, 0, 0}) ==
        values_type{0, -9, 0, 3, 0, 0, 9, 0, 0, 0});
  CHECK(through(filter, values_type(10, 4)) == values_type{4, 4, 4, 0, 0, 0, 0, 0, 0, 0});
  const values_type y = through(filter, {1, infinity, 2, not_a_number, 0, 0, 9, -infinity, 0, 0});
  CHECK(std::isnan(y[3]));
  CHECK(y[1] == infinity);
  CHECK(y[7] == -infinity);
  CHECK(y[6] == 0);
  dist::top_k all(1.0);
  const values_type x = noise(99);
  CHECK(same_bits(through(all, x), x));
  values_type wire(6, 1e9f), out(10);
  CHECK_THROWS_WITH_AS(filter.decode(up, wire, out), doctest::Contains("rank 3"), error);
  CHECK_THROWS_AS(dist::top_k(0), usage_error);
  CHECK_THROWS_AS(dist::top_k(1.5), usage_error);
}

TEST_CASE_TEMPLATE("error feedback: the sum of what arrives follows the sum of what was sent", F,
                   dist::int8_blocks, dist::bf16, dist::top_k) {
  const auto make = [] {
    if constexpr (std::same_as<F, dist::top_k>)
      return F(0.1);
    else
      return F{};
  };
  dist::error_feedback<F> filter(make());
  F plain = make();
  constexpr std::size_t n = 130;
  const values_type constant = noise(n);
  std::vector<double> with(n), without(n);
  constexpr int messages = 200;
  for (int m = 0; m < messages; ++m) {
    const values_type a = through(filter, constant), b = through(plain, constant);
    for (std::size_t i = 0; i < n; ++i) with[i] += a[i], without[i] += b[i];
  }
  double worst_with = 0, worst_without = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double sent = static_cast<double>(constant[i]) * messages;
    worst_with = std::max(worst_with, std::abs(with[i] - sent));
    worst_without = std::max(worst_without, std::abs(without[i] - sent));
  }
  // What is missing is one residual, not one per message.
  CHECK(worst_with * 5 < worst_without);
  // One stream: its header and a value for each of the message.
  CHECK(state_of(filter).at("residual").size() == 6 + n);
}

TEST_CASE("error feedback: one NaN is passed on and forgotten, streams do not mix") {
  dist::error_feedback filter{dist::top_k(0.5)};
  CHECK(std::isnan(through(filter, {1, not_a_number, 5, 2})[1]));
  CHECK(through(filter, {0, 0, 0, 0}) == values_type{1, 0, 0, 2});
  CHECK(through(filter, {4, 3, 2, 1}) == values_type{4, 3, 0, 0});
  CHECK(through(filter, {0, 0, 0, 0}, {message::feedback, 3, 1}) == values_type(4));
  CHECK(through(filter, {0, 0, 0, 0}, {message::model, 3, 0}) == values_type(4));
  CHECK(through(filter, values_type(6)) == values_type(6));
  CHECK(through(filter, {0, 0, 0, 0}) == values_type{0, 0, 2, 1});
}

TEST_CASE("what filters remember makes a resumed run send the same bits") {
  everything whole = make_everything(), first_half = make_everything();
  std::vector<values_type> expected;
  const auto message = [](everything& filter, std::uint32_t m, const message_route& route) {
    const values_type x = noise(60, m);
    values_type wire(filter.wire_size(60));
    filter.encode(route, x, wire);
    return wire;
  };
  const message_route other{message::feedback, 3, 2};
  for (std::uint32_t m = 0; m < 6; ++m) {
    expected.push_back(message(whole, m, up));
    expected.push_back(message(whole, m, other));
  }
  for (std::uint32_t m = 0; m < 3; ++m)
    for (const auto& route : {up, other}) static_cast<void>(message(first_half, m, route));
  everything resumed = make_everything();
  const state saved = state_of(first_half);
  CHECK(saved.size() == 2);
  resumed.visit_values([&](const std::string& name, values_type& v) { v = saved.at(name); });
  for (std::uint32_t m = 3; m < 6; ++m) {
    CHECK(same_bits(message(resumed, m, up), expected[2 * m]));
    CHECK(same_bits(message(resumed, m, other), expected[2 * m + 1]));
  }
  CHECK(state_of(resumed) == state_of(whole));
  // Noise that was cut short in a file.
  resumed.visit_values([](const std::string&, values_type& v) { v.pop_back(); });
  CHECK_THROWS_WITH_AS(message(resumed, 9, {message::model, 3, 0}),
                       doctest::Contains("the values noise of a filter"), error);
}

TEST_CASE("a chain without an encoder sends what the value filter leaves") {
  dist::filter_chain chain(dist::clip_and_noise({.sample_size = 2, .clip = 1e3, .sigma = 0}),
                           dist::exact{});
  const values_type x = noise(8);
  CHECK(chain.wire_size(8) == 8);
  CHECK(same_bits(through(chain, x), x));
}

TEST_CASE("a selection of messages goes by kind and direction") {
  const message_selection only_up{
      .kinds = {message::feedback, message::model}, .from_lead = false, .between_workers = false};
  CHECK(only_up.has({message::model, 2, 0}));
  CHECK_FALSE(only_up.has({message::model, 0, 2}));
  CHECK_FALSE(only_up.has({message::model, 1, 2}));
  CHECK_FALSE(only_up.has({message::control, 2, 0}));
  CHECK(message_selection{}.has({message::feedback, 1, 0}));
  CHECK_FALSE(message_selection{}.has({message::batch, 0, 1}));
}
