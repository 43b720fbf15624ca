// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <type_traits>

#include <doctest/doctest.h>

#include "gantry/tensor/view.hpp"

using namespace gantry;

namespace {

struct other_layout {};
using floats = batch_view<float, nhwc>;
using const_floats = batch_view<const float, nhwc>;

}  // namespace

TEST_CASE("view: elements of a batch do not overflow an int") {
  static_assert(nhwc::elements({2, 3, 4}, 5) == 120, "n samples");
  static_assert(nhwc::elements({1024, 1024, 64}, 64) == std::size_t{1} << 32, "four billion");
  static_assert(nhwc::elements({2, 3, 4}, 0) == 0, "an empty batch");
  CHECK(nhwc::reshape_is_free);
}

TEST_CASE("view: a batch can be read as constant, not the other way round") {
  float x[6]{};
  const const_floats view = floats{x, 2};
  CHECK(view.data == x);
  CHECK(view.n == 2);
  static_assert(!std::is_convertible_v<const_floats, floats>, "constant stays constant");
  static_assert(!std::is_convertible_v<batch_view<float, other_layout>, floats>,
                "batches of different layouts do not mix");
  static_assert(std::is_trivially_copyable_v<floats>, "goes into the parameters of an op");
  static_assert(std::is_same_v<batch_of<storage<float, nhwc>>, floats>, "by a backend's storage");
  static_assert(std::is_same_v<const_batch_of<storage<float, nhwc>>, const_floats>, "and constant");
  CHECK(floats{}.data == nullptr);
}
