// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/cuda/cuda.cuh"

using namespace gantry;
using backend::cuda;
using backend::cuda_options;
using backend::pool_mode;

namespace {

std::vector<float> read(cuda& b, const cuda::buffer_type& m) {
  std::vector<float> host(m.size());
  b.download(m.data(), host);
  return host;
}

}  // namespace

TEST_CASE("cuda: memory is zero, counted, and comes from the pool again") {
  cuda b;
  auto first = b.allocate(1000);
  CHECK(read(b, first) == std::vector<float>(1000, 0.0f));
  b.upload(std::vector<float>(1000, 7.0f), first.data());
  CHECK(b.meter().bytes() == allocation_bytes<float>(1000));
  const float* where = first.data();
  first = {};
  CHECK(b.meter().bytes() == 0);
  CHECK(b.pool().blocks_kept() == 1);
  const auto again = b.allocate(990);  // of the same class of sizes
  CHECK(again.data() == where);
  CHECK(read(b, again) == std::vector<float>(990, 0.0f));
  CHECK(b.allocate(0).data() == nullptr);
}

TEST_CASE("cuda: a pool in pass-through mode keeps nothing") {
  cuda b(cuda_options{.pool = pool_mode::pass_through});
  static_cast<void>(b.allocate(1000));
  CHECK(b.pool().blocks_kept() == 0);
}

TEST_CASE("cuda: a buffer may outlive its backend") {
  cuda::buffer_type m;
  {
    cuda b;
    m = b.allocate(10);
  }
  CHECK(m.size() == 10);
}

TEST_CASE("cuda: out of memory names what was asked for and what is used") {
  cuda b;
  const auto kept = b.allocate(1 << 20);
  try {
    static_cast<void>(b.allocate(std::size_t{1} << 40));
    FAIL("there is no such device");
  } catch (const device_error& e) {
    CHECK(e.call() == "cudaMalloc");
    CHECK(e.name() == "cudaErrorMemoryAllocation");
    CHECK(e.reason().find("no room for 4398046511104 bytes more") != std::string::npos);
  }
  CHECK(read(b, b.allocate(10)) == std::vector<float>(10, 0.0f));  // nothing is spoilt
}

TEST_CASE("cuda: devices that are not there are refused") {
  const int count = backend::device_count();
  CHECK(backend::device_of(count) == 0);
  CHECK_THROWS_AS(cuda(cuda_options{.device = count}), usage_error);
}

TEST_CASE("cuda: the source of samples may change while they are under way") {
  cuda b;
  const auto m = b.allocate(64);
  std::vector<float> host(8);
  for (int i = 0; i < 8; ++i) {
    std::ranges::fill(host, static_cast<float>(i));
    launch(b, ops::import_samples<hwc{1, 2, 4}>{}, {host.data(), {m.data() + i * 8, 1}});
  }
  const auto found = read(b, m);
  for (std::size_t i = 0; i < 64; ++i) CHECK(found[i] == static_cast<float>(i / 8));
}

TEST_CASE("cuda: an error names the op and its shapes") {
  constexpr conv_geometry g{{7, 5, 3}, 6, 4, 2, 1};
  const kernels::params_of<ops::conv2d_forward<g>> p{{nullptr, 4}, nullptr, nullptr, {nullptr, 4}};
  CHECK(backend::detail::description(ops::conv2d_forward<g>{}, p) ==
        "conv2d_forward of 4 samples (7 x 5 x 3, 6 filters of 4 x 4, stride 2, padding 1)");
  CHECK(backend::detail::description(ops::fill{}, kernels::params_of<ops::fill>{nullptr, 9, 0}) ==
        "fill of 9 numbers");
  const device_error e("cudaMalloc", "cudaErrorX", "no reason");
  CHECK(e.during("fill of 9 numbers").what() ==
        std::string("cudaMalloc failed in fill of 9 numbers: no reason (cudaErrorX)."));
}

TEST_CASE("cuda: a recorded step takes new labels, which the host may change at once") {
  cuda b;
  constexpr int n = 3;
  const auto x = b.allocate(n), y = b.allocate(2 * n), table = b.allocate(2);
  b.upload(std::vector<float>{5, 7}, table.data());
  std::vector<std::uint8_t> labels(n);
  for (const std::uint8_t first : {0, 1, 1, 0}) {
    b.step([&] {
      labels = {first, 1, 0};
      launch(b, ops::concat_label<hwc{1, 1, 1}, 2, 1>{},
             {{x.data(), n}, table.data(), labels.data(), {y.data(), n}});
      labels.assign(n, 0);
    });
    CHECK(read(b, y) == std::vector<float>{0, first ? 7.0f : 5.0f, 0, 7, 0, 5});
    CHECK(b.graphs() == 1);
  }
}

TEST_CASE("cuda: a recorded step takes new arguments and new samples, and follows other ways") {
  cuda b;
  const auto x = b.allocate(16), y = b.allocate(16);
  std::vector<float> host(16);
  // y = samples + value, or twice that.
  const auto step = [&](float samples, float value, bool twice) {
    std::vector<float> found;
    b.step([&] {
      std::ranges::fill(host, samples);
      launch(b, ops::import_samples<hwc{1, 4, 4}>{}, {host.data(), {x.data(), 1}});
      launch(b, ops::fill{}, {y.data(), 16, value});
      launch(b, ops::accumulate{}, {x.data(), y.data(), 16});
      if (twice) launch(b, ops::accumulate{}, {y.data(), y.data(), 16});
      found = read(b, y);
      launch(b, ops::fill{}, {y.data(), 16, -1.0f});
    });
    CHECK(read(b, y) == std::vector<float>(16, -1.0f));
    return found;
  };
  const auto all = [](float v) { return std::vector<float>(16, v); };
  CHECK(step(1, 2, false) == all(3));
  CHECK(b.graphs() == 2);
  CHECK(step(5, 2, false) == all(7));
  CHECK(step(5, 4, false) == all(9));
  CHECK(step(5, 4, true) == all(18));  // longer: without graphs
  CHECK(step(6, 4, true) == all(20));
  CHECK(b.graphs() == 2);
  CHECK(step(7, 1, false) == all(8));  // shorter
  for (int i = 0; i < 64; ++i) CHECK(step(7, 1, false) == all(8));
  b.step([] {});  // a round that only saves
  CHECK(b.graphs() == 2);
  for (int i = 0; i < 7; ++i) CHECK(step(1, 1, i % 2 == 0) == all(i % 2 == 0 ? 4 : 2));
  CHECK(step(1, 1, false) == all(2));
  CHECK(b.graphs() == 2);  // earlier changes are forgotten
  for (int i = 0; i < 20; ++i) CHECK(step(1, 1, i % 2 == 0) == all(i % 2 == 0 ? 4 : 2));
  CHECK(b.graphs() == 0);  // it has given up

  cuda other;
  CHECK_THROWS_AS(other.step([] { throw usage_error("the user's"); }), usage_error);
  CHECK(read(other, other.allocate(4)) == std::vector<float>(4, 0.0f));
}
