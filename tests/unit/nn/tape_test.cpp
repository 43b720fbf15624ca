// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include <doctest/doctest.h>

#include "gantry/backend/reference/reference.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/nn/tape.hpp"

using namespace gantry;

namespace {

using reference = backend::reference<float>;
using net = sequential<image<4, 4, 3>, conv2d<5, 3, 1, 1>, batch_norm, leaky_relu,
                       minibatch_discrimination<2, 3>, linear<1>>;
using tape = net::tape<reference>;

}  // namespace

TEST_CASE("tape: one allocation of the size that was announced") {
  for (const int capacity : {1, 2, 7}) {
    reference b;
    const tape t(b, capacity);
    CHECK(b.meter().allocations() == 1);
    CHECK(b.meter().bytes() == allocation_bytes<float>(tape::elements(capacity)));
    CHECK(t.capacity() == capacity);
  }
}

TEST_CASE("tape: the size is that of activations, layer state and two gradients") {
  constexpr int n = 7;
  const std::size_t image = slice(n * 80), head = slice(n * 82), one = slice(n);
  // conv | batch_norm = leaky_relu | discrimination | linear; batch_norm, discrimination; dy; two
  // gradients of the widest.
  CHECK(tape::elements(n) ==
        2 * image + head + one + slice(20) + 2 * 16 * (n + 1) + one + 2 * head);
  CHECK(tape::elements(n) < tape::elements(n + 1));
}

TEST_CASE("tape: slices do not overlap, except where layers work in place") {
  reference b;
  constexpr int n = 3;
  tape t(b, n);
  t.begin(n, mode::train, {});
  CHECK(t.activation(3).data == t.activation(2).data);
  std::vector<std::pair<std::uintptr_t, std::uintptr_t>> ranges;
  const auto add = [&](const float* begin, std::size_t count) {
    ranges.emplace_back(reinterpret_cast<std::uintptr_t>(begin),
                        reinterpret_cast<std::uintptr_t>(begin + count));
    CHECK(ranges.back().first % 64 == 0);
  };
  for (const std::size_t i : {1u, 2u, 4u, 5u})
    add(t.activation(i).data, nhwc::elements(net::shape(i), n));
  for (const std::size_t i : {1u, 3u}) add(t.saved(i).data(), t.saved(i).size());
  add(t.output_gradient().data, n);
  const float* workspace = t.frame({}, {}, {}).workspace;
  add(workspace + t.frame({}, {}, {}).where.ping, n * 82);
  add(workspace + t.frame({}, {}, {}).where.pong, n * 82);
  std::ranges::sort(ranges);
  for (std::size_t i = 1; i < ranges.size(); ++i) CHECK(ranges[i - 1].second <= ranges[i].first);
  CHECK(t.saved(0).empty());
  CHECK(t.saved(1).size() == 20);
  CHECK(t.saved(3).size() == 2 * 16 * (n + 1));
}

TEST_CASE("tape: a batch may be smaller than the capacity, not larger") {
  reference b;
  tape t(b, 4);
  for (const int n : {1, 3, 4}) {
    t.begin(n, mode::evaluate, {});
    CHECK(t.output().n == n);
    CHECK(t.output_gradient().n == n);
    CHECK(t.run_mode() == mode::evaluate);
  }
  CHECK_THROWS_AS(t.begin(5, mode::train, {}), usage_error);
  CHECK_THROWS_AS(t.begin(0, mode::train, {}), usage_error);
  CHECK_THROWS_AS(tape(b, 0), usage_error);
  CHECK_THROWS_AS(tape(b, -1), usage_error);
}

TEST_CASE("tape: each forward has random streams of its own, one per layer") {
  reference b;
  tape t(b, 1);
  const stream_id id{.seed = 1, .step = 2, .worker = 3, .use = purpose::dropout, .salt = 4};
  t.begin(1, mode::train, id);
  CHECK(t.random().seed == id.seed);
  CHECK(t.random().step == id.step);
  CHECK(t.random().worker == id.worker);
  CHECK(t.random().use == id.use);
  CHECK(t.random().salt == 4 * 256);
  CHECK(net::plan::pack::streams == std::array<std::uint32_t, 6>{0, 1, 2, 3, 4, 5});
}
