// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <type_traits>

#include <doctest/doctest.h>

#include "gantry/tensor/buffer.hpp"

using namespace gantry;

TEST_CASE("buffer: slices begin on cache lines") {
  CHECK(slice(0) == 0);
  CHECK(slice(1) == 16);
  CHECK(slice(16) == 16);
  CHECK(slice(17) == 32);
  CHECK(allocation_bytes<float>(1) == 64);
  CHECK(allocation_bytes<float>(17) == 128);
  CHECK(allocation_bytes<double>(8) == 64);
  CHECK(allocation_bytes<double>(0) == 0);
}

TEST_CASE_TEMPLATE("buffer: zero-filled, aligned, as long as asked for", scalar, float, double) {
  const host_buffer<scalar> buffer(1001, nullptr);
  CHECK(buffer.size() == 1001);
  CHECK(buffer.span().size() == 1001);
  CHECK(buffer.span().data() == buffer.data());
  CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64 == 0);
  CHECK(std::ranges::count(buffer.span(), scalar(0)) == 1001);
}

TEST_CASE("buffer: empty ones hold no memory") {
  const auto meter = std::make_shared<memory_meter>();
  CHECK(host_buffer<float>().data() == nullptr);
  CHECK(host_buffer<float>(0, meter).data() == nullptr);
  CHECK(meter->allocations() == 0);
}

TEST_CASE("buffer: the meter follows bytes, peak and allocations") {
  const auto meter = std::make_shared<memory_meter>();
  {
    const host_buffer<float> first(16, meter);
    CHECK(meter->bytes() == 64);
    {
      const host_buffer<float> second(17, meter);
      CHECK(meter->bytes() == 64 + 128);
    }
    CHECK(meter->bytes() == 64);
    const host_buffer<float> third(1, meter);
    CHECK(meter->bytes() == 128);
  }
  CHECK(meter->bytes() == 0);
  CHECK(meter->peak() == 192);
  CHECK(meter->allocations() == 3);
}

TEST_CASE("buffer: moves hand over the memory once") {
  static_assert(!std::is_copy_constructible_v<host_buffer<float>>, "move-only");
  static_assert(!std::is_copy_assignable_v<host_buffer<float>>, "move-only");
  static_assert(std::is_nothrow_move_constructible_v<host_buffer<float>>, "moves do not throw");
  const auto meter = std::make_shared<memory_meter>();
  host_buffer<float> a(16, meter), b(32, meter);
  float* memory = a.data();
  memory[3] = 7;
  host_buffer<float> c(std::move(a));
  CHECK(c.data() == memory);
  CHECK(c.data()[3] == 7);
  CHECK(meter->bytes() == 64 + 128);
  b = std::move(c);
  CHECK(b.data() == memory);
  CHECK(b.size() == 16);
  CHECK(meter->bytes() == 64);
  b.swap(b);
  CHECK(b.data() == memory);
  b = host_buffer<float>();
  CHECK(meter->bytes() == 0);
}
