// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <chrono>
#include <cstddef>
#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/data/prefetch.hpp"

using gantry::data_error;
using gantry::usage_error;
using namespace gantry::data;

namespace {

/// Items take different times, so that threads finish out of order.
void dawdle(std::size_t i) { std::this_thread::sleep_for(std::chrono::microseconds(i * 37 % 200)); }

std::vector<std::size_t> all_of(std::size_t count, const prefetch_options& options) {
  prefetcher squares(
      count,
      [](std::size_t i) {
        dawdle(i);
        return i * i;
      },
      options);
  std::vector<std::size_t> got;
  while (const auto square = squares.next()) got.push_back(*square);
  CHECK_FALSE(squares.next());
  CHECK(squares.counters().taken == count);
  return got;
}

}  // namespace

TEST_CASE("prefetch: results come in order for any threads and any queue") {
  std::vector<std::size_t> expected;
  for (std::size_t i = 0; i < 300; ++i) expected.push_back(i * i);
  for (const int threads : {1, 2, 7})
    for (const std::size_t ahead : {std::size_t{0}, std::size_t{1}, std::size_t{5}})
      CHECK(all_of(300, {.threads = threads, .ahead = ahead}) == expected);
  CHECK(all_of(0, {}).empty());
  CHECK(all_of(1, {.threads = 4}) == std::vector<std::size_t>{0});
  CHECK_THROWS_AS((void)all_of(1, {.threads = -1}), usage_error);
}

TEST_CASE("prefetch: no more than `ahead` results wait") {
  std::atomic<std::size_t> begun{0};
  prefetcher numbers(50,
                     [&begun](std::size_t i) {
                       ++begun;
                       return i;
                     },
                     {.threads = 3, .ahead = 4});
  for (std::size_t taken = 0; taken < 50; ++taken) {
    CHECK(begun.load() <= taken + 4);
    CHECK(numbers.next() == taken);
  }
}

TEST_CASE("prefetch: each thread keeps scratch memory of its own") {
  prefetcher sums(64,
                  [scratch = std::vector<std::size_t>()](std::size_t i) mutable {
                    scratch.assign(i + 1, i);
                    dawdle(i);
                    std::size_t sum = 0;
                    for (const std::size_t x : scratch) sum += x;
                    return sum;
                  },
                  {.threads = 4});
  for (std::size_t i = 0; i < 64; ++i) CHECK(sums.next() == i * (i + 1));
}

TEST_CASE("prefetch: the first failure in the order comes out, and stays") {
  for (int repeat = 0; repeat < 20; ++repeat) {
    prefetcher numbers(100,
                       [](std::size_t i) {
                         dawdle(100 - i);
                         if (i % 10 == 7)
                           throw data_error("image " + std::to_string(i) + " is cut");
                         return std::make_unique<std::size_t>(i);
                       },
                       {.threads = 4, .ahead = 32});
    for (std::size_t i = 0; i < 7; ++i) CHECK(*numbers.next().value() == i);
    CHECK_THROWS_WITH_AS((void)numbers.next(), "image 7 is cut", data_error);
    CHECK_THROWS_WITH_AS((void)numbers.next(), "image 7 is cut", data_error);
    CHECK(numbers.counters().taken == 7);
  }
}

TEST_CASE("prefetch: a consumer that stops early leaves nothing behind") {
  for (const std::size_t taken : {std::size_t{0}, std::size_t{1}, std::size_t{20}}) {
    const auto alive = std::make_shared<int>(0);
    {
      prefetcher numbers(1'000'000, [alive](std::size_t i) { return i + alive.use_count() * 0; },
                         {.threads = 3, .ahead = 8});
      for (std::size_t i = 0; i < taken; ++i) (void)numbers.next();
    }
    CHECK(alive.use_count() == 1);
  }
}

TEST_CASE("prefetch: the waiting of a consumer is measured") {
  std::latch go{1};
  prefetcher numbers(2,
                     [&go](std::size_t i) {
                       go.wait();
                       return i;
                     },
                     {.threads = 1});
  CHECK(numbers.counters().stalls == 0);
  std::jthread opens([&] {
    while (numbers.counters().stalls == 0) std::this_thread::yield();
    go.count_down();
  });
  CHECK(numbers.next() == 0);  // nothing is ready before a stall has been counted
  CHECK(numbers.next() == 1);
  const prefetch_counters counters = numbers.counters();
  CHECK(counters.stalls >= 1);
  CHECK(counters.stall_seconds >= 0);
  CHECK(counters.work_seconds >= 0);
  CHECK(counters.threads == 1);
}
