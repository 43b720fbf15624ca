// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <set>

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
