// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/base/thread_pool.hpp"

using gantry::compute_permit;
using gantry::thread_pool;

namespace {

/// Counts how many threads are inside at once.
class crowd {
 public:
  class visit {
   public:
    explicit visit(crowd& c) : crowd_(c) {
      const int now = crowd_.inside_.fetch_add(1) + 1;
      int most = crowd_.most_.load();
      while (most < now && !crowd_.most_.compare_exchange_weak(most, now)) {}
    }
    ~visit() { crowd_.inside_.fetch_sub(1); }
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;

   private:
    crowd& crowd_;
  };
  [[nodiscard]] int inside() const { return inside_.load(); }
  [[nodiscard]] int most() const { return most_.load(); }

 private:
  std::atomic<int> inside_{0}, most_{0};
};

/// Work that takes a moment and cannot be optimised away.
double work(int chunk, int steps = 200) {
  double x = 1.0 + chunk;
  for (int i = 0; i < steps; ++i) x = std::sqrt(x + i);
  return x;
}

bool each_once(thread_pool& pool, int chunks) {
  std::vector<std::atomic<int>> visits(static_cast<std::size_t>(chunks));
  pool.parallel_for(chunks, [&](int c) { visits[static_cast<std::size_t>(c)].fetch_add(1); });
  return std::ranges::all_of(visits, [](const std::atomic<int>& n) { return n.load() == 1; });
}

void wait_for(const std::atomic<bool>& flag) {
  while (!flag.load()) std::this_thread::yield();
}

}  // namespace

TEST_CASE("thread_pool runs each chunk exactly once") {
  for (const int threads : {1, 2, 3, 4, 8}) {
    thread_pool pool(threads);
    CHECK(pool.threads() == threads);
    for (const int chunks : {0, 1, 2, 3, 7, 16, 64, 257, 1000})
      for (int again = 0; again < 10; ++again) {
        CAPTURE(threads);
        CAPTURE(chunks);
        CHECK(each_once(pool, chunks));
      }
  }
}

TEST_CASE("thread_pool takes const functions, mutable lambdas and negative counts") {
  thread_pool pool(2);
  std::atomic<int> sum{0};
  const auto add = [&](int c) { sum.fetch_add(c); };
  pool.parallel_for(10, add);
  CHECK(sum.load() == 45);
  pool.parallel_for(10, [&sum, unused = 0](int c) mutable { sum.fetch_sub(c + 0 * unused); });
  CHECK(sum.load() == 0);
  pool.parallel_for(-1, [](int) { throw std::logic_error("never called"); });
}

TEST_CASE("thread_pool takes all cores for 0 and refuses negative numbers") {
  CHECK(thread_pool(0).threads() == gantry::usable_cores());
  CHECK(gantry::usable_cores() >= 1);
  CHECK_THROWS_AS(thread_pool(-1), gantry::usage_error);
}

TEST_CASE("thread_pool: the result does not depend on the number of threads") {
  const auto blocks = [](int threads) {
    thread_pool pool(threads);
    std::vector<double> sums(97);
    pool.parallel_for(97, [&](int c) {
      for (int i = 0; i < 20; ++i) sums[static_cast<std::size_t>(c)] += 1.0 / work(c * 20 + i, 10);
    });
    return sums;
  };
  const std::vector<double> expected = blocks(1);
  for (const int threads : {2, 3, 8}) CHECK(blocks(threads) == expected);
}

TEST_CASE("thread_pool: calls nest") {
  for (const int threads : {1, 2, 4}) {
    thread_pool pool(threads);
    std::atomic<int> leaves{0};
    crowd everyone;
    pool.parallel_for(5, [&](int) {
      pool.parallel_for(4, [&](int) {
        pool.parallel_for(3, [&](int) {
          const crowd::visit here(everyone);
          leaves.fetch_add(1);
        });
      });
    });
    CHECK(leaves.load() == 60);
    CHECK(everyone.most() <= threads);
  }
}

TEST_CASE("thread_pool: more regions than the pool can hold at once still run") {
  thread_pool pool(2);
  int deepest = 0;
  const auto dive = [&](auto&& self, int depth) -> void {
    deepest = std::max(deepest, depth);
    if (depth == 100) return;
    pool.parallel_for(2, [&](int c) {
      if (c == 0) self(self, depth + 1);
    });
  };
  dive(dive, 0);
  CHECK(deepest == 100);
}

TEST_CASE("thread_pool: concurrent callers never exceed the permits") {
  for (const int threads : {1, 2, 3}) {
    thread_pool pool(threads);
    crowd everyone;
    std::atomic<int> total{0};
    std::vector<std::thread> callers;
    for (int t = 0; t < 6; ++t)
      callers.emplace_back([&, t] {
        for (int again = 0; again < 50; ++again)
          pool.parallel_for(1 + (t + again) % 9, [&](int c) {
            const crowd::visit here(everyone);
            total.fetch_add(work(c) > 0 ? 1 : 0);
          });
      });
    for (std::thread& t : callers) t.join();
    int expected = 0;
    for (int t = 0; t < 6; ++t)
      for (int again = 0; again < 50; ++again) expected += 1 + (t + again) % 9;
    CHECK(total.load() == expected);
    CHECK(everyone.most() <= threads);
  }
}

TEST_CASE("thread_pool rethrows the exception of the lowest chunk, after all started ones ended") {
  for (const int threads : {1, 2, 4}) {
    thread_pool pool(threads);
    crowd everyone;
    for (int again = 0; again < 100; ++again) {
      std::string caught;
      try {
        pool.parallel_for(64, [&](int c) {
          const crowd::visit here(everyone);
          work(c, 20);
          if (c % 5 == 3) throw std::runtime_error("chunk " + std::to_string(c));
        });
      } catch (const std::runtime_error& e) {
        caught = e.what();
      }
      CHECK(caught == "chunk 3");
      CHECK(everyone.inside() == 0);
    }
    CHECK(each_once(pool, 100));
  }
}

TEST_CASE("thread_pool: exceptions pass through nested calls") {
  thread_pool pool(3);
  CHECK_THROWS_WITH_AS(pool.parallel_for(8,
                                         [&](int) {
                                           pool.parallel_for(8, [](int c) {
                                             if (c == 2) throw std::runtime_error("inner 2");
                                           });
                                         }),
                       "inner 2", std::runtime_error);
  CHECK(each_once(pool, 50));
}

TEST_CASE("thread_pool: a call ends without the helpers if others hold all permits") {
  thread_pool pool(2);
  std::atomic<bool> has_permit{false}, done{false};
  std::thread holder([&] {
    const compute_permit permit(pool);
    has_permit = true;
    wait_for(done);
  });
  wait_for(has_permit);
  const std::thread::id me = std::this_thread::get_id();
  std::atomic<int> mine{0};
  pool.parallel_for(100, [&](int) { mine.fetch_add(std::this_thread::get_id() == me ? 1 : 0); });
  CHECK(mine.load() == 100);
  done = true;
  holder.join();
}

TEST_CASE("thread_pool: a helper joins when a permit is free") {
  thread_pool pool(2);
  std::atomic<int> started{0};
  // Each chunk waits for the other: this ends only if two threads run them.
  for (int again = 0; again < 20; ++again) {
    started = 0;
    pool.parallel_for(2, [&](int) {
      started.fetch_add(1);
      while (started.load() < 2) std::this_thread::yield();
    });
    CHECK(started.load() == 2);
  }
}

TEST_CASE("thread_pool: a permit that becomes free brings a helper to a call under way") {
  thread_pool pool(2);
  std::atomic<bool> has_permit{false}, started{false};
  std::thread holder([&] {
    compute_permit permit(pool);
    has_permit = true;
    wait_for(started);
  });
  wait_for(has_permit);
  std::atomic<int> inside{0};
  pool.parallel_for(2, [&](int) {
    inside.fetch_add(1);
    started = true;
    while (inside.load() < 2) std::this_thread::yield();
  });
  CHECK(inside.load() == 2);
  holder.join();
}

TEST_CASE("compute_permit: an inner one stands for the outer one") {
  thread_pool pool(1);
  const auto someone_else_can_compute = [&] {
    bool ran = false;
    std::thread other([&] { pool.parallel_for(1, [&](int) { ran = true; }); });
    other.join();
    return ran;
  };
  compute_permit outer(pool);
  {
    compute_permit inner(pool);
    CHECK(inner.held());
    inner.release();
    CHECK_FALSE(outer.held());
    CHECK(someone_else_can_compute());
    inner.acquire();
    inner.acquire();
    CHECK(outer.held());
  }
  CHECK(outer.held());
  outer.release();
  outer.release();
  CHECK(someone_else_can_compute());
  {
    const compute_permit anew(pool);
    CHECK(anew.held());
    CHECK_FALSE(outer.held());
  }
  CHECK(someone_else_can_compute());
}

TEST_CASE("thread_pool: two pools of one thread nest either way") {
  thread_pool a(1), b(1);
  int calls = 0;
  a.parallel_for(
      2, [&](int) { b.parallel_for(2, [&](int) { a.parallel_for(2, [&](int) { ++calls; }); }); });
  CHECK(calls == 8);
}

TEST_CASE("compute_permit: nodes that compute and wait never exceed the permits") {
  thread_pool pool(3);
  crowd everyone;
  std::vector<std::thread> nodes;
  std::atomic<long> chunks_run{0};
  for (int n = 0; n < 8; ++n)
    nodes.emplace_back([&, n] {
      compute_permit permit(pool);
      for (int step = 0; step < 60; ++step) {
        {
          const crowd::visit here(everyone);
          work(n);
        }
        pool.parallel_for(2 + (n * step) % 11, [&](int c) {
          const crowd::visit here(everyone);
          work(c);
          chunks_run.fetch_add(1);
        });
        permit.release();
        std::this_thread::yield();
        permit.acquire();
      }
    });
  for (std::thread& t : nodes) t.join();
  long expected = 0;
  for (int n = 0; n < 8; ++n)
    for (int step = 0; step < 60; ++step) expected += 2 + (n * step) % 11;
  CHECK(chunks_run.load() == expected);
  CHECK(everyone.most() <= 3);
}

TEST_CASE("thread_pool: stress with nesting, exceptions and short-lived pools") {
  for (int round = 0; round < 20; ++round) {
    thread_pool pool(1 + round % 5);
    std::atomic<int> sum{0}, caught{0};
    std::vector<std::thread> callers;
    for (int t = 0; t < 4; ++t)
      callers.emplace_back([&, t] {
        for (int i = 0; i < 25; ++i) {
          try {
            pool.parallel_for(1 + (i * 7 + t) % 13, [&](int c) {
              pool.parallel_for(3, [&](int d) { sum.fetch_add(d); });
              if (i % 6 == 5 && c == 0) throw std::runtime_error("on purpose");
            });
          } catch (const std::runtime_error&) {
            caught.fetch_add(1);
          }
        }
      });
    for (std::thread& t : callers) t.join();
    CHECK(caught.load() == 16);
    CHECK(sum.load() > 0);
    CHECK(each_once(pool, 33));
  }
}
