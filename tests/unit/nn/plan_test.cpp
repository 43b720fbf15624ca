// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include <doctest/doctest.h>

#include "gantry/nn/layers.hpp"
#include "gantry/nn/plan.hpp"

using namespace gantry;

namespace {

template <class... Layers>
using plan_of = nn::plan<Layers...>;

template <class Plan>
std::vector<std::size_t> slots() {
  return {Plan::slots.begin(), Plan::slots.end()};
}

using slot_list = std::vector<std::size_t>;

}  // namespace

TEST_CASE("plan: extents and offsets, layer after layer") {
  using p = plan_of<image<8, 6, 3>, conv2d<4, 4, 2, 1>, batch_norm, leaky_relu, flatten, linear<5>>;
  static_assert(p::depth == 5, "five layers");
  CHECK(p::shapes ==
        std::array<hwc, 6>{{{8, 6, 3}, {4, 3, 4}, {4, 3, 4}, {4, 3, 4}, {1, 1, 48}, {1, 1, 5}}});
  CHECK(p::param_offsets == std::array<std::size_t, 6>{0, 196, 204, 204, 204, 449});
  CHECK(p::buffer_offsets == std::array<std::size_t, 6>{0, 0, 8, 8, 8, 8});
  CHECK(p::params_of(0) == 4 * 4 * 4 * 3 + 4);
  CHECK(p::params_of(2) == 0);
  CHECK(p::buffers_of(1) == 8);
  CHECK(p::first_parameter_layer == 0);
  // Means and deviations of 4 channels, for a pair of batches.
  CHECK(nn::saved_elements<batch_norm, nhwc, p::shapes[1]>(9) == 16);
  CHECK(nn::saved_elements<linear<5>, nhwc, p::shapes[4]>(9) == 0);
}

TEST_CASE("plan: FLOPs add up; the first layer's input gradient is known apart") {
  using p = plan_of<image<4, 4, 2>, leaky_relu, conv2d<3, 2>, tanh_, linear<5>, linear<1>>;
  const double conv = 2.0 * 3 * 3 * 3 * 2 * 2 * 2, first = 2.0 * 27 * 5, second = 2.0 * 5;
  CHECK(p::flops.forward == conv + first + second);
  CHECK(p::flops.input_gradient == conv + first + second);
  CHECK(p::flops.weight_gradient == conv + first + second);
  CHECK(p::first_parameter_layer == 1);
  CHECK(p::first_input_gradient_flops == conv);
}

TEST_CASE("plan: a network without parameters has no first layer with some") {
  using p = plan_of<latent<4>, relu, dropout>;
  CHECK(p::first_parameter_layer == 2);
  CHECK(p::first_input_gradient_flops == 0);
}

TEST_CASE("plan: an in-place layer shares its input's memory, where nobody else needs that") {
  // Slot 0 is the caller's input: never written.
  CHECK(slots<plan_of<latent<4>, relu>>() == slot_list{0, 1});
  CHECK(slots<plan_of<latent<4>, reshape<2, 2, 1>>>() == slot_list{0, 1});
  CHECK(slots<plan_of<latent<4>, linear<4>, relu>>() == slot_list{0, 1, 1});
  // The backward of tanh reads its output.
  CHECK(slots<plan_of<latent<4>, linear<4>, tanh_, dropout>>() == slot_list{0, 1, 1, 2});
  CHECK(slots<plan_of<latent<4>, linear<4>, tanh_, reshape<2, 2, 1>>>() == slot_list{0, 1, 1, 2});
  CHECK(slots<plan_of<latent<4>, linear<4>, dropout, tanh_>>() == slot_list{0, 1, 1, 1});
  CHECK(slots<plan_of<latent<4>, linear<4>, reshape<2, 2, 1>, dropout, relu, relu>>() ==
        slot_list{0, 1, 1, 1, 1, 2});
  // The backward of batch_norm reads its input, so it is not in place; what follows may be.
  CHECK(slots<plan_of<latent<4>, linear<4>, batch_norm, relu, linear<2>>>() ==
        slot_list{0, 1, 2, 2, 3});
}

TEST_CASE("plan: a flattening layer knows the image on its other side") {
  using p =
      plan_of<latent<4>, linear<12>, reshape<2, 3, 2>, conv2d<4, 2>, flatten, linear<6>, linear<3>>;
  CHECK(p::seen_input(0) == hwc{1, 1, 4});
  CHECK(p::seen_output(0) == hwc{2, 3, 2});
  CHECK(p::seen_input(2) == hwc{2, 3, 2});
  CHECK(p::seen_output(2) == hwc{1, 2, 4});
  CHECK(p::seen_input(4) == hwc{1, 2, 4});
  CHECK(p::seen_output(4) == hwc{1, 1, 6});
  CHECK(p::seen_input(5) == hwc{1, 1, 6});
  CHECK(p::seen_output(5) == hwc{1, 1, 3});
}
