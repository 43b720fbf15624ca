// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/backend/reference/reference.hpp"

using namespace gantry;

static_assert(Backend<backend::cpu>, "the CPU backend is a backend");
static_assert(Backend<backend::cpu_eigen>, "the CPU backend with Eigen is a backend");
static_assert(Backend<backend::reference<float>>, "the reference is a backend");
static_assert(Backend<backend::reference<double>>, "the reference is a backend in double too");

TEST_CASE_TEMPLATE("backend: memory is zeroed, counted and moves in and out", backend_type,
                   backend::cpu, backend::reference<float>, backend::reference<double>) {
  using scalar = typename backend_type::scalar;
  backend_type b;
  CHECK(b.meter().bytes() == 0);
  {
    const auto memory = b.allocate(5);
    CHECK(std::ranges::count(memory.span(), scalar(0)) == 5);
    CHECK(b.meter().bytes() == allocation_bytes<scalar>(5));
    const std::vector<float> source{1, 2, 3, 4, 5};
    b.upload(source, memory.data());
    CHECK(memory.data()[4] == scalar(5));
    std::vector<float> target(3);
    b.download(memory.data() + 1, target);
    CHECK(target == std::vector<float>{2, 3, 4});
    b.synchronize();
  }
  CHECK(b.meter().bytes() == 0);
  CHECK(b.meter().peak() == allocation_bytes<scalar>(5));
  CHECK(b.meter().allocations() == 1);
}

TEST_CASE("backend: names") {
  CHECK(backend::cpu::name == "cpu");
  CHECK(backend::cpu_eigen::name == "cpu_eigen");
  CHECK(backend::reference<float>::name == "reference");
}

TEST_CASE("backend: split covers every index once, in pieces of the grain") {
  for (const int threads : {1, 2, 3}) {
    backend::cpu b(threads);
    for (const std::size_t count : {0u, 1u, 9u, 10u, 11u, 95u, 1000u}) {
      std::vector<int> seen(count);
      b.split(count, 10, [&](std::size_t begin, std::size_t end) {
        CHECK_UNARY(begin % 10 == 0);
        CHECK_UNARY(end == std::min(begin + 10, count));
        for (std::size_t i = begin; i < end; ++i) ++seen[i];
      });
      CHECK(std::ranges::count(seen, 1) == static_cast<std::ptrdiff_t>(count));
    }
  }
}

TEST_CASE("backend: nodes of a process share a pool, each with a meter of its own") {
  const auto pool = std::make_shared<thread_pool>(2);
  backend::cpu a(pool), b(pool);
  CHECK(&a.pool() == &b.pool());
  const auto memory = a.allocate(100);
  CHECK(a.meter().bytes() > 0);
  CHECK(b.meter().bytes() == 0);
}

TEST_CASE("backend: long arrays wish for huge pages") {
  if (!std::filesystem::exists("/proc/self/smaps") ||
      !std::filesystem::exists("/sys/kernel/mm/transparent_hugepage/enabled")) {
    MESSAGE("skipped: this system has no huge pages that a program can wish for");
    return;
  }
  backend::cpu b;
  const auto memory = b.allocate(std::size_t{3} << 19);  // 6 MiB
  const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
  CHECK(address % (std::size_t{1} << 21) == 0);
  std::ifstream maps("/proc/self/smaps");
  std::string flags;
  bool is_ours = false;
  for (std::string line; flags.empty() && std::getline(maps, line);) {
    std::uintptr_t first = 0, last = 0;
    if (std::sscanf(line.c_str(), "%zx-%zx ", &first, &last) == 2)
      is_ours = first <= address && address < last;
    if (is_ours && line.rfind("VmFlags:", 0) == 0) flags = line + " ";
  }
  CHECK(flags.find(" hg ") != std::string::npos);
}

#if defined(__SSE2__) || defined(__aarch64__)
TEST_CASE("backend: subnormal numbers are zero on every thread that computes") {
  backend::cpu b(2);
  std::atomic<int> inside{0};
  std::array<float, 2> products{1, 1};
  std::array<std::thread::id, 2> threads;
  b.for_each(2, [&](int i) {
    inside.fetch_add(1);
    while (inside.load() < 2) std::this_thread::yield();  // one piece on each thread
    const volatile float subnormal = 1e-40f, normal = 1e-30f;
    products[static_cast<std::size_t>(i)] = subnormal * 1e10f + normal * 1e-10f;
    threads[static_cast<std::size_t>(i)] = std::this_thread::get_id();
  });
  CHECK(threads[0] != threads[1]);
  CHECK(products == std::array<float, 2>{0, 0});
}
#endif

TEST_CASE("backend: scratch grows and stays, and each use has its own") {
  using backend::scratch;
  using backend::scratch_use;
  float* small = scratch(scratch_use::op, 10);
  REQUIRE(small != nullptr);
  CHECK(scratch(scratch_use::op, 5) == small);
  CHECK(scratch(scratch_use::piece, 5) != small);
  float* large = scratch(scratch_use::op, 100000);
  large[99999] = 1;
  CHECK(scratch(scratch_use::op, 10) == large);
}
