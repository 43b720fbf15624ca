// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <doctest/doctest.h>

#include "gantry/nn/parts.hpp"

using namespace gantry;
using nn::initialiser;

namespace {

std::vector<float> drawn(const initialiser& how, int fan_in, const stream_id& id) {
  std::vector<float> w(10000);
  how(w, fan_in, id);
  return w;
}

double deviation(const std::vector<float>& w) {
  double square = 0;
  for (const float v : w) square += static_cast<double>(v) * static_cast<double>(v);
  return std::sqrt(square / static_cast<double>(w.size()));
}

}  // namespace

TEST_CASE("initialiser: the default is DCGAN's normal distribution") {
  const auto w = drawn({}, 50, {.seed = 1});
  double mean = 0;
  for (const float v : w) mean += static_cast<double>(v) / 10000;
  CHECK(std::abs(mean) <= 5 * 0.02 / 100);
  CHECK(deviation(w) == doctest::Approx(0.02).epsilon(0.04));  // known to 0.7 %
}

TEST_CASE("initialiser: He's rule divides by the fan-in") {
  const initialiser he{initialiser::rule::he};
  CHECK(deviation(drawn(he, 50, {})) == doctest::Approx(0.2).epsilon(0.04));
  CHECK(deviation(drawn(he, 200, {})) == doctest::Approx(0.1).epsilon(0.04));
}

TEST_CASE("initialiser: a pure function of the stream") {
  const stream_id id{.seed = 1, .worker = 2, .use = purpose::initialise, .salt = 3};
  CHECK(drawn({}, 1, id) == drawn({}, 1, id));
  for (std::uint32_t stream_id::*field : {&stream_id::worker, &stream_id::salt}) {
    stream_id other = id;
    ++(other.*field);
    CHECK(drawn({}, 1, id) != drawn({}, 1, other));
  }
}

TEST_CASE("tensor descriptions") {
  const tensor_info plain = nn::plain_tensor("bias", 7, 5);
  CHECK(plain.name == "bias");
  CHECK(plain.offset == 7);
  CHECK(plain.size() == 5);
  CHECK(plain.storage_extents == std::vector<int>{5});
  CHECK(plain.order == std::vector<int>{0});
  CHECK(plain.shape == std::vector<std::int64_t>{5});
  CHECK_FALSE(plain.is_buffer);
  CHECK(nn::plain_tensor("running_mean", 0, 5, true).is_buffer);

  const tensor_info flat = nn::flattened_tensor("bias", 7, {2, 3, 4});
  CHECK(flat.size() == 24);
  CHECK(flat.storage_extents == std::vector<int>{2, 3, 4});
  CHECK(flat.order == std::vector<int>{2, 0, 1});
  CHECK(flat.shape == std::vector<std::int64_t>{24});
}
