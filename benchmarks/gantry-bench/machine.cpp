// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What the machine can do at most, and a count of heap allocations.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>

#include "gantry/backend/cpu/simd.hpp"

#include "bench.hpp"

namespace {

namespace simd = gantry::backend::simd;

std::atomic<std::size_t> allocations{0};

void* counted(std::size_t bytes, std::size_t alignment) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  const std::size_t whole =
      (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  void* p = std::aligned_alloc(alignment, whole);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Runs f(thread) on that many threads at once. @returns the seconds until all have ended
template <class F>
double together(int threads, F&& f) {
  std::atomic<int> ready{0};
  std::vector<std::thread> others;
  const auto wait_then_run = [&](int i) {
    ready.fetch_add(1);
    while (ready.load() < threads) {}
    f(i);
  };
  for (int i = 1; i < threads; ++i) others.emplace_back([&, i] { wait_then_run(i); });
  ready.fetch_add(1);
  while (ready.load() < threads) {}
  const auto start = std::chrono::steady_clock::now();
  f(0);
  for (std::thread& t : others) t.join();
  return seconds_since(start);
}

constexpr int chains = simd::lanes == 16 ? 24 : 12;

/// Keeps a value alive without doing anything with it.
void keep(const simd::vec& v) { asm volatile("" : : "m"(v)); }

void multiply_add(long rounds) {
  simd::vec x[chains], a = simd::vec{} + 0.999f, b = simd::vec{} + 0.001f;
  for (simd::vec& v : x) {
    v = simd::vec{} + 1.0f;
    asm volatile("" : "+m"(v));  // unknown numbers: the work cannot move out of the timed part
  }
  for (long r = 0; r < rounds; ++r)
    simd::unroll<chains>([&](auto i) __attribute__((always_inline)) { x[i] = x[i] * a + b; });
  for (const simd::vec& v : x) keep(v);
}

}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes, 16); }
void* operator new(std::size_t bytes, std::align_val_t a) {
  return counted(bytes, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

std::size_t heap_allocations() { return allocations.load(); }

double measured_peak(int threads) {
  constexpr long rounds = 400'000;
  double best = 0;
  for (int repetition = 0; repetition < 20; ++repetition) {
    const double seconds = together(threads, [](int) { multiply_add(rounds); });
    best = std::max(best, 2.0 * threads * chains * simd::lanes * rounds / seconds);
  }
  return best;
}

bandwidth measured_bandwidth(int threads, std::size_t bytes) {
  const std::size_t count = bytes / sizeof(float) / 64 * 64;
  std::vector<std::vector<float>> from(static_cast<std::size_t>(threads),
                                       std::vector<float>(count, 1.0f)),
      to = from;
  const int rounds = static_cast<int>(std::max<std::size_t>(1, (std::size_t{1} << 28) / bytes));
  const double moved = static_cast<double>(count * sizeof(float)) * rounds * threads;
  bandwidth best{};
  for (int repetition = 0; repetition < 5; ++repetition) {
    const double reading = together(threads, [&](int t) {
      const float* p = from[static_cast<std::size_t>(t)].data();
      simd::vec sum[4]{};
      for (int r = 0; r < rounds; ++r)
        for (std::size_t i = 0; i < count; i += 4 * simd::lanes)
          simd::unroll<4>([&](auto j) __attribute__((always_inline)) {
            sum[j] += simd::load(p + i + j * simd::lanes);
          });
      for (const simd::vec& s : sum) keep(s);
    });
    const double copying = together(threads, [&](int t) {
      for (int r = 0; r < rounds; ++r)
        std::memcpy(to[static_cast<std::size_t>(t)].data(),
                    from[static_cast<std::size_t>(t)].data(), count * sizeof(float));
    });
    best.read = std::max(best.read, moved / reading);
    best.copy = std::max(best.copy, 2 * moved / copying);
  }
  return best;
}
